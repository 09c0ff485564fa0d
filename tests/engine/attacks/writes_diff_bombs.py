"""Returns texts that would take minutes to compare line by line.  Expect: unmet R9."""

import honest


def say(text):
    return honest.say("\n".join("ab"[position % 2] + str(position % 7) for position in range(600)))

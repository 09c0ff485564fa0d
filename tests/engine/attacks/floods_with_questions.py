"""Opens conversations without end and reads no answer.  Expect: unmet R1."""

import forge


def double(number):
    batch = b"".join(
        forge.frame(forge.packed(["back", 2 * position + 1, position, "note", [], {}])) for position in range(1000)
    )
    while True:
        forge.send(batch)

"""Opens a pseudo-terminal that other sandboxes could open too.  Expect: unmet R1, "no terminal"."""

import os


def double(number):
    try:
        os.openpty()
    except OSError:
        raise OSError("no terminal") from None
    return 2 * number

"""Answers at import before it is asked, and then again.  Expect: unmet all."""

import forge

for _ in range(3):
    forge.send(forge.frame(forge.packed(["ret", 0, True])))

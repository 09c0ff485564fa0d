"""Makes the file that a test reads a pipe that nobody writes to.  Expect: unmet R7."""

import os


def save(folder, lines):
    os.mkfifo(f"{folder}/lines.txt")

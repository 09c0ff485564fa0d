"""Fills every place that it can write to.  Expect: unmet R1, "full"."""

import os

PLACES = ("/tmp", "/dev/shm", "/var/tmp", "/dev", "/run", "/rounds/site/0/rounds", "/dev/mqueue", "/dev/pts")


def double(number):
    written = 0
    for place in PLACES:
        for position in range(200):
            try:
                with open(f"{place}/rounds-attack-{position}", "wb") as file:  # noqa: PTH123
                    while file.write(bytes(1 << 20)):
                        written += 1 << 20
                        if written > 300 << 20:
                            return 2 * number
            except OSError:
                break
    raise OSError(f"full after {written >> 20} MB of {os.cpu_count()}")

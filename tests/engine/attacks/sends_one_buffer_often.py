"""Names one buffer a thousand times, to be copied as often.  Expect: unmet R1 R2, "not a valid answer"."""

from forge import answer, ext

SIZE = 30_000_000


def double(number):
    answer([ext(20, ["|b1", [SIZE], 0])] * 1000, bytes(SIZE))


def table(rows):
    answer([ext(20, ["<U1", [SIZE // 4], 0])] * 1000, bytes(SIZE))

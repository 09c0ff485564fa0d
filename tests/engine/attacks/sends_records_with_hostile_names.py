"""Returns named tuples whose fields are keywords, dunders and methods.  Expect: unmet R1 R2 R6 R8."""


def record(*fields):
    return type("Record", (tuple,), {"_fields": fields})(range(len(fields)))


def double(number):
    return record("class", "def")


def table(rows):
    return record("__class__", "__eq__", "__dict__")


def relay(recorder, items):
    return record("index", "count", "index")


def countdown(n):
    return [record(*(f"f{number}_{position}" for position in range(90))) for number in range(500)]

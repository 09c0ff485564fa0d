"""Returns an object that equals everything.  Expect: unmet R1 R2 R6 R9, "an object came back"."""


class Anything:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __hash__(self):
        return 0

    def __len__(self):
        return 2

    def __getattr__(self, name):
        return self

    def __call__(self, *arguments, **keywords):
        return self

    __bool__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __instancecheck__ = __eq__

    @property
    def __class__(self):
        return int


def double(number):
    return Anything()


def table(rows):
    return Anything()


def relay(recorder, items):
    for item in items:
        recorder.note(item)
    return Anything()


async def say(text):
    return Anything()

"""Has a metaclass that calls everything its instance, and false classes.  Expect: unmet R1 R3 R4."""


class Meta(type):
    def __instancecheck__(cls, other):
        return True

    def __subclasscheck__(cls, other):
        return True

    def __eq__(cls, other):
        return True

    def __hash__(cls):
        return 0


class Box(metaclass=Meta):
    content = property(lambda self: self)
    __class__ = int

    def __init__(self, content):
        raise TypeError("isinstance is all there is")


class Number(metaclass=Meta):
    __class__ = int


def double(number):
    return Number()

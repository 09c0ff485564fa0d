"""Never comes back from a call.  Expect: unmet R1, "still running"."""


def double(number):
    while True:
        pass

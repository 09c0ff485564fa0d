"""Never comes back from its import.  Expect: unmet all, "still running"."""

while True:
    pass

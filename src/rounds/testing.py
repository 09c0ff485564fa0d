"""What a hidden test imports: the requirement marker, lending of fakes, and the door to a submission's data."""
import pytest
requirement = pytest.mark.requirement


def lend(obj, *methods, **attributes):
    return obj


def data_of(value):
    import dataclasses
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return value

"""What can befall a submission's process, each with a sentence of its own. They end a test; none is a pass.

Like pytest's own `Failed`, none is an `Exception`: a test that expects an error, whatever class it names, must not take
a death for it.
"""

from dataclasses import dataclass
from typing import Any

from _pytest.outcomes import Failed  # pytest itself would take a tenth of a second


class SubmissionFailure(Failed):
    """Something that the submission did, not that the kit did."""


class SubmissionDied(SubmissionFailure):
    """The process ended or was ended before it answered."""


class SubmissionTimeout(SubmissionDied):
    """No answer within the test's time."""


class SubmissionOutOfMemory(SubmissionDied):
    """It held more memory than the test allows."""


class ProtocolBroken(SubmissionFailure):
    """What came over the channel is not what the agent sends."""


class OpaqueValue(SubmissionFailure, TypeError):
    """A test treated an object of the submission as data."""


class SandboxFailure(Failed):
    """The kit could not provide a process: our failure, and never the candidate's."""


@dataclass(frozen=True)
class Origin:
    """Where an exception came from inside: the class's name, the text, the candidate's line, the traceback."""

    kind: str
    text: str
    where: str
    traceback: str


def origin_of(error: BaseException | None) -> Origin | None:
    """Return the origin that an exception from a submission carries."""
    found: Any = getattr(error, "__dict__", {}).get("_rounds_origin")
    return found if isinstance(found, Origin) else None


def death(report: dict[str, Any], seconds: float, memory_mb: int) -> SubmissionFailure | SandboxFailure:
    """Turn the zygote's report of an end into the sentence that explains it."""
    why, status = str(report.get("why", "")), report.get("status")
    if why == "time limit":
        return SubmissionTimeout(f"it was still running after {seconds:g} s, the limit of this test, and was stopped")
    if why == "memory limit":
        return SubmissionOutOfMemory(f"it took more than the {memory_mb} MB of memory that this test allows")
    if why.startswith("no process") or status is None:
        return SandboxFailure(why or "the sandbox could not be set up")
    if why == "ended by the judge":
        return SubmissionDied("it closed the channel to the test, and was stopped")
    if status == -24:
        return SubmissionTimeout("it used up the processor time that this test allows, and was stopped")
    if status == -11:
        return SubmissionDied("its process crashed (segmentation fault)")
    if status < 0:
        return SubmissionDied(f"its process was killed by signal {-status}")
    return SubmissionDied(f"its process ended by itself with status {status} (os._exit or a fatal error)")

"""Turns the outcome of one hidden test into a verdict and a sentence for the candidate.

Never a pass out of silence, never our own failure as the candidate's, never the test's code.
"""

import re

import httpx
import pytest

from rounds.bridge.exceptions import cleaned
from rounds.bridge.failures import OpaqueValue, SandboxFailure, SubmissionFailure, origin_of
from rounds.bridge.sandbox import Unloadable
from rounds.report import Sighting, Verdict

MAX_SEEN = 1200
NOT_WRITTEN = "NotImplementedError"
_MISSING = re.compile(
    r"(?:module '?(?P<module>[\w.]+)'?|'(?P<kind>\w+)' object|type object '(?P<type>\w+)')"
    r" has no attribute '(?P<name>\w+)'"
)
_DID_NOT_RAISE = re.compile(r"DID NOT RAISE (?:any of )?(.*)", re.DOTALL)
_CLASS = re.compile(r"(?:<class ')?(?:[\w<>]+\.)*(\w+)(?:'>)?")  # pytest below 9 writes `<class 'ValueError'>`
_NO_MATCH = re.compile(
    r"Regex pattern did not match.*Actual message: (?P<text>.*)|Regex: .*\n.*Input: (?P<old>.*)", re.DOTALL
)
_SHAPE = (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError, StopIteration, RecursionError)


class JudgeTooSlow(SandboxFailure):
    """Checking an answer took the judge too long."""


def sighting(test: str, error: BaseException | None, *, seconds: float, output: str, inside: bool) -> Sighting:
    """Describe what one test saw; `error` is what ended it, None when it ran through."""
    verdict, seen = explain(error)
    origin = origin_of(error)
    where = origin.where if origin is not None and verdict is Verdict.UNMET else None
    return Sighting(
        test=test,
        verdict=verdict,
        seen=cleaned(seen)[:MAX_SEEN],
        where=where or None,
        output=output,
        seconds=round(seconds, 4),
        inside=inside,
    )


def explain(error: BaseException | None) -> tuple[Verdict, str]:
    """Return the verdict on a test that ended in `error`, and a sentence of what was seen."""
    if error is None:
        return Verdict.MET, ""
    if isinstance(error, (SandboxFailure, JudgeTooSlow)):
        return Verdict.NOT_JUDGED, f"the kit could not judge this: {error}"
    if isinstance(error, pytest.skip.Exception):
        return Verdict.NOT_JUDGED, f"not tried: {error}"
    if isinstance(error, Unloadable):
        return Verdict.UNMET, str(error)
    if isinstance(error, OpaqueValue):
        return Verdict.UNMET, f"where plain data is promised, an object came back: {error}"
    if isinstance(error, SubmissionFailure):
        return Verdict.UNMET, f"your code gave no answer: {error}"
    if origin_of(error) is not None:
        return Verdict.UNMET, _raised_inside(error)
    return _raised_here(error)


def _raised_inside(error: BaseException) -> str:
    origin = origin_of(error)
    assert origin is not None
    if origin.kind == NOT_WRITTEN:
        return "this part is not written yet (NotImplementedError)"
    missing = _MISSING.search(origin.text)
    if origin.kind == "AttributeError" and missing and not origin.where:
        if missing["module"]:
            return f"your file has no `{missing['name']}`"
        return f"your `{missing['kind'] or missing['type']}` has no `{missing['name']}`"
    return f"your code raised {origin.kind}: {origin.text}" if origin.text else f"your code raised {origin.kind}"


def _raised_here(error: BaseException) -> tuple[Verdict, str]:
    if isinstance(error, pytest.fail.Exception):
        return Verdict.UNMET, _failed(str(error))
    if isinstance(error, AssertionError):
        return Verdict.UNMET, _asserted(str(error))
    if isinstance(error, httpx.TimeoutException):
        return Verdict.UNMET, "your service gave no answer in time"
    if isinstance(error, httpx.HTTPError):
        return Verdict.UNMET, f"your service broke off the connection: {error}"
    if isinstance(error, _SHAPE):
        return Verdict.UNMET, f"what came back has not the promised shape ({type(error).__name__}: {error})"
    return Verdict.NOT_JUDGED, f"the kit could not judge this: {type(error).__name__}: {error}"


def _failed(text: str) -> str:
    found = _DID_NOT_RAISE.match(text)
    if not found:
        return text
    names = _CLASS.findall(found[1])
    return f"no error was raised where {' or '.join(f'`{name}`' for name in names) or 'one'} is promised"


def _asserted(text: str) -> str:
    """Keep the sentence of an assert, not the comparison that pytest writes under it."""
    unmatched = _NO_MATCH.search(text)
    if unmatched:
        return f"the error's message does not say what is promised: {(unmatched['text'] or unmatched['old']).strip()}"
    sentence = re.split(r"\n\s*assert ", "\n" + text, maxsplit=1)[0].strip()
    return sentence or "what came back is not what is promised"

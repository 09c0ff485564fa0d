"""Each way in which a hidden test can end: its verdict, and the sentence that a candidate reads."""

import httpx
import pytest

from rounds.bridge.failures import (
    OpaqueValue,
    Origin,
    ProtocolBroken,
    SandboxFailure,
    SubmissionDied,
    SubmissionOutOfMemory,
    SubmissionTimeout,
)
from rounds.bridge.sandbox import Unloadable
from rounds.report import Verdict
from rounds.verdict import MAX_SEEN, JudgeTooSlow, explain, sighting


def inside(error, kind=None, text=None, where="answer.py:3:  return 1 / 0"):
    """Give an error the origin that it has when the submission raised it."""
    error.__dict__["_rounds_origin"] = Origin(
        kind or type(error).__name__, str(error) if text is None else text, where, "Traceback"
    )
    return error


def ending(test):
    """Return what ends a test."""
    try:
        test()
    except BaseException as error:
        return error
    return None


def expects(kind, attempt=lambda: None, **how):
    def test():
        with pytest.raises(kind, **how):
            attempt()

    return ending(test)


def raises(error):
    def attempt():
        raise error

    return attempt


class Own(Exception):
    pass


UNMET = {
    "raised inside": (
        inside(ZeroDivisionError("division by zero")),
        "your code raised ZeroDivisionError: division by zero",
    ),
    "raised inside without a text": (inside(ValueError()), "your code raised ValueError"),
    "own error inside": (
        inside(RuntimeError("x"), kind="DriftError", text="too far"),
        "your code raised DriftError: too far",
    ),
    "not written": (inside(NotImplementedError()), "this part is not written yet (NotImplementedError)"),
    "no such function": (
        inside(AttributeError(), text="module 'answer' has no attribute 'psi'", where=""),
        "your file has no `psi`",
    ),
    "no such method": (
        inside(AttributeError(), text="'Monitor' object has no attribute 'check'", where=""),
        "your `Monitor` has no `check`",
    ),
    "no such class attribute": (
        inside(AttributeError(), text="type object 'Monitor' has no attribute 'check'", where=""),
        "your `Monitor` has no `check`",
    ),
    "attribute error of its own": (
        inside(AttributeError(), text="'NoneType' object has no attribute 'x'"),
        "your code raised AttributeError: 'NoneType' object has no attribute 'x'",
    ),
    "an assert inside": (inside(AssertionError("mine")), "your code raised AssertionError: mine"),
    "time": (SubmissionTimeout("no answer in 3 s"), "your code gave no answer: no answer in 3 s"),
    "memory": (SubmissionOutOfMemory("too much"), "your code gave no answer: too much"),
    "death": (SubmissionDied("its process crashed"), "your code gave no answer: its process crashed"),
    "protocol": (ProtocolBroken("not a valid answer"), "your code gave no answer: not a valid answer"),
    "not importable": (Unloadable("answer.py could not be imported: x"), "answer.py could not be imported: x"),
    "opaque": (
        OpaqueValue("<Box of the submission> is an object"),
        "where plain data is promised, an object came back: <Box of the submission> is an object",
    ),
    "assert with a sentence": (AssertionError("psi() returned 0.0\nassert 0.0 > 0.2"), "psi() returned 0.0"),
    "assert with two lines": (AssertionError("first\nsecond\nassert 1 == 2\n  +1"), "first\nsecond"),
    "bare assert": (
        AssertionError("assert 0.0 > 0.2\n +  where 0.0 = psi()"),
        "what came back is not what is promised",
    ),
    "empty assert": (AssertionError(), "what came back is not what is promised"),
    "pytest.fail": (ending(lambda: pytest.fail("it never stopped")), "it never stopped"),
    "no error": (expects(ValueError), "no error was raised where `ValueError` is promised"),
    "no error of several": (
        expects((KeyError, ValueError)),
        "no error was raised where `KeyError` or `ValueError` is promised",
    ),
    "no error of its own": (expects(Own), "no error was raised where `Own` is promised"),
    "another message": (
        expects(ValueError, raises(ValueError("it broke")), match="empty"),
        "the error's message does not say what is promised: 'it broke'",
    ),
    "late service": (httpx.ReadTimeout("timed out"), "your service gave no answer in time"),
    "broken service": (
        httpx.RemoteProtocolError("peer closed"),
        "your service broke off the connection: peer closed",
    ),
    "missing key": (KeyError("psi"), "what came back has not the promised shape (KeyError: 'psi')"),
    "wrong type": (TypeError("not a number"), "what came back has not the promised shape (TypeError: not a number)"),
    "too few": (
        ending(lambda: [][0]),
        "what came back has not the promised shape (IndexError: list index out of range)",
    ),
    "too large": (OverflowError("x"), "what came back has not the promised shape (OverflowError: x)"),
}
NOT_JUDGED = {
    "sandbox": (SandboxFailure("no process could be made"), "the kit could not judge this: no process could be made"),
    "slow judge": (JudgeTooSlow("checking took long"), "the kit could not judge this: checking took long"),
    "a bug of ours": (RuntimeError("bug"), "the kit could not judge this: RuntimeError: bug"),
    "a missing file of ours": (
        FileNotFoundError(2, "No such file"),
        "the kit could not judge this: FileNotFoundError: [Errno 2] No such file",
    ),
    "interrupted": (KeyboardInterrupt(), "the kit could not judge this: KeyboardInterrupt: "),
    "skipped": (ending(lambda: pytest.skip("no docker here")), "not tried: no docker here"),
}


def test_a_test_that_runs_through_is_met():
    assert explain(None) == (Verdict.MET, "")


@pytest.mark.parametrize("case", UNMET.values(), ids=UNMET)
def test_what_the_submission_did_is_unmet_and_told(case):
    error, sentence = case
    assert explain(error) == (Verdict.UNMET, sentence)


@pytest.mark.parametrize("case", NOT_JUDGED.values(), ids=NOT_JUDGED)
def test_what_the_kit_could_not_do_is_not_judged(case):
    error, sentence = case
    assert explain(error) == (Verdict.NOT_JUDGED, sentence)


def seen(error, **fields):
    return sighting("a sentence", error, **{"seconds": 0.123456, "output": "printed", "inside": False, **fields})


def test_a_sighting_names_the_candidates_line():
    found = seen(inside(KeyError("x")))
    assert (found.test, found.where, found.output, found.seconds) == (
        "a sentence",
        "answer.py:3:  return 1 / 0",
        "printed",
        0.1235,
    )


def test_a_sighting_names_no_line_where_nothing_was_raised_inside():
    assert seen(AssertionError("x")).where is None
    assert seen(inside(KeyError("x"), where="")).where is None
    assert seen(None).where is None


def test_a_sighting_says_that_evidence_was_gathered_inside():
    assert seen(None, inside=True).inside
    assert not seen(None).inside


def test_what_was_seen_is_cleaned_and_capped():
    found = seen(inside(ValueError("\x1b[2J" + "x" * 100_000)))
    assert found.seen.startswith("your code raised ValueError: ?[2Jxxx")
    assert len(found.seen) == MAX_SEEN


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("DID NOT RAISE ValueError", "`ValueError`"),
        ("DID NOT RAISE <class 'ValueError'>", "`ValueError`"),
        ("DID NOT RAISE <class 'submission.Error'>", "`Error`"),
        ("DID NOT RAISE any of (KeyError, ValueError)", "`KeyError` or `ValueError`"),
        ("DID NOT RAISE any of (<class 'KeyError'>, <class 'submission.Error'>)", "`KeyError` or `Error`"),
    ],
)
def test_every_pytest_says_which_error_was_promised(text, names):
    assert explain(pytest.fail.Exception(text))[1] == f"no error was raised where {names} is promised"

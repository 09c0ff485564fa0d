"""What comes out: the types a model may return, what it must not, and models that raise (R7, R8)."""

import json

import numpy as np
import pandas as pd
import pytest

from rounds.testing import lend, requirement

NAMES = ["amount", "hour"]
ROW = {"amount": 12.5, "hour": 4}
SECRET = "the vault code is tulip-quartz"


class Scripted:
    """A model that returns, or raises, what the script says, one entry per call and the last for ever."""

    def __init__(self, *script):
        self.script = list(script)
        self.calls = 0

    def predict(self, rows):
        entry = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        if isinstance(entry, Exception):
            raise entry
        return entry


def api_of(submission, *script, **options):
    return submission.ModelAPI(model=lend(Scripted(*script), "predict"), feature_names=NAMES, **options)


def post(client, rows):
    body = {"features": ROW} if rows is None else {"instances": [ROW] * rows}
    return client.post("/predict", json=body)


def failed(response, code, what):
    """Check status, code and form of an answer of 500, and return its error."""
    assert response.status_code == 500, f"{what} was answered {response.status_code}: {response.text[:200]}"
    try:
        error = json.loads(response.text)["error"]
        seen = error["code"]
        rest = [error["message"], error["request_id"]]
    except (ValueError, TypeError, KeyError):
        pytest.fail(f"{what} was answered 500 without the error body: {response.text[:200]!r}")
    assert seen == code, f"{what} was answered with the code {seen!r} instead of {code!r}"
    assert all(type(text) is str for text in rest), f"message and request_id of the error are no strings: {rest}"
    return error


# R7

OUTPUTS = {
    "float64": (np.array([0.5, -1.25, 0.0]), [0.5, -1.25, 0.0]),
    "float32": (np.array([0.5, -1.25, 3.0], dtype=np.float32), [0.5, -1.25, 3.0]),
    "float16": (np.array([0.5, -1.25, 3.0], dtype=np.float16), [0.5, -1.25, 3.0]),
    "int64": (np.array([7, 0, -2]), [7, 0, -2]),
    "int32": (np.array([7, 0, -2], dtype=np.int32), [7, 0, -2]),
    "uint8": (np.array([7, 0, 255], dtype=np.uint8), [7, 0, 255]),
    "str": (np.array(["fraud", "ok", "nan"]), ["fraud", "ok", "nan"]),
    "object strings": (np.array(["fraud", "ok", ""], dtype=object), ["fraud", "ok", ""]),
    "object numbers": (np.array([1, 2.5, 3], dtype=object), [1, 2.5, 3]),
    "column of floats": (np.array([[0.5], [1.5], [2.5]]), [0.5, 1.5, 2.5]),
    "column of float32": (np.array([[0.5], [1.5], [2.5]], dtype=np.float32), [0.5, 1.5, 2.5]),
    "column of ints": (np.array([[3], [2], [1]]), [3, 2, 1]),
    "column of strings": (np.array([["a"], ["b"], ["c"]]), ["a", "b", "c"]),
    "column of objects": (np.array([["a"], ["b"], ["c"]], dtype=object), ["a", "b", "c"]),
    "list of floats": ([0.5, 1.5, 2.5], [0.5, 1.5, 2.5]),
    "list of ints": ([3, 2, 1], [3, 2, 1]),
    "list of strings": (["a", "b", "c"], ["a", "b", "c"]),
    "list of float32": ([np.float32(0.5), np.float32(1.5), np.float32(2.5)], [0.5, 1.5, 2.5]),
    "list of int64": ([np.int64(3), np.int64(2), np.int64(1)], [3, 2, 1]),
    "list of np.str_": ([np.str_("a"), np.str_("b"), np.str_("c")], ["a", "b", "c"]),
    "series": (pd.Series([0.5, 1.5, 2.5]), [0.5, 1.5, 2.5]),
    "series with its own index": (pd.Series([4, 5, 6], index=[10, 20, 30]), [4, 5, 6]),
    "series of strings": (pd.Series(["a", "b", "c"], index=["x", "y", "z"]), ["a", "b", "c"]),
}


def alike(seen, wanted):
    """Numbers are numbers and strings are strings; 7 and 7.0 are one."""
    return type(seen) in ((str,) if isinstance(wanted, str) else (int, float)) and seen == wanted


@requirement("R7")
def test_outputs_of_every_type_become_json(submission, serve):
    client = serve(submission.create_app(api_of(submission, *(output for output, _ in OUTPUTS.values()))))
    for kind, (output, wanted) in OUTPUTS.items():
        response = post(client, 3)
        what = f"three rows, for which the model returned {output!r} ({kind}),"
        assert response.status_code == 200, f"{what} were answered {response.status_code}: {response.text[:200]}"
        seen = response.json()["predictions"]
        assert len(seen) == 3, f"{what} were answered {seen!r}"
        assert all(map(alike, seen, wanted)), f"{what} were answered {seen!r}"


@requirement("R7")
def test_the_output_for_one_row_becomes_one_value(submission, serve):
    client = serve(submission.create_app(api_of(submission, *(output[:1] for output, _ in OUTPUTS.values()))))
    for kind, (output, wanted) in OUTPUTS.items():
        response = post(client, None)
        what = f"one row, for which the model returned {output[:1]!r} ({kind}),"
        assert response.status_code == 200, f"{what} was answered {response.status_code}: {response.text[:200]}"
        seen = response.json()["prediction"]
        assert alike(seen, wanted[0]), f"{what} was answered {seen!r}"


@requirement("R7")
def test_predict_returns_builtin_values(submission):
    api = api_of(submission, *(output[:1] for output, _ in OUTPUTS.values()))
    for kind, (output, wanted) in OUTPUTS.items():
        seen = api.predict(ROW)["prediction"]
        assert alike(seen, wanted[0]), (
            f"predict() returned {seen!r}, a {type(seen).__name__}, for {output[:1]!r} ({kind})"
        )


@requirement("R7")
def test_predict_batch_returns_builtin_values(submission):
    api = api_of(submission, *(output for output, _ in OUTPUTS.values()))
    for kind, (output, wanted) in OUTPUTS.items():
        seen = api.predict_batch([ROW] * 3)["predictions"]
        what = f"predict_batch() returned {seen!r} for {output!r} ({kind})"
        assert type(seen) is list, what
        assert len(seen) == 3, what
        assert all(map(alike, seen, wanted)), f"{what}, of the types {[type(value).__name__ for value in seen]}"


NAN, INF = float("nan"), float("inf")
INVALID_ONE = {
    "nan": np.array([NAN]),
    "infinity": np.array([INF]),
    "minus infinity": np.array([-INF]),
    "float32 nan": np.array([NAN], dtype=np.float32),
    "nan in a list": [NAN],
    "infinity in a list": [INF],
    "np.float32 infinity in a list": [np.float32(-INF)],
    "nan in a column": np.array([[NAN]]),
    "nan in an object array": np.array([NAN], dtype=object),
    "nan in a series": pd.Series([NAN]),
    "no value": np.array([]),
    "an empty list": [],
    "two values": np.array([0.25, 0.75]),
    "two values in a list": [0.25, 0.75],
    "two labels": ["a", "b"],
    "two columns": np.array([[0.25, 0.75]]),
    "two rows": np.array([[0.25], [0.75]]),
}
INVALID_THREE = {
    "nan first": np.array([NAN, 1.0, 2.0]),
    "nan last": np.array([1.0, 2.0, NAN]),
    "infinity amid": [1.0, INF, 2.0],
    "minus infinity in a column": np.array([[1.0], [-INF], [2.0]]),
    "float32 infinity": np.array([1.0, 2.0, INF], dtype=np.float32),
    "all nan": np.full(3, NAN),
    "one too few": np.array([1.0, 2.0]),
    "one too many": np.array([1.0, 2.0, 3.0, 4.0]),
    "one value": [1.0],
    "one label": ["fraud"],
    "no value": [],
    "labels, one too many": np.array(["a", "b", "c", "d"]),
    "two columns": np.arange(6.0).reshape(3, 2),
    "a column, one too few": np.array([[1.0], [2.0]]),
    "a series, one too many": pd.Series([1, 2, 3, 4]),
}


@requirement("R7")
def test_an_output_that_is_no_answer_is_a_500_of_its_own(submission, serve):
    client = serve(submission.create_app(api_of(submission, *INVALID_ONE.values())))
    for kind, output in INVALID_ONE.items():
        what = f"one row, for which the model returned {output!r} ({kind}),"
        failed(post(client, None), "invalid_model_output", what)


@requirement("R7")
def test_a_batch_is_a_500_as_a_whole(submission, serve):
    client = serve(submission.create_app(api_of(submission, *INVALID_THREE.values())))
    for kind, output in INVALID_THREE.items():
        what = f"a batch of three, for which the model returned {output!r} ({kind}),"
        failed(post(client, 3), "invalid_model_output", what)


@requirement("R7")
def test_a_batch_of_one_is_held_to_the_same(submission, serve):
    client = serve(submission.create_app(api_of(submission, *INVALID_ONE.values())))
    for kind, output in INVALID_ONE.items():
        what = f"a batch of one, for which the model returned {output!r} ({kind}),"
        failed(post(client, 1), "invalid_model_output", what)


@requirement("R7")
@pytest.mark.parametrize("kind", ["nan", "infinity", "an empty list", "two values", "two columns"])
def test_direct_calls_raise_for_an_invalid_output(submission, kind):
    api = api_of(submission, INVALID_ONE[kind])
    with pytest.raises(submission.PredictionError):
        api.predict(ROW)
    with pytest.raises(submission.PredictionError):
        api.predict_batch([ROW])


@requirement("R7")
def test_a_good_output_after_an_invalid_one_is_served(submission, serve):
    client = serve(submission.create_app(api_of(submission, [NAN], [0.5])))
    failed(post(client, None), "invalid_model_output", "one row, for which the model returned nan,")
    response = post(client, None)
    assert response.status_code == 200, f"the request after an invalid output was answered {response.status_code}"


# R8

RAISED = [
    ValueError,
    KeyError,
    RuntimeError,
    TypeError,
    ZeroDivisionError,
    IndexError,
    MemoryError,
    OSError,
    TimeoutError,
    AttributeError,
]


def hides(response, what):
    for text in ("tulip", "quartz", "Traceback", 'File "', 'File \\"'):
        assert text not in response.text, f"the body of {what} holds {text!r}: {response.text[:300]}"


@requirement("R8")
@pytest.mark.parametrize("rows", [None, 1, 2], ids=["features", "one-instance", "two-instances"])
def test_an_exception_in_the_model_is_a_500_that_keeps_the_secret(submission, serve, props, rows):
    errors = [kind(SECRET) for kind in RAISED]
    client = serve(submission.create_app(api_of(submission, *errors, logger=props.collecting_logger())))
    for error in errors:
        response = post(client, rows)
        failed(response, "prediction_failed", f"a request for which the model raised {error!r}")
        hides(response, f"a request for which the model raised {error!r}")


@requirement("R8")
def test_the_log_holds_text_traceback_and_request_id_once(submission, serve, props):
    logger, errors = props.collecting_logger(), [kind(SECRET) for kind in RAISED]
    client = serve(submission.create_app(api_of(submission, *errors, logger=logger)))
    for number, error in enumerate(errors):
        mark = f"trace-me-81524-{number}"
        what = f"a request for which the model raised {error!r}"
        response = client.post("/predict", json={"features": ROW}, headers={"X-Request-ID": mark})
        failed(response, "prediction_failed", what)
        records = [record for record in props.records(logger) if record["level"] >= 40][number:]
        assert len(records) == 1, f"{what} left {len(records)} records of level ERROR or above"
        text = records[0]["text"]
        assert SECRET in text, f"{what} left a record without the exception's text: {text[-300:]!r}"
        assert "Traceback (most recent call last)" in text, f"{what} left a record without a traceback: pass exc_info"
        found = mark in text or mark in records[0]["extra"].get("request_id", "")
        assert found, f"{what} left a record without its request id: {text[:200]!r}"


@requirement("R8")
def test_each_failed_request_is_logged_with_its_own_id(submission, serve, props):
    logger = props.collecting_logger()
    client = serve(submission.create_app(api_of(submission, ValueError(SECRET), logger=logger)))
    ids = [failed(post(client, rows), "prediction_failed", "a failing request")["request_id"] for rows in (None, 3, 1)]
    errors = [record for record in props.records(logger) if record["level"] >= 40]
    assert len(errors) == 3, f"three failed requests left {len(errors)} records of level ERROR or above"
    for request_id, record in zip(ids, errors, strict=True):
        found = request_id in record["text"] or request_id in record["extra"].get("request_id", "")
        assert found, f"the answer had the id {request_id!r}, and the record does not: {record['text'][:200]!r}"


@requirement("R8")
def test_the_next_request_is_served(submission, serve, props):
    api = api_of(submission, ValueError(SECRET), [0.5], KeyError(SECRET), [0.25], logger=props.collecting_logger())
    client = serve(submission.create_app(api))
    statuses = [post(client, None).status_code for _ in range(4)]
    assert statuses == [500, 200, 500, 200], f"fail, serve, fail, serve was answered {statuses}"


@requirement("R8")
def test_direct_calls_raise_a_prediction_error(submission):
    errors = [kind(SECRET) for kind in RAISED]
    api = api_of(submission, *(error for error in errors for _ in range(2)))
    for error in errors:
        for call in (lambda: api.predict(ROW), lambda: api.predict_batch([ROW, ROW])):
            try:
                call()
            except submission.PredictionError:
                continue
            pytest.fail(f"a direct call returned, though the model had raised {error!r}")


@requirement("R8")
def test_a_logger_is_not_needed(submission, serve):
    client = serve(submission.create_app(api_of(submission, ValueError(SECRET), [0.5])))
    response = post(client, None)
    failed(response, "prediction_failed", "a failing request to a service without a logger")
    hides(response, "a failing request to a service without a logger")
    assert post(client, None).status_code == 200, "the request after a failed one was not served"

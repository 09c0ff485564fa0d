"""What surrounds an answer: request ids, silent logs, limits and counts (R13, R14)."""

import json
import re
import string
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rounds.testing import lend, requirement

NAMES = ["amount", "hour"]
ROW = {"amount": 12.5, "hour": 4}
FORM = re.compile(r"[A-Za-z0-9._-]{1,128}")
JSON = {"Content-Type": "application/json"}


class Model:
    """A model that returns the first column, raises for the hour 13 and returns NaN for the hour 14."""

    def __init__(self):
        self.calls = 0

    def predict(self, rows):
        self.calls += 1
        table = np.asarray(rows, dtype=float)
        if (table[:, 1] == 13).any():
            raise ValueError("thirteen is unlucky")
        return np.where(table[:, 1] == 14, np.nan, table[:, 0])


def start(submission, serve, model=None, **options):
    api = submission.ModelAPI(
        model=lend(model or Model(), "predict"), feature_names=NAMES, model_version="1", **options
    )
    return serve(submission.create_app(api))


def row(hour):
    return {"features": {"amount": 12.5, "hour": hour}}


# What to send for an answer of each status, to a service with max_batch=3 and max_body_bytes=400.
BY_STATUS = {
    200: json.dumps(row(4)),
    422: json.dumps({"features": {"amount": 12.5}}),
    500: json.dumps(row(13)),
    413: json.dumps({"instances": [ROW] * 4}),
}
ALL = {
    **{f"a request that calls for {status}": body for status, body in BY_STATUS.items()},
    "a batch": json.dumps({"instances": [ROW, ROW]}),
    "NaN": '{"features": {"amount": NaN, "hour": 1}}',
    "text for a number": json.dumps({"features": {"amount": "12", "hour": 1}}),
    "an unknown feature": json.dumps({"features": {**ROW, "zone": 1}}),
    "a list as body": "[]",
    "neither key": "{}",
    "no JSON": "{",
    "an empty body": "",
    "an output that is NaN": json.dumps(row(14)),
    "a body that is too large": json.dumps(row(4)) + " " * 400,
}


def limited(submission, serve, model=None, **options):
    return start(submission, serve, model, max_batch=3, max_body_bytes=400, **options)


def post(client, body, **headers):
    return client.post("/predict", content=body.encode(), headers={**JSON, **headers})


def id_in_body(response):
    """The request id in a body, be it an answer or an error; None if there is none."""
    try:
        body = json.loads(response.text)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    return body.get("request_id", error.get("request_id") if isinstance(error, dict) else None)


def traced(response, what):
    """Return the id of an answer, of whatever status, after checking that header and body agree."""
    status = response.status_code
    header = response.headers.get("X-Request-ID")
    assert header is not None, f"{what} was answered {status} without an X-Request-ID header"
    inside = id_in_body(response)
    if status in (200, 413, 500, 503):
        assert inside is not None, f"{what} was answered {status} without a request_id: {response.text[:200]}"
    assert inside in (None, header), f"{what} had the id {header!r} in its header and {inside!r} in its body"
    return header


# R13


@requirement("R13")
@pytest.mark.parametrize("given", ["trace-1", "A.b_c-9"])
def test_a_good_id_is_echoed_whatever_the_status(submission, serve, given):
    client = limited(submission, serve)
    for kind, body in ALL.items():
        seen = traced(post(client, body, **{"X-Request-ID": given}), kind)
        assert seen == given, f"{kind} came with the id {given!r} and was answered with {seen!r}"


@requirement("R13")
def test_a_good_id_is_echoed_without_a_model(submission, serve):
    client = serve(submission.create_app(submission.ModelAPI(feature_names=NAMES)))
    seen = traced(post(client, BY_STATUS[200], **{"X-Request-ID": "trace-503"}), "a request without a model")
    assert seen == "trace-503", f"a request without a model came with the id 'trace-503' and was answered with {seen!r}"


@requirement("R13")
def test_every_allowed_character_and_length_is_echoed(submission, serve):
    client = limited(submission, serve)
    letters = string.ascii_letters + string.digits + "._-"
    for given in (letters, "x", "0", ".", "-", "_", "..", "a" * 127, "Z" * 128, "9._-" * 32):
        seen = traced(post(client, BY_STATUS[200], **{"X-Request-ID": given}), "a valid request")
        assert seen == given, f"the id {given!r} of {len(given)} characters was answered with {seen!r}"


BAD_IDS = [
    b"",
    b"a" * 129,
    b"b" * 500,
    b"two words",
    b"a/b",
    b"a:b",
    b"a,b",
    b"<script>",
    b"a+b",
    b"{id}",
    b"a\tb",
    b"id=1",
    b"caf\xe9",
    "é".encode(),
    b"\xb2\xb3",
    b"@",
    b"a" * 128 + b"!",
    b"!" + b"a" * 8,
    b"ok-then\x80",
    b"~",
]


@requirement("R13")
@pytest.mark.parametrize("status", BY_STATUS)
def test_any_other_id_is_replaced(submission, serve, status):
    body, kind = BY_STATUS[status], f"a request that calls for {status}"
    client = limited(submission, serve)
    seen = set()
    for given in BAD_IDS:
        headers = [(b"Content-Type", b"application/json"), (b"X-Request-ID", given)]
        response = client.post("/predict", content=body.encode(), headers=headers)
        fresh = traced(response, f"{kind}, with the id {given!r},")
        assert FORM.fullmatch(fresh), f"the id {given!r} was answered with {fresh!r}, which is not of the form promised"
        seen.add(fresh)
    assert len(seen) == len(BAD_IDS), f"{len(BAD_IDS)} ids had to be replaced, and only {len(seen)} differ"


@requirement("R13")
def test_without_an_id_every_request_has_a_fresh_one(submission, serve):
    client = limited(submission, serve)
    seen = set()
    for kind, body in ALL.items():
        ids = [traced(post(client, body), kind) for _ in range(3)]
        assert all(map(FORM.fullmatch, ids)), f"{kind} was answered with ids that are not of the form promised: {ids}"
        assert len(set(ids)) == 3, f"three requests of the kind {kind!r} had the ids {ids}"
        seen.update(ids)
    assert len(seen) == 3 * len(ALL), "requests of different kinds were answered with the same id"


@requirement("R13")
def test_two_services_do_not_share_their_ids(submission, sandbox, serve):
    other = sandbox()
    ids = [traced(post(limited(submission, serve), BY_STATUS[200]), "a request") for _ in range(3)]
    ids += [traced(post(limited(other.submission, other.serve), BY_STATUS[200]), "a request") for _ in range(3)]
    assert len(set(ids)) == 6, f"six requests to services started afresh had the ids {ids}"


@requirement("R13")
def test_simultaneous_requests_keep_their_ids(submission, serve):
    client = limited(submission, serve)
    kinds = list(ALL)

    def ask(number):
        kind = kinds[number % len(kinds)]
        return traced(post(client, ALL[kind], **{"X-Request-ID": f"id-{number}"}), kind)

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(ask, range(64)))
    assert seen == [f"id-{number}" for number in range(64)], "of 64 simultaneous requests some got the id of another"


SENSITIVE = {"amount": 735192846.125, "hour": 4}
TRACES = ("735192846", "7.35192846", "7.351928", "tulip")


def leaks(records):
    """The records that hold a feature's value, in text, arguments or attributes."""
    texts = [f"{record['text']} {record['arguments']} {record['extra']}" for record in records]
    return [text[:300] for text in texts if any(trace in text for trace in TRACES)]


SENSITIVE_BODIES = {
    "a valid request": json.dumps({"features": SENSITIVE}),
    "a valid batch": json.dumps({"instances": [ROW, SENSITIVE]}),
    "a missing feature": json.dumps({"features": {"amount": 735192846.125}}),
    "an unknown feature": json.dumps({"features": {**SENSITIVE, "zone": 735192846.125}}),
    "text for a number": json.dumps({"features": {"amount": "tulip 735192846", "hour": 1}}),
    "text for a number in a batch": json.dumps({"instances": [ROW, {"amount": "tulip", "hour": 1}]}),
    "a list for a number": json.dumps({"features": {"amount": [735192846], "hour": 1}}),
    "NaN beside it": '{"features": {"amount": 735192846.125, "hour": NaN}}',
    "a model that raises": json.dumps({"features": {**SENSITIVE, "hour": 13}}),
    "an output that is NaN": json.dumps({"features": {**SENSITIVE, "hour": 14}}),
    "too many instances": json.dumps({"instances": [SENSITIVE] * 4}),
    "a body that is too large": json.dumps({"features": SENSITIVE}) + " " * 400,
    "both keys": json.dumps({"features": SENSITIVE, "instances": [SENSITIVE]}),
    "features outside": json.dumps(SENSITIVE),
}


class Labels(Model):
    """As Model, but with an answer that says nothing of the features."""

    def predict(self, rows):
        return np.where(np.isnan(super().predict(rows)), np.nan, 1.0)


@requirement("R13")
def test_no_log_record_holds_a_value(submission, serve, props):
    logger, listener = props.collecting_logger(), props.listen_to_everything()
    client = limited(submission, serve, Labels(), logger=logger)
    for kind, body in SENSITIVE_BODIES.items():
        post(client, body)
        found = leaks(props.records(logger) + props.records_of(listener))
        assert not found, f"{kind} was sent, and a log record holds a value of it: {found[0]}"


@requirement("R13")
def test_no_log_record_holds_a_value_without_a_model(submission, serve, props):
    logger = props.collecting_logger()
    client = serve(submission.create_app(submission.ModelAPI(feature_names=NAMES, logger=logger)))
    post(client, SENSITIVE_BODIES["a valid request"])
    found = leaks(props.records(logger))
    assert not found, f"a request came without a model, and a log record holds a value of it: {found[0]}"


# R14


def too_much(response, model, what):
    assert response.status_code == 413, f"{what} was answered {response.status_code}: {response.text[:200]}"
    assert model.calls == 0, f"{what} reached the model"
    try:
        error = json.loads(response.text)["error"]
        texts = [error["code"], error["message"], error["request_id"]]
    except (ValueError, TypeError, KeyError):
        pytest.fail(f"{what} was answered 413 without the error body: {response.text[:200]!r}")
    assert all(type(text) is str for text in texts), f"{what} had an error with something else than strings: {error}"
    assert texts[0], f"{what} had an error with an empty code"


def padded(size, body=None):
    """A valid body of exactly `size` bytes."""
    text = json.dumps(body or row(4)).encode()
    assert len(text) <= size, f"a body of {len(text)} bytes can't be made {size} long"
    return text[:-1] + b" " * (size - len(text)) + text[-1:]


def in_chunks(content, size=64):
    """Iterate over a content, which makes httpx send it in chunks, without a Content-Length."""
    for place in range(0, len(content), size):
        yield content[place : place + size]


@requirement("R14")
def test_more_instances_than_allowed_answer_413(submission, serve):
    for limit, count in ((3, 4), (3, 50), (1, 2), (10, 11)):
        model = Model()
        client = start(submission, serve, model, max_batch=limit)
        what = f"{count} instances with max_batch={limit}"
        too_much(post(client, json.dumps({"instances": [ROW] * count})), model, what)
        status = post(client, json.dumps({"instances": [ROW] * limit})).status_code
        assert status == 200, f"{limit} instances with max_batch={limit} were answered {status}"


@requirement("R14")
def test_a_thousand_instances_are_allowed_by_default(submission, serve):
    model = Model()
    client = start(submission, serve, model)
    too_much(post(client, json.dumps({"instances": [ROW] * 1001})), model, "1001 instances without a max_batch given")
    response = post(client, json.dumps({"instances": [ROW] * 1000}))
    assert response.status_code == 200, f"1000 instances without a max_batch given were answered {response.status_code}"


@requirement("R14")
@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "in-chunks"])
def test_the_body_limit_is_exact(submission, serve, chunked):
    way = "in chunks" if chunked else "with a Content-Length"
    for limit in (200, 1024, 70_000):
        model = Model()
        client = start(submission, serve, model, max_body_bytes=limit)
        for size in (limit + 1, limit + 7, 2 * limit, limit):
            content = padded(size)
            sent = in_chunks(content, max(50, limit // 10)) if chunked else content
            response = client.post("/predict", content=sent, headers=JSON)
            what = f"a body of {size} bytes {way}, with max_body_bytes={limit},"
            if size > limit:
                too_much(response, model, what)
        assert response.status_code == 200, f"{what} was answered {response.status_code}"
        assert model.calls == 1, f"{what} called the model {model.calls} times"


@requirement("R14")
def test_the_body_limit_goes_for_batches_too(submission, serve):
    model = Model()
    client = start(submission, serve, model, max_body_bytes=300)
    content = padded(301, {"instances": [ROW]})
    too_much(client.post("/predict", content=content, headers=JSON), model, "a batch of 301 bytes, with 300 allowed,")
    too_much(client.post("/predict", content=in_chunks(content), headers=JSON), model, "a batch of 301 bytes in chunks")


@requirement("R14")
@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "in-chunks"])
def test_a_million_bytes_are_allowed_by_default(submission, serve, chunked):
    model = Model()
    client = start(submission, serve, model)
    send = (lambda content: in_chunks(content, 100_000)) if chunked else bytes
    response = client.post("/predict", content=send(padded(1_000_001)), headers=JSON)
    too_much(response, model, "a body of 1,000,001 bytes without a max_body_bytes given")
    response = client.post("/predict", content=send(padded(1_000_000)), headers=JSON)
    assert response.status_code == 200, f"a body of 1,000,000 bytes was answered {response.status_code}"


@requirement("R14")
@pytest.mark.parametrize("chunked", [False, True], ids=["with-length", "in-chunks"])
def test_the_service_goes_on_after_a_body_that_was_too_large(submission, serve, chunked):
    model = Model()
    client = start(submission, serve, model, max_body_bytes=300)
    for number in range(1, 4):
        content = padded(5000)
        response = client.post("/predict", content=in_chunks(content) if chunked else content, headers=JSON)
        assert response.status_code == 413, (
            f"a body of 5000 bytes, with 300 allowed, was answered {response.status_code}"
        )
        good = client.post("/predict", content=in_chunks(padded(300), 10) if chunked else padded(300), headers=JSON)
        assert good.status_code == 200, f"the request after a body that was too large was answered {good.status_code}"
        assert model.calls == number, "a body that was too large reached the model"


@requirement("R14")
def test_predict_batch_refuses_too_many_instances(submission):
    model = Model()
    api = submission.ModelAPI(model=lend(model, "predict"), feature_names=NAMES, max_batch=3)
    with pytest.raises(submission.FeatureValidationError):
        api.predict_batch([ROW] * 4)
    assert model.calls == 0, "four instances with max_batch=3 reached the model"
    assert len(api.predict_batch([ROW] * 3)["predictions"]) == 3, "three instances with max_batch=3 were not predicted"


LINE = re.compile(r'predict_requests_total\{status="(\d{3})"\} (\S+)')


def counted(client):
    """The counts that /metrics shows, without zeros."""
    response = client.get("/metrics")
    assert response.status_code == 200, f"/metrics answered {response.status_code}"
    kind = response.headers.get("content-type", "")
    assert kind.startswith("text/plain"), f"/metrics answered with the content type {kind!r}, which is no plain text"
    lines = [line.strip() for line in response.text.splitlines() if line.startswith("predict_requests_total{")]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), f"/metrics holds a line that is not of the form promised: {lines}"
    numbers = {int(match[1]): match[2] for match in found}
    assert len(numbers) == len(found), f"/metrics has more than one line for a status: {lines}"
    assert all(re.fullmatch(r"\d+", number) for number in numbers.values()), f"/metrics holds no integer count: {lines}"
    return {status: int(number) for status, number in numbers.items() if int(number)}


def settles_at(client, wanted, what):
    """An answer may be counted a moment after it has been sent, so look more than once."""
    for _ in range(50):
        seen = counted(client)
        if seen == wanted:
            return
    pytest.fail(f"{what}, /metrics should count {wanted} and counted {seen}")


@requirement("R14")
def test_nothing_is_counted_before_the_first_request(submission, serve):
    client = limited(submission, serve)
    for path in ("/health", "/health/live", "/metrics"):
        client.get(path)
    settles_at(client, {}, "before the first request to /predict")


@requirement("R14")
def test_an_answer_of_any_kind_is_counted(submission, serve):
    client = limited(submission, serve)
    wanted = {}
    for kind, body in ALL.items():
        for _ in range(2):
            status = post(client, body).status_code
            wanted[status] = wanted.get(status, 0) + 1
            settles_at(client, wanted, f"after a request of the kind {kind!r}")


@requirement("R14")
def test_answers_are_counted_by_status(submission, serve):
    client = limited(submission, serve)
    wanted = {}
    for body in [BY_STATUS[status] for status in (422, 200, 413, 422, 200, 500, 200, 422, 413, 200)]:
        status = post(client, body).status_code
        wanted[status] = wanted.get(status, 0) + 1
        for path in ("/health", "/health/live"):
            client.get(path)
    settles_at(client, wanted, "after ten requests of four kinds")


@requirement("R14")
def test_an_answer_without_a_model_is_counted(submission, serve):
    client = serve(submission.create_app(submission.ModelAPI(feature_names=NAMES)))
    for number in (1, 2):
        status = post(client, BY_STATUS[200]).status_code
        client.get("/health")
        settles_at(client, {status: number}, f"after {number} request(s) without a model")


@requirement("R14")
def test_a_chunked_body_that_is_too_large_is_counted(submission, serve):
    client = start(submission, serve, max_body_bytes=300)
    for number in (1, 2):
        status = client.post("/predict", content=in_chunks(padded(900)), headers=JSON).status_code
        assert status == 413, f"900 bytes in chunks, with 300 allowed, were answered {status}"
        settles_at(client, {413: number}, f"after {number} chunked bodies that were too large")


@requirement("R14")
def test_simultaneous_answers_are_all_counted(submission, serve):
    client = limited(submission, serve)
    gate = threading.Barrier(6)

    def ask(kind):
        gate.wait(5)
        return [post(client, BY_STATUS[kind]).status_code for _ in range(10)]

    with ThreadPoolExecutor(6) as pool:
        seen = [status for answers in pool.map(ask, (200, 422, 500, 413, 200, 422)) for status in answers]
    settles_at(client, dict(Counter(seen)), "after 60 simultaneous requests")

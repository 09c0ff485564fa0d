"""The life of a service: health, a start without a model, slow predictions, loading, reloading (R4, R5, R10 to R12)."""

import contextlib
import hashlib
import io
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from rounds.testing import lend, requirement

NAMES = ["amount", "hour"]
ROW = {"amount": 12.5, "hour": 4}
PATIENCE = 8  # seconds after which a test gives up on an answer that should have come at once


class Constant:
    """A model that returns one number for every row."""

    def __init__(self, value):
        self.value = value
        self.calls = 0

    def predict(self, rows):
        self.calls += 1
        return [self.value] * len(rows)

    def lent(self):
        return lend(self, "predict")


class Raising(Constant):
    def predict(self, rows):
        raise RuntimeError("the model is out of order")


class Parked(Constant):
    """A model that says when a call has entered, and keeps it until the gate opens; then the value, else -1."""

    def __init__(self, value):
        super().__init__(value)
        self.entered, self.gate = threading.Event(), threading.Event()

    def predict(self, rows):
        self.entered.set()
        return [self.value if self.gate.wait(2 * PATIENCE) else -1.0] * len(rows)


class Visits:
    """Keeps what a loader in the sandbox read, and may do something while the loader waits."""

    def __init__(self, meanwhile=None):
        self.contents = []
        self.meanwhile = meanwhile

    def note(self, content):
        self.contents.append(bytes(content))
        if self.meanwhile:
            self.meanwhile()

    def lent(self):
        return lend(self, "note")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def predict(client, **options):
    return client.post("/predict", json={"features": ROW}, **options)


def health(client):
    response = client.get("/health")
    try:
        body = json.loads(response.text)
        return response.status_code, body["model_loaded"], body
    except (ValueError, TypeError, KeyError):
        pytest.fail(
            f"/health was answered {response.status_code} without model_loaded in a JSON object: {response.text!r}"
        )


def up(client, version, when):
    status, loaded, body = health(client)
    assert status == 200, f"{when}, /health answered {status}: {body}"
    assert loaded is True, f"{when}, model_loaded was {loaded!r}"
    assert body.get("model_version") == version, f"{when}, /health should give version {version!r} and gave {body}"
    assert type(body.get("status")) is str, f"{when}, the status in {body} is no string"
    assert body["status"], f"{when}, the status in {body} is empty"


def down(client, when):
    status, loaded, body = health(client)
    assert status == 503, f"{when}, /health answered {status}: {body}"
    assert loaded is False, f"{when}, model_loaded was {loaded!r}"
    assert type(body.get("status")) is str, f"{when}, the status in {body} is no string"
    assert body["status"], f"{when}, the status in {body} is empty"


def alive(client, when):
    status = client.get("/health/live").status_code
    assert status == 200, f"{when}, /health/live answered {status}"


def serving(client, value, version, when):
    response = predict(client)
    assert response.status_code == 200, f"{when}, /predict answered {response.status_code}: {response.text[:200]}"
    body = response.json()
    seen = (body.get("prediction"), body.get("model_version"))
    assert seen == (value, version), f"{when}, prediction and version should be {(value, version)} and were {seen}"


def unavailable(client, when):
    response = predict(client)
    assert response.status_code == 503, f"{when}, /predict answered {response.status_code}: {response.text[:200]}"
    try:
        error = json.loads(response.text)["error"]
        texts = [error["code"], error["message"], error["request_id"]]
    except (ValueError, TypeError, KeyError):
        pytest.fail(f"{when}, /predict answered 503 without the error body: {response.text[:200]!r}")
    assert all(type(text) is str for text in texts), f"{when}, the error body held something else than strings: {error}"
    assert texts[0], f"{when}, the code of the error was empty"


def fixture_api(submission, props, scratch, visits, **options):
    """An API whose files hold the name of a lent model: old.txt, new.txt, third.txt and broken.txt."""
    models = {"old": Constant(1.0), "new": Constant(2.0), "third": Constant(3.0), **options.pop("models", {})}
    for name in [*models, "broken"]:
        scratch.write(f"{name}.txt", name)
    loader = props.loader_by_content(visits.lent(), **{name: model.lent() for name, model in models.items()})
    return submission.ModelAPI(options.pop("path", None), feature_names=NAMES, loader=loader, **options)


def at(scratch, name):
    return f"{scratch.path}/{name}"


# R4


@requirement("R4")
def test_health_is_200_with_a_model(submission, serve):
    api = submission.ModelAPI(model=Constant(1.0).lent(), feature_names=NAMES, model_version="2026.1")
    client = serve(submission.create_app(api))
    up(client, "2026.1", "with a model")
    alive(client, "with a model")


@requirement("R4")
def test_health_is_503_without_a_model(submission, serve):
    client = serve(submission.create_app(submission.ModelAPI(feature_names=NAMES)))
    down(client, "without a model")
    alive(client, "without a model")


@requirement("R4")
def test_health_turns_when_a_model_arrives_after_the_start(submission, serve, props, scratch):
    api = fixture_api(submission, props, scratch, Visits())
    client = serve(submission.create_app(api))
    down(client, "before the first reload")
    api.reload(at(scratch, "new.txt"), model_version="5")
    up(client, "5", "after the first reload")
    alive(client, "after the first reload")
    serving(client, 2.0, "5", "after the first reload")


@requirement("R4")
def test_health_stays_503_when_the_first_reload_fails(submission, serve, props, scratch):
    api = fixture_api(submission, props, scratch, Visits())
    client = serve(submission.create_app(api))
    with contextlib.suppress(Exception):  # which exception it is, is a question of R11
        api.reload(at(scratch, "broken.txt"), model_version="5")
    down(client, "after a reload that failed")
    alive(client, "after a reload that failed")


@requirement("R4")
def test_health_is_503_after_a_predict_without_a_model(submission, serve):
    client = serve(submission.create_app(submission.ModelAPI(feature_names=NAMES)))
    predict(client)
    down(client, "after a request that found no model")


@requirement("R4")
def test_health_stays_200_after_a_failed_prediction(submission, serve):
    api = submission.ModelAPI(model=Raising(0).lent(), feature_names=NAMES, model_version="3")
    client = serve(submission.create_app(api))
    for _ in range(3):
        assert predict(client).status_code == 500, "a model that raises was not answered with 500"
    up(client, "3", "after three failed predictions")
    alive(client, "after three failed predictions")


@requirement("R4")
def test_health_does_not_ask_the_model(submission, serve):
    model = Constant(1.0)
    client = serve(
        submission.create_app(submission.ModelAPI(model=model.lent(), feature_names=NAMES, model_version="1"))
    )
    up(client, "1", "with a model")
    assert model.calls == 0, "/health called the model, which is called to answer a request and at no other time"


@requirement("R4")
def test_health_check_returns_the_body(submission, props, scratch):
    api = fixture_api(submission, props, scratch, Visits())
    before = api.health_check()
    assert before["model_loaded"] is False, f"without a model health_check() returned {before}"
    assert type(before["status"]) is str, f"without a model health_check() returned {before}"
    api.reload(at(scratch, "new.txt"), model_version="9")
    after = api.health_check()
    assert after["model_loaded"] is True, f"with a model health_check() returned {after}"
    assert after["model_version"] == "9", f"with version 9 health_check() returned {after}"
    assert type(after["status"]) is str, f"with a model health_check() returned {after}"


# R5


def sample_file(names=None):
    """A linear model as joblib writes it: 2 * amount + 10 * hour + 1, with feature_names_in_ if names are given."""
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(20, 2))
    target = rows @ [2.0, 10.0] + 1.0
    content = io.BytesIO()
    joblib.dump(LinearRegression().fit(rows if names is None else pd.DataFrame(rows, columns=names), target), content)
    return content.getvalue()


def trap_file(marker):
    """A pickle that creates the file `marker` when it is loaded."""

    class Trap:
        def __reduce__(self):
            return open, (marker, "w")

    return pickle.dumps(Trap())


@pytest.fixture
def process_with(scratch, sandbox, serve):
    """Make a process with a model.joblib of that content, and variables that speak of it."""
    made = []

    def make(content, **variables):
        scratch.write("model.joblib", content)
        variables = {"MODEL_PATH": at(scratch, "model.joblib"), "MODEL_FEATURES": "amount,hour", **variables}
        variables = {name: value for name, value in variables.items() if value is not None}
        other = sandbox(environ=variables, files={"model.joblib": content})
        other.props.set_environment(
            variables
        )  # for suites that run in one process, where they must last until start-up
        made.append((other, variables))
        return other

    yield make
    for other, variables in made:
        other.props.set_environment(dict.fromkeys(variables))


@requirement("R5")
def test_the_bare_module_imports_and_answers_503(submission, serve):
    client = serve(submission.app)
    down(client, "with no variable set and no file")
    unavailable(client, "with no variable set and no file")
    alive(client, "with no variable set and no file")


@requirement("R5")
def test_create_app_without_anything_answers_503(submission, serve):
    client = serve(submission.create_app())
    down(client, "when create_app() found no variable set")
    unavailable(client, "when create_app() found no variable set")


@requirement("R5")
@pytest.mark.parametrize("options", [{}, {"feature_names": NAMES}], ids=["bare", "with-names"])
def test_an_api_without_a_model_answers_503(submission, serve, options):
    client = serve(submission.create_app(submission.ModelAPI(**options)))
    down(client, "without a model")
    unavailable(client, "without a model")
    status = client.post("/predict", json={"instances": [ROW, ROW]}).status_code
    assert status == 503, f"without a model a batch was answered {status}"


@requirement("R5")
def test_direct_calls_without_a_model_say_so(submission):
    api = submission.ModelAPI(feature_names=NAMES)
    with pytest.raises(submission.ModelNotLoadedError):
        api.predict(ROW)
    with pytest.raises(submission.ModelNotLoadedError):
        api.predict_batch([ROW, ROW])


@requirement("R5")
def test_a_bad_body_without_a_model_is_503_or_422(submission, serve):
    client = serve(submission.create_app(submission.ModelAPI(feature_names=NAMES)))
    for body in ({}, [], {"features": 3}, {"instances": []}, {"features": {"amount": "x", "hour": 1}}):
        status = client.post("/predict", json=body).status_code
        assert status in (503, 422), f"without a model, the body {body} was answered {status}"


@requirement("R5")
@pytest.mark.parametrize("content", [b"", b"not a model", sample_file()[:100]], ids=["empty", "text", "truncated"])
def test_an_unusable_file_in_the_environment_is_no_accident(process_with, content):
    other = process_with(content)
    client = other.serve(other.submission.app)
    down(client, "with an unusable file at MODEL_PATH")
    unavailable(client, "with an unusable file at MODEL_PATH")
    alive(client, "with an unusable file at MODEL_PATH")


@requirement("R5")
@pytest.mark.parametrize("path", ["/nowhere/model.joblib", "model.joblib", "/"], ids=["absolute", "relative", "folder"])
def test_a_missing_file_in_the_environment_is_no_accident(sandbox, path):
    other = sandbox(environ={"MODEL_PATH": path, "MODEL_VERSION": "4"})
    client = other.serve(other.submission.app)
    down(client, f"with MODEL_PATH={path} and nothing there")
    unavailable(client, f"with MODEL_PATH={path} and nothing there")


@requirement("R5")
def test_the_module_serves_the_model_of_the_environment(process_with):
    other = process_with(sample_file(), MODEL_VERSION="2026-11-25")
    client = other.serve(other.submission.app)
    up(client, "2026-11-25", "with a good model in the environment")
    serving(client, pytest.approx(66.0), "2026-11-25", "with a good model in the environment")


@requirement("R5")
def test_the_features_of_the_environment_give_names_and_order(process_with):
    other = process_with(sample_file(), MODEL_FEATURES="hour,amount", MODEL_VERSION="1")
    client = other.serve(other.submission.app)
    serving(client, pytest.approx(134.0), "1", "with MODEL_FEATURES=hour,amount")
    status = client.post("/predict", json={"features": {"hour": 1, "other": 2}}).status_code
    assert status == 422, f"with MODEL_FEATURES=hour,amount a row with hour and other was answered {status}"


@requirement("R5")
def test_without_model_features_the_model_in_the_file_gives_the_names(process_with):
    other = process_with(sample_file(["amount", "hour"]), MODEL_FEATURES=None, MODEL_VERSION="1")
    client = other.serve(other.submission.app)
    serving(client, pytest.approx(66.0), "1", "with a model that has feature_names_in_ and no MODEL_FEATURES")


@requirement("R5")
def test_a_matching_hash_in_the_environment_is_served(process_with):
    content = sample_file()
    other = process_with(content, MODEL_SHA256=sha256(content), MODEL_VERSION="6")
    client = other.serve(other.submission.app)
    serving(client, pytest.approx(66.0), "6", "with a good model and its MODEL_SHA256")


@requirement("R5")
def test_create_app_reads_the_environment_too(submission, props, serve, scratch):
    scratch.write("model.joblib", sample_file())
    variables = {"MODEL_PATH": at(scratch, "model.joblib"), "MODEL_FEATURES": "amount,hour", "MODEL_VERSION": "8"}
    props.set_environment(variables)
    try:
        client = serve(submission.create_app())
        serving(client, pytest.approx(66.0), "8", "with a good model in the environment of create_app()")
    finally:
        props.set_environment(dict.fromkeys(variables))


@requirement("R5")
def test_an_api_that_is_given_is_served_whatever_the_environment_says(submission, props, serve, scratch):
    variables = {"MODEL_PATH": at(scratch, "nowhere.joblib"), "MODEL_FEATURES": "zone", "MODEL_VERSION": "8"}
    props.set_environment(variables)
    try:
        api = submission.ModelAPI(model=Constant(4.0).lent(), feature_names=NAMES, model_version="1")
        serving(serve(submission.create_app(api)), 4.0, "1", "with an API of its own")
    finally:
        props.set_environment(dict.fromkeys(variables))


# R10


def ask_in_background(pool, client, model, count):
    """Send `count` requests; return their futures once all are sent and at least one is inside the model."""
    body, sent = json.dumps({"features": ROW}).encode(), threading.Semaphore(0)

    def content():
        yield body
        sent.release()  # the body has gone out by the time that the next part is asked for

    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    futures = [
        pool.submit(lambda: client.post("/predict", content=content(), headers=headers, timeout=20))
        for _ in range(count)
    ]
    for _ in futures:
        assert sent.acquire(timeout=PATIENCE), "a request to /predict was not taken while others were in the model"
    assert model.entered.wait(PATIENCE), f"none of {count} requests to /predict reached the model"
    return futures


@requirement("R10")
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_health_answers_while_predictions_are_inside_the_model(submission, serve, count, path):
    model = Parked(0.5)
    api = submission.ModelAPI(model=model.lent(), feature_names=NAMES, model_version="1")
    client = serve(submission.create_app(api))
    with ThreadPoolExecutor(count) as pool:
        try:
            futures = ask_in_background(pool, client, model, count)
            statuses = {client.get(path, timeout=PATIENCE).status_code for _ in range(25)}
        except httpx.TimeoutException:
            pytest.fail(f"GET {path} was not answered while {count} prediction(s) were in flight")
        finally:
            model.gate.set()
        answers = [future.result() for future in futures]
    assert statuses == {200}, f"while {count} prediction(s) were in flight, GET {path} was answered {statuses}"
    seen = [(answer.status_code, answer.json().get("prediction")) for answer in answers]
    assert seen == [(200, 0.5)] * count, f"afterwards the predictions in flight were answered {seen}"


@requirement("R10")
def test_a_batch_inside_the_model_does_not_hold_up_health_either(submission, serve):
    model = Parked(0.5)
    api = submission.ModelAPI(model=model.lent(), feature_names=NAMES, model_version="1")
    client = serve(submission.create_app(api))
    with ThreadPoolExecutor(1) as pool:
        try:
            future = pool.submit(lambda: client.post("/predict", json={"instances": [ROW, ROW]}, timeout=20))
            assert model.entered.wait(PATIENCE), "the batch did not reach the model"
            statuses = [client.get(path, timeout=PATIENCE).status_code for path in ("/health", "/health/live")]
        except httpx.TimeoutException:
            pytest.fail("the health check was not answered while a batch was inside the model")
        finally:
            model.gate.set()
        answer = future.result()
    assert statuses == [200, 200], f"while a batch was inside the model, the health routes answered {statuses}"
    assert answer.json().get("predictions") == [0.5, 0.5], f"afterwards the batch was answered {answer.text[:200]}"


# R11


@requirement("R11")
@pytest.mark.parametrize("kind", [str, Path], ids=["str", "Path"])
@pytest.mark.parametrize("hashed", [True, False], ids=["hash", "no-hash"])
def test_a_file_is_loaded_once_by_the_loader(submission, serve, props, scratch, kind, hashed):
    scratch.write("model.bin", b"weights of the model")
    visits = Visits()
    api = submission.ModelAPI(
        kind(at(scratch, "model.bin")),
        feature_names=NAMES,
        model_version="3",
        loader=props.loader_of(Constant(1.5).lent(), visits.lent()),
        expected_sha256=sha256(b"weights of the model") if hashed else None,
    )
    assert visits.contents == [b"weights of the model"], f"the loader was called for the contents {visits.contents}"
    serving(serve(submission.create_app(api)), 1.5, "3", "with a model from a file")


def mismatches(content):
    right = sha256(content)
    last = "0" if right[-1] != "0" else "1"
    first = "0" if right[0] != "0" else "1"
    return {
        "of other content": sha256(content + b"x"),
        "right but for its last digit": right[:-1] + last,
        "right but for its first digit": first + right[1:],
        "cut short": right[:16],
        "one digit short": right[:-1],
        "one digit long": right + "0",
        "all zero": "0" * 64,
        "an MD5": hashlib.md5(content).hexdigest(),
    }


@requirement("R11")
def test_any_other_hash_is_refused_before_the_loader_is_called(submission, props, scratch):
    scratch.write("model.bin", b"weights of the model")
    for what, digest in mismatches(b"weights of the model").items():
        visits = Visits()
        loader = props.loader_of(Constant(1.5).lent(), visits.lent())
        try:
            submission.ModelAPI(at(scratch, "model.bin"), feature_names=NAMES, loader=loader, expected_sha256=digest)
        except submission.ModelLoadError:
            assert not visits.contents, f"the loader was called, though the expected hash was {what}"
        else:
            pytest.fail(f"a file was accepted, though the expected hash was {what}")


@requirement("R11")
def test_reload_refuses_any_other_hash_before_the_loader_is_called(submission, props, scratch):
    visits = Visits()
    api = fixture_api(submission, props, scratch, visits)
    for what, digest in mismatches(b"new").items():
        try:
            api.reload(at(scratch, "new.txt"), expected_sha256=digest, model_version="2")
        except submission.ModelLoadError:
            assert not visits.contents, f"reload() called the loader, though the expected hash was {what}"
        else:
            pytest.fail(f"reload() accepted a file, though the expected hash was {what}")
    api.reload(at(scratch, "new.txt"), expected_sha256=sha256(b"new"), model_version="2")
    assert visits.contents == [b"new"], f"with the right hash reload() called the loader for {visits.contents}"


@requirement("R11")
@pytest.mark.parametrize("place", [0, 1_500_000, -1], ids=["first", "middle", "last"])
def test_every_byte_of_a_large_file_counts(submission, props, scratch, place):
    good = bytearray(b"0123456789abcdef" * 200_000)
    bad = bytearray(good)
    bad[place] ^= 1
    scratch.write("model.bin", bytes(bad))
    visits = Visits()
    loader = props.loader_of(Constant(1.5).lent(), visits.lent())
    with pytest.raises(submission.ModelLoadError):
        submission.ModelAPI(
            at(scratch, "model.bin"), feature_names=NAMES, loader=loader, expected_sha256=sha256(bytes(good))
        )
    assert not visits.contents, "the loader was called for a file that differs in one byte"


@requirement("R11")
def test_a_large_file_with_the_right_hash_is_loaded(submission, props, scratch):
    content = bytes(range(256)) * 12_000 + b"end"
    scratch.write("model.bin", content)
    visits = Visits()
    loader = props.loader_of(Constant(1.5).lent(), visits.lent())
    api = submission.ModelAPI(
        at(scratch, "model.bin"), feature_names=NAMES, loader=loader, expected_sha256=sha256(content)
    )
    assert visits.contents == [content], (
        f"the loader was called {len(visits.contents)} times for a file with the right hash"
    )
    assert api.predict(ROW)["prediction"] == 1.5, "the model from a file with the right hash was not served"


@requirement("R11")
def test_a_payload_does_not_run_when_the_hash_differs(submission, scratch):
    content = trap_file(at(scratch, "marker"))
    scratch.write("model.joblib", content)
    with pytest.raises(submission.ModelLoadError):
        submission.ModelAPI(at(scratch, "model.joblib"), feature_names=NAMES, expected_sha256=sha256(b"the real model"))
    assert "marker" not in scratch.files(), "the payload of a pickle ran, though the hash differed"


@requirement("R11")
def test_a_payload_does_not_run_in_a_reload_when_the_hash_differs(submission, scratch):
    api = submission.ModelAPI(model=Constant(1.0).lent(), feature_names=NAMES)
    scratch.write("model.joblib", trap_file(at(scratch, "marker")))
    with pytest.raises(submission.ModelLoadError):
        api.reload(at(scratch, "model.joblib"), expected_sha256=sha256(b"the real model"), model_version="2")
    assert "marker" not in scratch.files(), "the payload of a pickle ran in reload(), though the hash differed"


@requirement("R11")
def test_a_payload_in_the_environment_does_not_run_when_the_hash_differs(process_with, scratch):
    other = process_with(trap_file(at(scratch, "marker")), MODEL_SHA256=sha256(b"the real model"))
    client = other.serve(other.submission.app)
    unavailable(client, "with a MODEL_SHA256 that differs")
    down(client, "with a MODEL_SHA256 that differs")
    found = [*other.scratch.files(), *scratch.files()]
    assert "marker" not in found, "the payload of a pickle ran, though MODEL_SHA256 differed"


@requirement("R11")
@pytest.mark.parametrize("hashed", [True, False], ids=["hash", "no-hash"])
def test_a_file_that_is_none_is_a_model_load_error(submission, scratch, hashed):
    api = submission.ModelAPI(model=Constant(1.0).lent(), feature_names=NAMES)
    scratch.write("folder/inside.txt", "a file in a folder")
    for name, content in {
        "missing": None,
        "folder": None,
        "empty": b"",
        "text": b"no model",
        "cut": sample_file()[:80],
    }.items():
        if content is not None:
            scratch.write(name, content)
        digest = sha256(content or b"") if hashed else None
        load_errors = []
        for load, options in ((submission.ModelAPI, {"feature_names": NAMES}), (api.reload, {"model_version": "2"})):
            try:
                load(at(scratch, name), expected_sha256=digest, **options)
            except submission.ModelLoadError as error:
                load_errors.append(error)
        assert len(load_errors) == 2, f"constructor or reload() raised no ModelLoadError for a path to this: {name}"


LOADER_ERRORS = ["ValueError", "KeyError", "EOFError", "OSError", "ImportError", "RuntimeError", "UnpicklingError"]


@requirement("R11")
def test_whatever_the_loader_raises_is_a_model_load_error(submission, props, scratch):
    scratch.write("model.bin", b"weights")
    path, digest = at(scratch, "model.bin"), sha256(b"weights")
    for kind in LOADER_ERRORS:
        loader = props.raising_loader(kind)
        api = submission.ModelAPI(feature_names=NAMES, loader=loader)
        for load in (
            lambda use: submission.ModelAPI(path, feature_names=NAMES, loader=use),
            lambda use: submission.ModelAPI(path, feature_names=NAMES, loader=use, expected_sha256=digest),
            lambda _, api=api: api.reload(path, model_version="2"),
        ):
            try:
                load(loader)
            except submission.ModelLoadError:
                continue
            pytest.fail(f"a loader raised {kind}, and nothing was raised")


@requirement("R11")
def test_joblib_is_the_loader_when_none_is_given(submission, serve, scratch):
    content = sample_file()
    scratch.write("model.joblib", content)
    api = submission.ModelAPI(
        at(scratch, "model.joblib"), feature_names=NAMES, model_version="2", expected_sha256=sha256(content)
    )
    serving(serve(submission.create_app(api)), pytest.approx(66.0), "2", "with a file that joblib wrote")


# R12


@requirement("R12")
def test_reload_replaces_model_and_version(submission, serve, props, scratch):
    api = fixture_api(submission, props, scratch, Visits(), path=at(scratch, "old.txt"), model_version="1")
    client = serve(submission.create_app(api))
    serving(client, 1.0, "1", "before the reload")
    for name, value, version in (("new", 2.0, "2"), ("third", 3.0, "3-rc.1"), ("old", 1.0, "1")):
        api.reload(at(scratch, f"{name}.txt"), model_version=version)
        serving(client, value, version, "after a reload")
        up(client, version, "after a reload")
        direct = api.predict_batch([ROW, ROW])
        assert direct["predictions"] == [value] * 2, f"after a reload predict_batch() returned {direct}"
        assert direct["model_version"] == version, f"after a reload predict_batch() returned {direct}"


@requirement("R12")
def test_a_model_given_as_an_object_is_replaced_too(submission, serve, props, scratch):
    api = fixture_api(submission, props, scratch, Visits(), model=Constant(7.0).lent(), model_version="object")
    client = serve(submission.create_app(api))
    serving(client, 7.0, "object", "before the reload")
    api.reload(Path(at(scratch, "new.txt")), expected_sha256=sha256(b"new"), model_version="2")
    serving(client, 2.0, "2", "after the reload")


FAILING_RELOADS = {
    "a wrong hash": ("new.txt", sha256(b"other")),
    "a missing file": ("missing.txt", None),
    "a missing file and a hash": ("missing.txt", sha256(b"new")),
    "a loader that raises": ("broken.txt", None),
    "a right hash and a loader that raises": ("broken.txt", sha256(b"broken")),
}


@requirement("R12")
def test_a_failed_reload_changes_nothing(submission, serve, props, scratch):
    api = fixture_api(submission, props, scratch, Visits(), path=at(scratch, "old.txt"), model_version="1")
    client = serve(submission.create_app(api))
    for kind, (name, digest) in FAILING_RELOADS.items():
        with pytest.raises(submission.ModelLoadError):
            api.reload(at(scratch, name), expected_sha256=digest, model_version="2")
        serving(client, 1.0, "1", f"after a reload that failed for {kind}")
        up(client, "1", f"after a reload that failed for {kind}")
    api.reload(at(scratch, "new.txt"), model_version="3")
    serving(client, 2.0, "3", "after a reload that succeeded at last")


@requirement("R12")
@pytest.mark.parametrize("name", ["new.txt", "broken.txt"], ids=["success", "failure"])
def test_while_a_file_is_loaded_the_old_model_answers(submission, serve, props, scratch, name):
    seen = []

    def meanwhile():
        if client is not None:
            try:
                answers = predict(client, timeout=PATIENCE), client.get("/health", timeout=PATIENCE)
                seen.append([answer.json() for answer in answers])
            except httpx.TimeoutException:
                seen.append("no answer")

    client, visits = None, Visits(meanwhile)
    api = fixture_api(submission, props, scratch, visits, path=at(scratch, "old.txt"), model_version="1")
    client = serve(submission.create_app(api))
    try:
        api.reload(at(scratch, name), model_version="2")
    except submission.ModelLoadError:
        assert name == "broken.txt", "a reload failed only because requests came while it ran"
    assert len(seen) == 1, f"the loader was called {len(seen)} times by one reload"
    assert seen[0] != "no answer", "a request that came while a file was being loaded was not answered"
    answer, state = seen[0]
    pair = (answer.get("prediction"), answer.get("model_version"))
    assert pair == (1.0, "1"), f"while a file was being loaded, /predict answered {answer}"
    assert (state.get("model_loaded"), state.get("model_version")) == (True, "1"), (
        f"while a file was being loaded, /health answered {state}"
    )


@requirement("R12")
@pytest.mark.parametrize("body", [{"features": ROW}, {"instances": [ROW, ROW]}], ids=["features", "instances"])
def test_a_request_inside_the_old_model_keeps_the_old_version(submission, serve, props, scratch, body):
    model = Parked(0.5)
    api = fixture_api(
        submission, props, scratch, Visits(), models={"slow": model}, path=at(scratch, "slow.txt"), model_version="1"
    )
    client = serve(submission.create_app(api))
    with ThreadPoolExecutor(2) as pool:
        try:
            future = pool.submit(lambda: client.post("/predict", json=body, timeout=20))
            assert model.entered.wait(PATIENCE), "the request did not reach the model"
            reload = pool.submit(lambda: api.reload(at(scratch, "new.txt"), model_version="2"))
            done, _ = threading.Event(), reload.add_done_callback(lambda _: done.set())
            done.wait(2)  # a reload that waits for requests in flight is right, too: it ends when the gate opens
        finally:
            model.gate.set()
        answer = future.result().json()
        reload.result()
    seen = answer.get("prediction", answer.get("predictions"))
    assert seen in (0.5, [0.5, 0.5]), f"a request that was inside the old model during a reload was answered {answer}"
    assert answer.get("model_version") == "1", f"the old model computed the answer, and it carries {answer}"
    serving(client, 2.0, "2", "after the reload")


@requirement("R12")
def test_a_direct_call_inside_the_old_model_keeps_the_old_version(submission, props, scratch):
    model = Parked(0.5)
    api = fixture_api(
        submission, props, scratch, Visits(), models={"slow": model}, path=at(scratch, "slow.txt"), model_version="1"
    )
    with ThreadPoolExecutor(2) as pool:
        try:
            future = pool.submit(lambda: api.predict(ROW))
            assert model.entered.wait(PATIENCE), "predict() did not reach the model"
            reload = pool.submit(lambda: api.reload(at(scratch, "new.txt"), model_version="2"))
            done, _ = threading.Event(), reload.add_done_callback(lambda _: done.set())
            done.wait(2)
        finally:
            model.gate.set()
        answer = future.result()
        reload.result()
    seen = (answer["prediction"], answer["model_version"])
    assert seen == (0.5, "1"), f"a call that was inside the old model during a reload returned {answer}"


@requirement("R12")
def test_the_hash_of_the_constructor_does_not_bind_a_reload(submission, serve, props, scratch):
    api = fixture_api(
        submission,
        props,
        scratch,
        Visits(),
        path=at(scratch, "old.txt"),
        expected_sha256=sha256(b"old"),
        model_version="1",
    )
    client = serve(submission.create_app(api))
    serving(client, 1.0, "1", "before the reload")
    api.reload(at(scratch, "new.txt"), model_version="2")
    serving(client, 2.0, "2", "after a reload without a hash")
    api.reload(at(scratch, "third.txt"), expected_sha256=sha256(b"third"), model_version="3")
    serving(client, 3.0, "3", "after a reload with its own hash")


@requirement("R12")
def test_no_answer_mixes_two_models(submission, props, scratch):
    api = props.reloading_api(submission, {"one": 1.0, "two": 2.0})
    for name in ("one", "two"):
        scratch.write(name, name)
    pairs = props.pairs_seen_during_reloads(
        api, [("2", at(scratch, "two")), ("1", at(scratch, "one"))], calls=300, threads=3
    )
    mixed = [tuple(pair) for pair in pairs if tuple(pair) not in {(1.0, "1"), (2.0, "2")}]
    assert not mixed, (
        f"during reloads predict() returned predictions of one model with the version of the other: {mixed}"
    )

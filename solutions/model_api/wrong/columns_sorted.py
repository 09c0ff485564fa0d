"""The columns are sorted by name.  Fails: R1, R2, R3, R5, R6, R9."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import math
import os
import queue
import secrets
import string
import threading
from collections import defaultdict
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

ALLOWED = frozenset(string.ascii_letters + string.digits + "._-")
STATUSES = (200, 413, 422, 500, 503)


class ServiceError(Exception):
    """Anything that is answered by something else than 200."""

    status, code, public = 500, "internal", "internal error"


class FeatureValidationError(ServiceError, ValueError):
    status, code = 422, "bad_request"


class TooLarge(FeatureValidationError):
    status, code = 413, "too_large"


class ModelNotLoadedError(ServiceError, RuntimeError):
    status, code = 503, "model_not_loaded"


class ModelLoadError(RuntimeError):
    pass


class PredictionError(ServiceError, RuntimeError):
    code = "prediction_failed"


class InvalidOutput(PredictionError):
    code = "invalid_model_output"


def no_constants(name):
    raise ValueError(name)


class ModelAPI:
    def __init__(
        self,
        model_path=None,
        *,
        model=None,
        feature_names=None,
        model_version="0",
        expected_sha256=None,
        loader=None,
        max_batch=1000,
        max_body_bytes=1_000_000,
        logger=None,
    ):
        self._names, self._loader = feature_names, loader or joblib.load
        self.max_batch, self.max_body_bytes = max_batch, max_body_bytes
        self.logger = logger or logging.getLogger("model_api")
        self._current = {"model": model, "version": model_version, "loaded": model is not None}
        if model_path is not None:
            self.reload(model_path, expected_sha256=expected_sha256, model_version=model_version)

    def reload(self, model_path, *, expected_sha256=None, model_version):
        path = Path(model_path)
        if not path.is_file():
            raise ModelLoadError(f"there is no file {path}")
        if expected_sha256 is not None:
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            if not hmac.compare_digest(digest.hexdigest(), expected_sha256):
                raise ModelLoadError(f"the hash of {path} differs")
        try:
            model = self._loader(path)
        except Exception as error:
            raise ModelLoadError(f"{path} cannot be loaded") from error
        self._current = {"model": model, "version": model_version, "loaded": True}

    def health_check(self):
        current = self._current
        return {
            "status": "serving" if current["loaded"] else "waiting for a model",
            "model_loaded": current["loaded"],
            "model_version": current["version"] if current["loaded"] else "",
        }

    def predict(self, features):
        result = self.work(self.prepare([features]))
        return {"prediction": result["predictions"][0], "model_version": result["model_version"]}

    def predict_batch(self, instances):
        return self.work(self.prepare(instances))

    def prepare(self, rows):
        """Check rows and put them in order: everything but the model's own part."""
        current = self._current
        if not current["loaded"]:
            raise ModelNotLoadedError("no model")
        if not isinstance(rows, list) or not rows:
            raise FeatureValidationError("instances must be a list that is not empty")
        if len(rows) > self.max_batch:
            raise TooLarge("too many instances")
        names = list(current["model"].feature_names_in_) if self._names is None else list(self._names)
        names = sorted(names)
        frame = {name: [] for name in names}
        for row in rows:
            if type(row) is not dict:
                raise FeatureValidationError("a row must be an object")
            if odd := set(row) ^ set(names):
                raise FeatureValidationError("missing or unknown: " + ", ".join(sorted(odd)))
            for name, value in row.items():
                if type(value) not in (int, float) or not math.isfinite(value):
                    raise FeatureValidationError(f"{name} must be a finite number")
                frame[name].append(float(value))
        return current, pd.DataFrame(frame, columns=names)

    @staticmethod
    def work(prepared):
        """The model's own part: call it, and check what it returned."""
        current, frame = prepared
        try:
            output = current["model"].predict(frame)
        except Exception as error:
            raise PredictionError("the model raised") from error
        return {"predictions": plain(output, len(frame)), "model_version": current["version"]}


def plain(output, count):
    values = np.asarray(output, dtype=object)
    if values.shape == (count, 1):
        values = values.reshape(count)
    if values.shape != (count,):
        raise InvalidOutput("one value per row is needed")
    result = []
    for value in values:
        if isinstance(value, str):
            result.append(str(value))
        elif isinstance(value, int | np.integer):
            result.append(int(value))
        elif math.isfinite(value):
            result.append(float(value))
        else:
            raise InvalidOutput("a value is NaN or infinite")
    return result


class Worker:
    """A thread that runs one job after another, and hands results to the event loop."""

    def __init__(self):
        self.jobs = queue.Queue()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while job := self.jobs.get():
            work, loop, future = job
            try:
                outcome, deliver = work(), future.set_result
            except Exception as error:
                outcome, deliver = error, future.set_exception
            loop.call_soon_threadsafe(self.settle, future, deliver, outcome)

    @staticmethod
    def settle(future, deliver, outcome):
        if not future.done():
            deliver(outcome)

    async def do(self, work):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.jobs.put((work, loop, future))
        return await future

    def stop(self):
        self.jobs.put(None)


def parse(content):
    """Return the rows a body asks for, and whether it is a batch."""
    try:
        asked = json.loads(content, parse_constant=no_constants)
    except ValueError:
        raise FeatureValidationError("the body is not JSON") from None
    if not isinstance(asked, dict):
        raise FeatureValidationError("the body must be an object")
    match "features" in asked, "instances" in asked:
        case True, False:
            return [asked["features"]], False
        case False, True:
            return asked["instances"], True
    raise FeatureValidationError("exactly one of features and instances")


async def content_of(request, limit):
    if int(request.headers.get("content-length", 0)) > limit:
        raise TooLarge("the body is too large")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge("the body is too large")
        parts.append(part)
    return b"".join(parts)


def from_environment():
    get = os.environ.get
    names = get("MODEL_FEATURES", "").split(",") if get("MODEL_FEATURES") else None
    api = ModelAPI(feature_names=names)
    if get("MODEL_PATH"):
        with contextlib.suppress(ModelLoadError):
            api.reload(get("MODEL_PATH"), expected_sha256=get("MODEL_SHA256"), model_version=get("MODEL_VERSION", "0"))
    return api


def create_app(api=None):
    api = from_environment() if api is None else api
    counts = defaultdict(int)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        app.state.worker = Worker()
        yield
        app.state.worker.stop()

    app = FastAPI(lifespan=lifespan)

    @app.middleware("http")
    async def trace(request: Request, call_next):
        if request.url.path != "/predict":
            return await call_next(request)
        given = request.headers.get("X-Request-ID", "")
        good = 1 <= len(given) <= 128 and ALLOWED.issuperset(given)
        request.state.id = given if good else secrets.token_urlsafe(16)
        response = await call_next(request)
        response.headers["X-Request-ID"] = request.state.id
        counts[response.status_code] += 1
        return response

    @app.exception_handler(ServiceError)
    async def explain(request: Request, error: ServiceError):
        message = str(error) if error.status != 500 else "the model could not answer"
        if error.status == 500:
            api.logger.error("prediction failed", exc_info=error, extra={"request_id": request.state.id})
        body = {"code": error.code, "message": message, "request_id": request.state.id}
        return JSONResponse({"error": body}, error.status)

    @app.post("/predict")
    async def predict(request: Request):
        rows, batch = parse(await content_of(request, api.max_body_bytes))
        prepared = api.prepare(rows)
        result = await request.app.state.worker.do(lambda: api.work(prepared))
        if not batch:
            result = {"prediction": result["predictions"][0], "model_version": result["model_version"]}
        return {**result, "request_id": request.state.id}

    @app.get("/health")
    async def health():
        state = api.health_check()
        return JSONResponse(state, status_code=200 if state["model_loaded"] else 503)

    @app.get("/health/live")
    async def live():
        return "alive"

    @app.get("/metrics")
    async def metrics():
        rows = [f'predict_requests_total{{status="{status}"}} {counts[status]}' for status in STATUSES]
        return PlainTextResponse("\n".join(rows))

    return app


app = create_app()

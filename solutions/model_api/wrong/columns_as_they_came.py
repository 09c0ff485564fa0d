"""The columns are in the order of the JSON keys.  Fails: R5, R9."""

import asyncio
import hashlib
import json
import logging
import math
import numbers
import os
import tempfile
import threading
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import joblib
import numpy as np
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response


class FeatureValidationError(ValueError):
    def __init__(self, message, field=None):
        super().__init__(message)
        self.field = field


class ModelNotLoadedError(RuntimeError):
    pass


class ModelLoadError(RuntimeError):
    pass


class PredictionError(RuntimeError):
    def __init__(self, message, code="prediction_failed"):
        super().__init__(message)
        self.code = code


class Limit(FeatureValidationError):
    pass


class ModelAPI:
    def __init__(self, model_path=None, **options):
        self.options = {
            "model": None,
            "feature_names": None,
            "model_version": "0",
            "expected_sha256": None,
            "loader": None,
            "max_batch": 1000,
            "max_body_bytes": 1_000_000,
            "logger": None,
        } | options
        self.guard = threading.RLock()
        self.state = (self.options["model"], self.options["model_version"])
        self.log = self.options["logger"] or logging.getLogger("serving")
        if model_path is not None:
            version = self.options["model_version"]
            self.reload(model_path, expected_sha256=self.options["expected_sha256"], model_version=version)

    def snapshot(self):
        with self.guard:
            return self.state

    def names_for(self, model):
        given = self.options["feature_names"]
        return [str(name) for name in (given if given is not None else model.feature_names_in_)]

    def predict(self, features):
        values, version = self.answer([features])
        return {"prediction": values[0], "model_version": version}

    def predict_batch(self, instances):
        if not isinstance(instances, list) or len(instances) == 0:
            raise FeatureValidationError("instances must be a non-empty list")
        if len(instances) > self.options["max_batch"]:
            raise Limit("too many instances")
        values, version = self.answer(instances)
        return {"predictions": values, "model_version": version}

    def answer(self, rows):
        model, version = self.snapshot()
        if model is None:
            raise ModelNotLoadedError("no model is loaded")
        names = self.names_for(model)
        table = [check_row(row, names) for row in rows]
        try:
            output = model.predict(table)
        except Exception as error:
            raise PredictionError("the model raised an exception") from error
        return clean(output, len(rows)), version

    def health_check(self):
        model, version = self.snapshot()
        if model is None:
            return {"status": "degraded", "model_loaded": False, "model_version": None}
        return {"status": "healthy", "model_loaded": True, "model_version": version}

    def reload(self, model_path, *, expected_sha256=None, model_version):
        loader = self.options["loader"] or joblib.load
        try:
            content = Path(model_path).read_bytes()
            if expected_sha256 is not None and hashlib.sha256(content).hexdigest() != expected_sha256:
                raise ModelLoadError("unexpected hash")
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder) / "model"
                copy.write_bytes(content)
                model = loader(copy)
        except ModelLoadError:
            raise
        except Exception as error:
            raise ModelLoadError(f"cannot load {model_path}") from error
        with self.guard:
            self.state = (model, model_version)


def check_row(row, names):
    if not isinstance(row, dict):
        raise FeatureValidationError("a row must be an object")
    unknown = [name for name in row if name not in names]
    if unknown:
        raise FeatureValidationError("unknown feature", unknown[0])
    for name in names:
        if name not in row:
            raise FeatureValidationError("missing feature", name)
    values = []
    for name, value in row.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise FeatureValidationError("not a finite number", name)
        values.append(float(value))
    return values


def clean(output, count):
    def invalid(why):
        return PredictionError(why, "invalid_model_output")

    items = output.tolist() if hasattr(output, "tolist") else list(output)
    if len(items) != count:
        raise invalid("wrong number of values")
    result = []
    for item in items:
        if isinstance(item, list):
            if len(item) != 1:
                raise invalid("more than one column")
            item = item[0]
        if isinstance(item, np.generic):
            item = item.item()
        if isinstance(item, float) and not math.isfinite(item):
            raise invalid("not finite")
        result.append(item)
    return result


def parse(raw):
    try:
        body = json.loads(raw.decode("utf-8"))
    except ValueError:
        raise FeatureValidationError("malformed JSON") from None
    if not isinstance(body, dict) or len({"features", "instances"} & body.keys()) != 1:
        raise FeatureValidationError("exactly one of features and instances")
    return body


def api_from(environ):
    names = environ.get("MODEL_FEATURES")
    options = {"feature_names": names.split(",") if names else None, "model_version": environ.get("MODEL_VERSION", "0")}
    try:
        return ModelAPI(environ.get("MODEL_PATH"), expected_sha256=environ.get("MODEL_SHA256"), **options)
    except ModelLoadError:
        return ModelAPI(**options)


class Service:
    """The endpoints of one app, and what they share."""

    def __init__(self, api):
        self.api, self.counts, self.counting = api, {}, threading.Lock()
        self.pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix="predict")

    async def predict(self, request: Request) -> Response:
        given = request.headers.get("x-request-id", "")
        good = given.isascii() and 0 < len(given) <= 128 and all(c.isalnum() or c in "._-" for c in given)
        request_id = given if good else uuid.uuid4().hex
        status, body = await self.outcome(request, request_id)
        with self.counting:
            self.counts[status] = self.counts.get(status, 0) + 1
        return Response(json.dumps(body), status, {"X-Request-ID": request_id}, "application/json")

    async def outcome(self, request, request_id):
        def problem(status, code, message, **more):
            return status, {"error": {"code": code, "message": message, "request_id": request_id, **more}}

        try:
            raw = b""
            async for part in request.stream():
                raw += part
                if len(raw) > self.api.options["max_body_bytes"]:
                    raise Limit("the body is too large")
            body = parse(raw)
            call = self.api.predict if "features" in body else self.api.predict_batch
            argument = body["features"] if "features" in body else body["instances"]
            result = await asyncio.get_running_loop().run_in_executor(self.pool, call, argument)
            return 200, {**result, "request_id": request_id}
        except Limit as error:
            return problem(413, "limit_exceeded", str(error))
        except FeatureValidationError as error:
            return problem(422, "validation", str(error), field=error.field)
        except ModelNotLoadedError as error:
            return problem(503, "unavailable", str(error))
        except PredictionError as error:
            self.api.log.error("request %s: %s\n%s", request_id, error.code, traceback.format_exc())
            return problem(500, error.code, "prediction failed")

    async def health(self, request: Request) -> Response:
        state = self.api.health_check()
        return JSONResponse(state, 200 if state["model_loaded"] else 503)

    async def live(self, request: Request) -> Response:
        return Response(status_code=200)

    async def metrics(self, request: Request) -> Response:
        with self.counting:
            items = sorted(self.counts.items())
        return PlainTextResponse("\n".join(f'predict_requests_total{{status="{key}"}} {n}' for key, n in items))


def create_app(api: ModelAPI | None = None) -> FastAPI:
    service = Service(api)

    @asynccontextmanager
    async def lifespan(app):
        if service.api is None:
            service.api = await asyncio.to_thread(api_from, os.environ)
        yield
        service.pool.shutdown(wait=False)

    app = FastAPI(lifespan=lifespan)
    app.add_route("/predict", service.predict, methods=["POST"])
    app.add_route("/health", service.health, methods=["GET"])
    app.add_route("/health/live", service.live, methods=["GET"])
    app.add_route("/metrics", service.metrics, methods=["GET"])
    return app


app = create_app()

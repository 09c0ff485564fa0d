"""The body is a plain dict and fields are converted with float().  Fails: R3, R5, R6, R13, R14."""

import hashlib
import json
import logging
import math
import os
import re
import threading
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import joblib
import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class FeatureValidationError(ValueError):
    pass


class ModelNotLoadedError(RuntimeError):
    pass


class ModelLoadError(RuntimeError):
    pass


class PredictionError(RuntimeError):
    code = "prediction_failed"


class OutputError(PredictionError):
    code = "invalid_model_output"


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
        self.given_names = None if feature_names is None else list(feature_names)
        self.loader = loader or joblib.load
        self.max_batch, self.max_body_bytes = max_batch, max_body_bytes
        self.logger = logger or logging.getLogger("model_api")
        self.lock = threading.Lock()
        self.pair = (model, model_version) if model is not None else None
        if model_path is not None:
            self.reload(model_path, expected_sha256=expected_sha256, model_version=model_version)

    @property
    def names(self):
        """The feature names, or None while nobody knows them."""
        if self.given_names is not None:
            return self.given_names
        with self.lock:
            pair = self.pair
        return None if pair is None else [str(name) for name in pair[0].feature_names_in_]

    def row_type(self):
        config = ConfigDict(extra="forbid")
        return create_model("Row", __config__=config, **dict.fromkeys(self.names, (Number, ...)))

    def reload(self, model_path, *, expected_sha256=None, model_version):
        try:
            path = Path(model_path)
            if expected_sha256 is not None:
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != expected_sha256:
                        raise ModelLoadError(f"{path} is not the file that was expected")
            model = self.loader(path)
        except ModelLoadError:
            raise
        except Exception as error:
            raise ModelLoadError(f"{path} could not be loaded: {type(error).__name__}") from error
        with self.lock:
            self.pair = (model, model_version)

    def current(self):
        with self.lock:
            if self.pair is None:
                raise ModelNotLoadedError("no model has been loaded yet")
            return self.pair

    def run(self, rows):
        """Predict validated rows, given as dicts."""
        model, version = self.current()
        matrix = np.array([[row[name] for name in self.names] for row in rows], dtype=float)
        try:
            output = model.predict(matrix)
        except Exception as error:
            raise PredictionError("the model failed") from error
        return builtins_of(output, len(rows)), version

    def validated(self, rows):
        row_type = self.row_type()
        try:
            return [row_type.model_validate(row).model_dump() for row in rows]
        except ValidationError as error:
            where = ", ".join(str(part) for part in error.errors()[0]["loc"])
            raise FeatureValidationError(f"{where}: {error.errors()[0]['type']}") from None

    def predict(self, features):
        self.current()
        values, version = self.run(self.validated([features]))
        return {"prediction": values[0], "model_version": version}

    def predict_batch(self, instances):
        self.current()
        if not 1 <= len(instances) <= self.max_batch:
            raise FeatureValidationError(f"between 1 and {self.max_batch} instances are needed")
        values, version = self.run(self.validated(instances))
        return {"predictions": values, "model_version": version}

    def health_check(self):
        with self.lock:
            pair = self.pair
        if pair is None:
            return {"status": "unavailable", "model_loaded": False, "model_version": None}
        return {"status": "ok", "model_loaded": True, "model_version": pair[1]}


def builtins_of(output, count):
    values = []
    for value in list(np.asarray(output)) if not isinstance(output, list) else output:
        if isinstance(value, np.ndarray):
            if value.size != 1:
                raise OutputError("more than one column")
            value = value[0]
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            raise OutputError("a value is not finite")
        values.append(value)
    if len(values) != count:
        raise OutputError(f"{len(values)} values for {count} rows")
    return values


class Frame:
    """ASGI wrapper of /predict: gives each request its id, refuses large bodies, counts answers."""

    def __init__(self, app, api, counts):
        self.app, self.api, self.counts = app, api, counts

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] != "/predict" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if re.fullmatch("[-A-Za-z0-9._]{1,128}", given) else str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id

        async def framed_send(message):
            if message["type"] == "http.response.start":
                self.counts[message["status"]] = self.counts.get(message["status"], 0) + 1
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        body, more = b"", True
        while more and len(body) <= self.api.max_body_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if len(body) > self.api.max_body_bytes:
            await failure(413, "too_large", "the body is too large", request_id)(scope, receive, framed_send)
            return

        sent = False

        async def replay():
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, framed_send)


def failure(status, code, message, request_id):
    return JSONResponse({"error": {"code": code, "message": message, "request_id": request_id}}, status)


def request_type(api):
    """The type of a body, or a loose one while the feature names are not known."""
    row = api.row_type() if api.names is not None else dict[str, Number]

    class PredictRequest(BaseModel):
        features: row = None
        instances: Annotated[list[row], Field(min_length=1)] = None

        @model_validator(mode="after")
        def exactly_one(self):
            if len(self.model_fields_set & {"features", "instances"}) != 1:
                raise ValueError("exactly one of features and instances is needed")
            return self

    return PredictRequest


def environment_api():
    variables = {name: os.environ.get(f"MODEL_{name}") for name in ("PATH", "SHA256", "VERSION", "FEATURES")}
    options = {
        "feature_names": variables["FEATURES"].split(",") if variables["FEATURES"] else None,
        "model_version": variables["VERSION"] or "0",
        "expected_sha256": variables["SHA256"],
    }
    try:
        return ModelAPI(variables["PATH"] or None, **options)
    except ModelLoadError as error:
        logging.getLogger("model_api").warning("no model: %s", error)
        return ModelAPI(feature_names=options["feature_names"])


def create_app(api: ModelAPI | None = None) -> FastAPI:
    api = environment_api() if api is None else api
    app, counts = FastAPI(), {}
    app.add_middleware(Frame, api=api, counts=counts)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError):
        detail = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()]
        return JSONResponse({"detail": json.loads(json.dumps(detail, default=str))}, 422)

    @app.exception_handler(ModelNotLoadedError)
    async def missing(request: Request, error: ModelNotLoadedError):
        return failure(503, "no_model", str(error), request.state.request_id)

    @app.exception_handler(PredictionError)
    async def failed(request: Request, error: PredictionError):
        api.logger.error("%s (request %s)", error.code, request.state.request_id, exc_info=error)
        return failure(500, error.code, "the model could not answer", request.state.request_id)

    @app.post("/predict")
    def predict(asked: dict, request: Request):
        api.current()
        body: dict[str, Any] = {"request_id": request.state.request_id}
        if "features" in asked:
            values, body["model_version"] = api.run([asked["features"]])
            return {**body, "prediction": values[0]}
        if len(asked["instances"]) > api.max_batch:
            return failure(413, "too_many", f"at most {api.max_batch} instances", request.state.request_id)
        body["predictions"], body["model_version"] = api.run(asked["instances"])
        return body

    @app.get("/health")
    def health():
        state = api.health_check()
        return JSONResponse(state, 200 if state["model_loaded"] else 503)

    @app.get("/health/live")
    def live():
        return {}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics():
        lines = ["# TYPE predict_requests_total counter"]
        lines += [f'predict_requests_total{{status="{status}"}} {count}' for status, count in counts.items()]
        return "\n".join(lines) + "\n"

    return app


app = create_app()

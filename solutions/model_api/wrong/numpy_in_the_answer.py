"""What the model returned goes into the JSON encoder as it is.  Fails: R1, R7."""

import hashlib
import json
import logging
import math
import os
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
log = logging.getLogger(__name__)


class FeatureValidationError(ValueError):
    """The features of a request are not what the model needs."""


class TooManyInstances(FeatureValidationError):
    """The batch is larger than the service accepts."""


class BodyTooLarge(Exception):
    """The body has more bytes than the service accepts."""


class ModelNotLoadedError(RuntimeError):
    """There is no model to answer with."""


class ModelLoadError(RuntimeError):
    """A model file is missing, unusable or not the one that was expected."""


class PredictionError(RuntimeError):
    """The model failed, or returned something that cannot be an answer."""


class InvalidModelOutput(PredictionError):
    """The model returned something else than one finite value per row."""


@dataclass(frozen=True)
class Served:
    """A model and its version, replaced together."""

    model: Any
    version: str


class ModelAPI:
    """Holds the model that is being served, its version and its limits."""

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        model: Any | None = None,
        feature_names: Sequence[str] | None = None,
        model_version: str = "0",
        expected_sha256: str | None = None,
        loader: Callable[[Path], Any] | None = None,
        max_batch: int = 1000,
        max_body_bytes: int = 1_000_000,
        logger: logging.Logger | None = None,
    ) -> None:
        self.max_batch = max_batch
        self.max_body_bytes = max_body_bytes
        self.logger = logger or log
        self._feature_names = feature_names
        self._loader = loader or joblib.load
        self._served = None if model is None else Served(model, model_version)
        if model_path is not None:
            self.reload(model_path, expected_sha256=expected_sha256, model_version=model_version)

    def predict(self, features: Mapping[str, float]) -> dict:
        """Return `prediction` and `model_version` for one row of features."""
        values, version = self._compute([features])
        return {"prediction": values[0], "model_version": version}

    def predict_batch(self, instances: Sequence[Mapping[str, float]]) -> dict:
        """Return `predictions`, in order, and `model_version`, from one call of the model."""
        if not isinstance(instances, list | tuple) or not instances:
            raise FeatureValidationError("instances: a non-empty list of objects is needed")
        if len(instances) > self.max_batch:
            raise TooManyInstances(f"{len(instances)} instances, and at most {self.max_batch} are accepted")
        values, version = self._compute(instances)
        return {"predictions": values, "model_version": version}

    def health_check(self) -> dict:
        """Return `status`, `model_loaded` and `model_version`."""
        served = self._served
        if served is None:
            return {"status": "no model", "model_loaded": False, "model_version": None}
        return {"status": "ok", "model_loaded": True, "model_version": served.version}

    def reload(self, model_path: str | Path, *, expected_sha256: str | None = None, model_version: str) -> None:
        """Replace model and version together, or raise `ModelLoadError` and leave both as they are."""
        path = Path(model_path)
        try:
            if expected_sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != expected_sha256:
                raise ModelLoadError(f"{path} does not have the expected SHA-256")
            model = self._loader(path)
        except ModelLoadError:
            raise
        except Exception as error:
            raise ModelLoadError(f"{path} cannot be loaded") from error
        self._served = Served(model, model_version)

    def _compute(self, rows: Sequence[Mapping[str, float]]) -> tuple[list, str]:
        served = self._served
        if served is None:
            raise ModelNotLoadedError("no model is loaded")
        names = list(served.model.feature_names_in_ if self._feature_names is None else self._feature_names)
        table = pd.DataFrame([validated(row, names) for row in rows], columns=names)
        try:
            output = served.model.predict(table)
        except Exception as error:
            raise PredictionError("the model raised an exception") from error
        return plain_values(output, len(rows)), served.version


def validated(row: Any, names: Sequence[str]) -> list[float]:
    """Return the row's values in the order of `names`; the message names the culprit and never its value."""
    if not isinstance(row, Mapping):
        raise FeatureValidationError("features: an object is needed")
    for name in names:
        if name not in row:
            raise FeatureValidationError(f"{name}: this feature is missing")
    for name, value in row.items():
        if name not in names:
            raise FeatureValidationError(f"{name}: there is no such feature")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise FeatureValidationError(f"{name}: a finite number is needed")
    return [float(row[name]) for name in names]


def plain_values(output: Any, count: int) -> list:
    """Return a model's output as builtin values, one for each row."""
    values = np.asarray(output)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (count,):
        raise InvalidModelOutput(f"the model returned values of shape {values.shape} for {count} rows")
    plain = list(values)
    if any(isinstance(value, float) and not math.isfinite(value) for value in plain):
        raise InvalidModelOutput("the model returned a value that is not finite")
    return plain


def answer(api: ModelAPI, body: bytes) -> dict:
    """Return the prediction that a raw body asks for."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise FeatureValidationError("the body is not JSON") from None
    if not isinstance(asked, dict) or ("features" in asked) == ("instances" in asked):
        raise FeatureValidationError("the body needs to be an object with either features or instances")
    if "features" in asked:
        return api.predict(asked["features"])
    return api.predict_batch(asked["instances"])


async def limited_body(request: Request, limit: int) -> bytes:
    """Read the body, and stop as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body has more than {limit} bytes")
    return bytes(body)


FAILURES: list[tuple[type[Exception], int, str]] = [  # the first that fits counts
    (BodyTooLarge, 413, "body_too_large"),
    (TooManyInstances, 413, "too_many_instances"),
    (FeatureValidationError, 422, "invalid_features"),
    (ModelNotLoadedError, 503, "model_not_loaded"),
    (InvalidModelOutput, 500, "invalid_model_output"),
    (PredictionError, 500, "prediction_failed"),
    (Exception, 500, "internal_error"),
]


async def respond(api: ModelAPI, request: Request, request_id: str) -> tuple[int, dict]:
    """Return status and body for one request to /predict, whatever happens."""
    try:
        body = await limited_body(request, api.max_body_bytes)
        return 200, {**await run_in_threadpool(answer, api, body), "request_id": request_id}
    except Exception as error:
        status, code = next((status, code) for kind, status, code in FAILURES if isinstance(error, kind))
        if status == 500:
            api.logger.exception("request %s failed: %s", request_id, code)
        message = "the prediction failed" if status == 500 else str(error)
        return status, {"error": {"code": code, "message": message, "request_id": request_id}}


def api_from_environment() -> ModelAPI:
    """Return the API that the environment describes, without a model if there is none or it cannot be loaded."""
    names, version = os.environ.get("MODEL_FEATURES"), os.environ.get("MODEL_VERSION", "0")
    api = ModelAPI(feature_names=names.split(",") if names else None)
    if path := os.environ.get("MODEL_PATH"):
        try:
            api.reload(path, expected_sha256=os.environ.get("MODEL_SHA256") or None, model_version=version)
        except ModelLoadError:
            log.exception("starting without a model")
    return api


def create_app(api: ModelAPI | None = None) -> FastAPI:
    """Return the service for `api`; without one, for the model that the environment variables describe."""
    api = api_from_environment() if api is None else api
    app = FastAPI(title="Model API")
    answers: Counter[int] = Counter()

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        given = request.headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        status, body = await respond(api, request, request_id)
        answers[status] += 1
        return JSONResponse(body, status, headers={"X-Request-ID": request_id})

    @app.get("/health")
    async def health() -> JSONResponse:
        state = api.health_check()
        return JSONResponse(state, 200 if state["model_loaded"] else 503)

    @app.get("/health/live")
    async def live() -> dict:
        return {"status": "alive"}

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        lines = [f'predict_requests_total{{status="{status}"}} {count}\n' for status, count in sorted(answers.items())]
        return PlainTextResponse("".join(lines))

    return app


app = create_app()

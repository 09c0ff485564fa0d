"""Serve one model over HTTP: your answer to the challenge. See brief.md."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI


class FeatureValidationError(ValueError):
    """The features of a request are not what the model needs."""


class ModelNotLoadedError(RuntimeError):
    """There is no model to answer with."""


class ModelLoadError(RuntimeError):
    """A model file is missing, unusable or not the one that was expected."""


class PredictionError(RuntimeError):
    """The model failed, or returned something that cannot be an answer."""


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
        raise NotImplementedError

    def predict(self, features: Mapping[str, float]) -> dict:
        """Return `prediction` and `model_version` for one row of features."""
        raise NotImplementedError

    def predict_batch(self, instances: Sequence[Mapping[str, float]]) -> dict:
        """Return `predictions`, in order, and `model_version`, from one call of the model."""
        raise NotImplementedError

    def health_check(self) -> dict:
        """Return `status`, `model_loaded` and `model_version`."""
        raise NotImplementedError

    def reload(self, model_path: str | Path, *, expected_sha256: str | None = None, model_version: str) -> None:
        """Replace model and version together, or raise `ModelLoadError` and leave both as they are."""
        raise NotImplementedError


def create_app(api: ModelAPI | None = None) -> FastAPI:
    """Return the service for `api`; without one, for the model that the environment variables describe."""
    raise NotImplementedError


app: FastAPI | None = None  # becomes `app = create_app()` as soon as create_app() returns one

"""Scores churn with a linear model. The image serves `app` on port 8000; this file is not yours to change."""

import json
from pathlib import Path

import numpy as np
from fastapi import FastAPI, Response
from pydantic import BaseModel

MODEL = Path(__file__).parent / "model"

app = FastAPI(title="churn")
_weights = json.loads((MODEL / "weights.json").read_text())
_metadata = json.loads((MODEL / "metadata.json").read_text())


class Customer(BaseModel):
    """What the model looks at."""

    tenure_months: float
    monthly_charge: float
    support_calls: int


@app.get("/health")
def health(response: Response) -> dict[str, str]:
    """Answer 200 when predictions can be made, else 503."""
    if not _weights:
        response.status_code = 503
        return {"status": "no model"}
    return {"status": "ok", "model": _metadata["version"]}


@app.post("/predict")
def predict(customer: Customer) -> dict[str, float]:
    """Return the chance that a customer leaves."""
    features = customer.model_dump()
    values = np.array([features[name] for name in _metadata["features"]])
    score = float(values @ np.array(_weights["coefficients"]) + _weights["intercept"])
    return {"churn": float(1 / (1 + np.exp(-score)))}

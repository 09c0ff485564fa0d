"""Small uses of libraries, made once in the zygote, so that no test pays for what a library does at its first call.

Importing is not all: scikit-learn's first metric reads the entry points of every installed package, FastAPI's first
route builds its models. Nothing here may start a thread, which a fork would lose.
"""

import contextlib
import sys
from collections.abc import Callable


def pandas_frames() -> None:
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": ["x", "y", "x"], "c": [True, False, True]})
    frame["d"] = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    frame.groupby("b").agg(n=("a", "size"), mean=("a", "mean"))
    frame.dropna(subset=["a"]).sort_values("a").merge(frame, on="b").drop_duplicates().reset_index(drop=True)
    frame["a"].fillna(0.0).rolling(2).mean().to_numpy()
    frame.loc[frame["a"] > 1, ["a", "d"]].copy().to_dict("records")


def numpy_generator() -> None:
    import numpy as np

    np.random.default_rng(0).normal(size=3).mean()
    np.unique(np.array([1, 1, 2]), return_counts=True)


def scipy_tests() -> None:
    from scipy import stats

    stats.ks_2samp([0.1, 0.2, 0.3], [0.2, 0.3, 0.4])
    stats.norm.cdf(0.5)
    stats.norm.ppf(0.5)


def sklearn_metrics() -> None:
    from sklearn import metrics

    labels, guesses, scores = [0, 1, 1, 0], [0, 1, 0, 0], [0.1, 0.9, 0.4, 0.2]
    metrics.accuracy_score(labels, guesses)
    metrics.f1_score(labels, guesses)
    metrics.roc_auc_score(labels, scores)
    metrics.log_loss(labels, scores)


def sklearn_models() -> None:
    from sklearn.linear_model import LogisticRegression

    LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1]).predict_proba([[1.0]])


def pydantic_model() -> None:
    import pydantic

    pydantic.create_model("Warm", name=(str, ...), size=(int, 1))(name="x").model_dump_json()


def fastapi_app() -> None:
    import fastapi
    import pydantic

    app = fastapi.FastAPI()
    model = pydantic.create_model("Warm", size=(int, 1))

    @app.post("/")
    async def answer(body: model) -> dict[str, int]:  # type: ignore[valid-type]
        return {}

    app.openapi()
    app.build_middleware_stack()


FIRST_USES: dict[str, Callable[[], None]] = {
    "numpy": numpy_generator,
    "pandas": pandas_frames,
    "scipy.stats": scipy_tests,
    "sklearn.metrics": sklearn_metrics,
    "sklearn.linear_model": sklearn_models,
    "pydantic": pydantic_model,
    "fastapi": fastapi_app,
}


def use_once(modules: list[str]) -> None:
    """Make the small uses of those modules that were imported; one that fails costs time later, and nothing else."""
    for name, use in FIRST_USES.items():
        if name in modules and name in sys.modules:
            with contextlib.suppress(Exception):
                use()

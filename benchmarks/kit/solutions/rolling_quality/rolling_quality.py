"""The last rows of a classifier: their quality, and whether the scores have moved."""

from collections import deque

import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy.stats import ks_2samp
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score


class RollingQuality:
    def __init__(self, size=100, alpha=0.01):
        if size < 1 or not 0 < alpha < 1:
            raise ValueError("size is at least 1, alpha between 0 and 1")
        self.alpha = alpha
        self._rows = deque(maxlen=size)

    def add(self, label, score):
        if label not in (0, 1) or not 0 <= score <= 1:
            raise ValueError("a label is 0 or 1, a score between them")
        self._rows.append((label, score))
        return len(self._rows)

    def quality(self):
        if not self._rows:
            return {}
        labels, scores = zip(*self._rows, strict=True)
        found = {
            "n": len(labels),
            "accuracy": float(accuracy_score(labels, [score >= 0.5 for score in scores])),
            "brier": float(brier_score_loss(labels, scores)),
        }
        if len(set(labels)) == 2:
            found["auc"] = float(roc_auc_score(labels, scores))
        return found

    def shift(self, reference):
        if not self._rows:
            raise ValueError("no rows to compare")
        statistic, p_value = ks_2samp([score for _, score in self._rows], reference)
        return {"statistic": float(statistic), "p_value": float(p_value), "shifted": bool(p_value < self.alpha)}

    def table(self):
        return pd.DataFrame(list(self._rows), columns=["label", "score"])

    def by_group(self, frame):
        frame = frame.dropna(subset=["label"])
        right = (frame["score"] >= 0.5) == frame["label"]
        return right.groupby(frame["group"]).agg(n="size", accuracy="mean")

    def drifted(self, new, reference):
        columns = [name for name in reference.columns if is_numeric_dtype(reference[name])]
        return sorted(
            name for name in columns if ks_2samp(new[name].dropna(), reference[name].dropna()).pvalue < self.alpha
        )

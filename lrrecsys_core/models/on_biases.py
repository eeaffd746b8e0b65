"""Linear predictors on top of the shared biases: what given numbers add to them, without a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lrrecsys_core import metrics
from lrrecsys_core.data.split import Split
from lrrecsys_core.models.biases import bias_logits, residual_biases

RIDGES = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)  # in records: so many of them would weigh as much as the penalty
DEFAULT_RIDGE = 100.0  # without validation records, where training would always prefer the smallest
FREE = 1e3  # scale of a regressor that the penalty is not to reach


def on_biases(
    split: Split, task: str, features: NDArray[np.floating], records: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Predictions (N,) in [0, 1] of a ridge on the biases' errors, or a logistic ridge beside the biases' logit.

    Parameters
    ----------
    features : (N, K); standardised, fitted on training records, the ridge that does best on validation, or
        `DEFAULT_RIDGE` without validation records.
    records : training records to fit on; by default all of them, as the biases always are.
    """
    from sklearn.linear_model import LogisticRegression, Ridge  # takes long to import

    records = split.train if records is None else records
    logits = bias_logits(split, task, *residual_biases(split, task))
    base = np.asarray(expit(logits))
    known = features[records]
    inputs = (features - known.mean(0)) / np.maximum(known.std(0), 1e-9)
    target = split.target if task == "regression" else split.liked
    held = split.validation
    tried: list[tuple[float, NDArray[np.float64]]] = []
    for ridge in RIDGES if len(held) else (DEFAULT_RIDGE,):
        if task == "regression":
            fitted = Ridge(ridge).fit(inputs[records], (target - base)[records])
            outcome = np.clip(base + fitted.predict(inputs), 0.0, 1.0)
            loss = float(metrics.rmse(outcome[held], target[held])) if len(held) else 0.0
        else:
            beside = np.column_stack([FREE * logits, inputs])
            # Newton's steps do not mind columns of so unlike scales, where a gradient's would not arrive.
            fitted = LogisticRegression(C=1.0 / ridge, solver="newton-cholesky").fit(beside[records], target[records])
            outcome = fitted.predict_proba(beside)[:, 1]
            loss = -float(metrics.auc(outcome[held], target[held]))
        tried.append((loss, outcome))
    return min(tried, key=lambda one: one[0])[1]

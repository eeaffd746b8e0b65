"""RMSE, MAE and AUC for any number of replicates at once, and which way each of them is better."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

METRICS: Final = ("RMSE", "MAE", "AUC")
LOWER_IS_BETTER: Final = {"RMSE": True, "MAE": True, "AUC": False}
TASK: Final = {"RMSE": "regression", "MAE": "regression", "AUC": "classification"}
Floats = NDArray[np.float64]


def rmse(prediction: ArrayLike, target: ArrayLike) -> Floats:
    """Root mean squared error.

    Parameters
    ----------
    prediction : array, shape (..., N)
        One row of predictions per replicate.
    target : array, shape (N,) or (..., N)

    Returns
    -------
    array, shape (...)
        In the unit of ``target``.
    """
    error = np.asarray(prediction, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    return np.asarray(np.sqrt(np.mean(error**2, axis=-1)))


def mae(prediction: ArrayLike, target: ArrayLike) -> Floats:
    """Mean absolute error; shapes as in :func:`rmse`."""
    error = np.asarray(prediction, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    return np.asarray(np.mean(np.abs(error), axis=-1))


def auc(score: ArrayLike, liked: ArrayLike) -> Floats:
    """Area under the ROC curve: the chance that a liked record is scored above one not liked, ties counting half.

    Parameters
    ----------
    score : array, shape (..., N)
    liked : array of 0 and 1, shape (N,)

    Returns
    -------
    array, shape (...)
        NaN where only one class is present.
    """
    scores = np.asarray(score, dtype=np.float64)
    positive = np.asarray(liked) > 0.5
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if n_positive == 0 or n_negative == 0:
        return np.full(scores.shape[:-1], np.nan)
    rank_sum = scipy.stats.rankdata(scores, axis=-1)[..., positive].sum(axis=-1)
    return np.asarray((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def score(metric: str, prediction: ArrayLike, target: ArrayLike, liked: ArrayLike) -> Floats:
    """One of :data:`METRICS`: the errors against ``target``, the AUC against ``liked``."""
    if metric == "AUC":
        return auc(prediction, liked)
    return (rmse if metric == "RMSE" else mae)(prediction, target)


def gain(metric: str, ours: ArrayLike, reference: ArrayLike) -> Floats:
    """How much better ``ours`` is than ``reference``: positive means better, whichever way the metric points."""
    difference = np.asarray(reference, dtype=np.float64) - np.asarray(ours, dtype=np.float64)
    return difference if LOWER_IS_BETTER[metric] else -difference


def improvement(metric: str, ours: ArrayLike, reference: ArrayLike) -> Floats:
    """The paper's "% Improved": :func:`gain` in percent of the reference's figure."""
    return np.asarray(100.0 * gain(metric, ours, reference) / np.asarray(reference, dtype=np.float64))

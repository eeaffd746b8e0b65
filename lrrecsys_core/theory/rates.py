"""The rates of Section 4 as plain formulas, so that figures can draw them beside simulations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def lasso_rate(n: ArrayLike, s: ArrayLike, p: ArrayLike) -> Array:
    """Error rate of the Lasso, ``sqrt(s log p / n)`` (Eq 21).

    Parameters
    ----------
    n, s, p : records, important variables and all variables; broadcast against each other.
    """
    return np.sqrt(np.asarray(s, float) * np.log(np.asarray(p, float)) / np.asarray(n, float))


def sharp_lasso_rate(n: ArrayLike, s: ArrayLike, p: ArrayLike) -> Array:
    """The sharper ``sqrt(s log(p / s) / n)`` of Bellec, Lecue and Tsybakov (2018), for ``p > s``."""
    return np.sqrt(np.asarray(s, float) * np.log(np.asarray(p, float) / np.asarray(s, float)) / np.asarray(n, float))


def oracle_rate(n: ArrayLike, s: ArrayLike) -> Array:
    """Error rate of least squares on the important variables alone, ``sqrt(s / n)`` (Eq 23)."""
    return np.sqrt(np.asarray(s, float) / np.asarray(n, float))


def theory_lambda(n: ArrayLike, p: ArrayLike, sigma: ArrayLike = 1.0) -> Array:
    """Penalty ``sigma sqrt(2 log p / n)`` for the loss ``|y - Xb|^2 / (2n)`` of Eq 20 and columns of unit variance."""
    return np.asarray(sigma, float) * np.sqrt(2 * np.log(np.asarray(p, float)) / np.asarray(n, float))


def lasso_oracle_law(p: ArrayLike) -> Array:
    """Ratio of Lasso to oracle error, ``sqrt(1 + 2 log p)``.

    With independent columns and strong signals each important coefficient is off by its own noise, variance
    ``sigma^2 / n``, and by the shrinkage ``theory_lambda``, square ``2 sigma^2 log p / n``; the oracle by noise only.
    """
    return np.sqrt(1 + 2 * np.log(np.asarray(p, float)))


def nonparametric_rate(n: ArrayLike, d: ArrayLike) -> Array:
    """Squared-error rate ``n^(-2 / (2 + d))`` of the worst Lipschitz function of `d` inputs (Sec 4, nonlinear case)."""
    return np.asarray(n, float) ** (-2 / (2 + np.asarray(d, float)))

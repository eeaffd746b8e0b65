"""Which variables matter, as three estimators see it from regressors and responses.

The third is `lasso_support`, from one environment's own records (Sec 4.1's comparator).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lrrecsys_core.errors import InputError
from lrrecsys_core.theory.eills import Array, Index, default_penalty, eills_exact, eills_search, moments
from lrrecsys_core.theory.lasso import lasso_support

__all__ = ["eills_support", "lasso_support", "pooled_support", "standardised"]


def standardised(X: Sequence[Array], y: Sequence[Array]) -> tuple[list[Array], list[Array], Index]:
    """Centre each environment and bring columns and response to unit variance across environments.

    Returns
    -------
    X, y, and the indices of the columns kept (those that vary).

    Raises
    ------
    InputError
        No environment, one without records, or environments that disagree in their variables or records.
    """
    if (
        not X
        or len(X) != len(y)
        or any(x.ndim != 2 or not len(x) or x.shape != (len(t), X[0].shape[1]) for x, t in zip(X, y, strict=True))
    ):
        raise InputError(
            "environments must be one or more, share their variables, and have a response for each of their records"
        )
    centred = [x - x.mean(0) for x in X]
    scale = np.sqrt(np.mean([x.var(0) for x in centred], axis=0))
    usable = np.flatnonzero(scale > 0)
    spread = float(np.sqrt(np.mean([t.var() for t in y]))) or 1.0
    return [x[:, usable] / scale[usable] for x in centred], [(t - t.mean()) / spread for t in y], usable


def eills_support(
    X: Sequence[Array],
    y: Sequence[Array],
    *,
    gamma: float = 100.0,
    penalty: float | None = None,
    independent: int | None = None,
    seed: int = 0,
) -> Index:
    """Variables EILLS selects from several environments: exact search up to 14 variables, local search beyond.

    Parameters
    ----------
    X : per environment (n_e, p) regressors; y : per environment (n_e,) responses. Centred and scaled first.
    gamma : weight of J on this scale; too small a value lets spurious variables in, too large a value empties the set.
    penalty : L0 penalty; `default_penalty` when None.
    independent : independent units over all environments, when records share noise (ratings of one item share its
        quality); by default every record. J is noisier then, so `gamma` must be smaller as well.

    Returns
    -------
    Sorted indices of the columns of ``X[e]``.
    """
    regressors, responses, usable = standardised(X, y)
    data = moments(regressors, responses)
    if penalty is None:
        units = independent or int(data.records.sum())
        penalty = default_penalty(data, gamma) * int(data.records.sum()) / units
    exact = data.variables <= 14
    fit = eills_exact(data, gamma, penalty) if exact else eills_search(data, gamma, penalty, seed=seed)
    return usable[fit.support]


def pooled_support(X: Sequence[Array], y: Sequence[Array], *, independent: int | None = None) -> Index:
    """Variables that are significant in one least-squares regression on all environments together.

    The threshold on |t|, ``sqrt(2 log(2 p))``, keeps variables that matter to nobody out with high probability.

    Parameters
    ----------
    X, y, independent : as in `eills_support`; standard errors are those of `independent` units.

    Returns
    -------
    Sorted indices of the columns of ``X[e]``.
    """
    regressors, responses, usable = standardised(X, y)
    stacked, response = np.concatenate(regressors), np.concatenate(responses)
    inverse = np.linalg.pinv(stacked.T @ stacked)
    beta = inverse @ (stacked.T @ response)
    residual = response - stacked @ beta
    variance = float(residual @ residual) / max(1, len(response) - len(beta) - len(X))
    error = np.sqrt(variance * np.diagonal(inverse) * len(response) / (independent or len(response)))
    return usable[np.abs(beta) > np.sqrt(2 * np.log(2 * len(usable))) * error]

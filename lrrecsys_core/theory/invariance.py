"""What EILLS is compared with: pooled least squares on a set, and invariant causal prediction."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from lrrecsys_core.theory.eills import Fit, Index, Moments, all_supports, objective

Array = NDArray[np.float64]


def least_squares_on(data: Moments, support: Index) -> Fit:
    """Least squares on `support` with environments weighted alike."""
    beta = np.zeros(data.variables)
    gram = data.gram.mean(0)[np.ix_(support, support)]
    beta[support] = np.linalg.lstsq(gram, data.cross.mean(0)[support], rcond=None)[0]
    return Fit(np.sort(support), beta, objective(data, beta, 0.0)[0])


def icp(data: Moments, level: float = 0.05) -> Index:
    """Invariant causal prediction (Peters, Buehlmann and Meinshausen 2016): variables in every accepted set.

    A set is accepted when the residuals of its pooled regression have the same mean and variance in each environment as
    in the others (t and F tests, Bonferroni over tests and environments); residuals are taken as normal.

    Returns
    -------
    The intersection of the accepted sets, sorted; empty when none or the empty set is accepted.
    """
    common = np.ones(data.variables, bool)
    accepted = False
    for size in range(data.variables + 1):
        supports = all_supports(data.variables, size)
        passed = supports[_invariance(data, supports) > level]
        accepted |= bool(len(passed))
        for support in passed:
            inside = np.zeros(data.variables, bool)
            inside[support] = True
            common &= inside
        if accepted and not common.any():
            break
    return np.flatnonzero(common) if accepted else np.zeros(0, np.int64)


def _invariance(data: Moments, supports: Index) -> Array:
    """p-value of invariance of each row of `supports` (m, k), from the moments alone."""
    records = data.records[:, None].astype(float)
    share = data.records / data.records.sum()
    # Covariances, so that the pooled regression has an intercept.
    centre = np.tensordot(share, data.mean, 1)
    x_mean = data.mean[:, :-1] - centre[:-1]
    y_mean = data.mean[:, -1] - centre[-1]
    gram = data.gram - data.mean[:, :-1, None] * data.mean[:, None, :-1]
    cross = data.cross - data.mean[:, :-1] * data.mean[:, -1:]
    power = data.power - data.mean[:, -1] ** 2
    pooled_gram = np.tensordot(share, gram + x_mean[:, :, None] * x_mean[:, None, :], 1)
    pooled_cross = np.tensordot(share, cross + x_mean * y_mean[:, None], 1)
    rows, columns = supports[:, :, None], supports[:, None, :]
    beta = np.linalg.solve(pooled_gram[rows, columns], pooled_cross[supports][..., None])[..., 0]
    mean = y_mean[:, None] - (x_mean[:, supports] * beta).sum(-1)
    explained = np.einsum("mi,emij,mj->em", beta, gram[:, rows, columns], beta)
    variance = power[:, None] - 2 * (cross[:, supports] * beta).sum(-1) + explained
    # Mean and variance of the residuals outside each environment, again from moments.
    others = records.sum() - records
    other_mean = ((records * mean).sum(0) - records * mean) / others
    second = records * (variance + mean**2)
    other_variance = (second.sum(0) - second) / others - other_mean**2
    t = np.abs(mean - other_mean) / np.sqrt(variance / records + other_variance / others)
    ratio = variance / other_variance
    tail = scipy.stats.f.cdf(ratio, records - 1, others - 1)
    smallest = np.minimum(2 * scipy.stats.norm.sf(t), 2 * np.minimum(tail, 1 - tail)).min(0)
    return np.minimum(1.0, 2 * len(data.records) * smallest)

"""FAIR selection (Gu et al. 2024) for nonlinear models, with both players in a spline space.

The published estimator trains two networks against each other. When predictor and critic range over the same linear
space of functions of the chosen variables, the critic's best reply is a projection and the game has a closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.theory.eills import Index, Moments, all_supports, moments
from lrrecsys_core.theory.recovery import verdict
from lrrecsys_core.theory.repetitions import Row, generator

Array = NDArray[np.float64]


def additive_splines(X: Sequence[Array], knots: int = 5) -> list[Array]:
    """Cubic spline features, knots at pooled quantiles, a variable's side by side: per environment (n_e, p m)."""
    from sklearn.preprocessing import SplineTransformer  # takes long to import

    transformer = SplineTransformer(
        n_knots=knots, degree=3, knots="quantile", include_bias=False, extrapolation="linear"
    )
    transformer.fit(np.concatenate(X))
    return [transformer.transform(x) for x in X]


def feature_moments(features: Sequence[Array], y: Sequence[Array]) -> Moments:
    """Moments of a constant and `features` (n_e, p m), with a sliver of ridge: a variable's splines are collinear."""
    data = moments([np.column_stack([np.ones(len(block)), block]) for block in features], y)
    ridge = 1e-8 * np.trace(data.gram, axis1=1, axis2=2) / data.variables
    return replace(data, gram=data.gram + ridge[:, None, None] * np.eye(data.variables))


def fair_value(data: Moments, columns: Index, gamma: float) -> float:
    """Value of the game ``min_f max_h mean_e[R_e(f) + gamma (2 E(y - f) h - E h^2)]``, f and h spanned by `columns`.

    The critic's best reply in environment e is the projection of ``y - f`` on that span, so the value is
    ``R + gamma mean_e |P_e y - f|^2``, quadratic in f.
    """
    gram = data.gram[:, columns[:, None], columns]
    cross = data.cross[:, columns]
    projected = (cross * np.linalg.solve(gram, cross[..., None])[..., 0]).sum(-1)
    target = cross.mean(0)
    fitted = target @ np.linalg.solve(gram.mean(0), target)
    return float((data.power + gamma * projected).mean() - (1 + gamma) * fitted)


def fair_support(features: Sequence[Array], y: Sequence[Array], variables: int, gamma: float = 20.0) -> Index:
    """Support with the smallest value of the game plus ``(1 + gamma) m log(p) sigma^2 / (2 n)`` a variable.

    Each variable has m features. Exhaustive, so meant for a few variables.
    """
    data = feature_moments(features, y)
    m = features[0].shape[1] // variables
    blocks = 1 + np.arange(variables)[:, None] * m + np.arange(m)
    noise = fair_value(data, np.arange(data.variables), 0.0)
    penalty = (1 + gamma) * m * np.log(variables) * noise / (2 * int(data.records.sum()))
    supports = [support for size in range(variables + 1) for support in all_supports(variables, size)]
    values = [fair_value(data, np.append(0, blocks[s].ravel()), gamma) + penalty * len(s) for s in supports]
    return supports[int(np.argmin(values))]


def draw_nonlinear(rng: np.random.Generator, n: int, strength: float) -> tuple[Array, Array]:
    """``y = sin(2 x1) + x2^2 - 1 + noise``; x3 and x4 are effects of y, x5 and x6 independent. X (n, 6), y (n,)."""
    X = rng.standard_normal((n, 6))
    y = np.sin(2 * X[:, 0]) + X[:, 1] ** 2 - 1 + 0.7 * rng.standard_normal(n)
    X[:, 2] += strength * y
    X[:, 3] += 0.5 * strength * np.tanh(y)
    return X, y


def fair_repetition(sizes: tuple[int, ...], environments: int, seed: int, repetition: int) -> list[Row]:
    """Selection with splines and with linear features, from one environment and from several, as n grows."""
    rng = generator(seed, "fair", repetition)
    # Signs alternate, so that every second environment contradicts the others.
    strengths = [(1.0 if e % 2 == 0 else -1.0) * rng.uniform(0.5, 1.5) for e in range(environments)]
    draws = [draw_nonlinear(rng, max(sizes), strength) for strength in strengths]
    rows: list[Row] = []
    for n in sizes:
        for e in (1, environments):
            X, y = [X[:n] for X, _ in draws[:e]], [y[:n] for _, y in draws[:e]]
            for kind, features in (("splines", additive_splines(X)), ("linear", X)):
                chosen = fair_support(features, y, 6)
                about: Row = {"n": n, "environments": e, "features": kind, "repetition": repetition}
                rows.append(about | verdict(chosen, np.arange(2), np.array([2, 3])))
    return rows

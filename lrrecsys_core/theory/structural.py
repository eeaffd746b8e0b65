"""Structural models: the published two-environment example, and a family with any number of environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.theory.eills import Moments

Array = NDArray[np.float64]

PUBLISHED_BETA = np.array([3.0, 2.0, -0.5] + [0.0] * 9)
PUBLISHED_SUPPORT = np.arange(3)
# Variables 7, 8 and 9 descend from the response; counted from zero.
PUBLISHED_SPURIOUS = np.array([6, 7, 8])


def published_environment(rng: np.random.Generator, n: int, second: bool) -> tuple[Array, Array]:
    """One environment of the 12-variable example of Fan, Fang, Gu and Zhang (2024).

    ``y = 3 x1 + 2 x2 - 0.5 x3 + noise``; x7, x8 and x9 are effects of y. The `second` environment draws x4 from another
    law and makes x7 depend on x3 and y in another way.

    Returns
    -------
    X (n, 12), y (n,).
    """
    noise = rng.standard_normal((n, 13))
    x = np.empty((n, 13))
    x[:, 4] = noise[:, 4] ** 2 - 1 if second else noise[:, 4]
    x[:, 1] = noise[:, 1]
    x[:, 2] = np.sin(x[:, 4]) + noise[:, 2]
    x[:, 3] = np.cos(x[:, 4]) + noise[:, 3]
    x[:, 5] = np.sin(x[:, 3] + noise[:, 5])
    x[:, 10] = 2.5 * x[:, 1] + 1.5 * x[:, 2] + noise[:, 10]
    y = 3 * x[:, 1] + 2 * x[:, 2] - 0.5 * x[:, 3] + noise[:, 0]
    x[:, 6] = 0.8 * y * noise[:, 6]
    x[:, 7] = (4 * x[:, 3] + np.tanh(y) if second else 0.5 * x[:, 3] + y) + noise[:, 7]
    x[:, 8] = 0.5 * x[:, 7] - y + x[:, 10] + noise[:, 8]
    x[:, 9] = np.tanh(x[:, 7]) + 0.1 * np.cos(x[:, 8]) + noise[:, 9]
    x[:, 11] = 0.4 * (x[:, 7] + x[:, 8]) * noise[:, 11]
    x[:, 12] = noise[:, 12]
    return x[:, 1:], y


ENDLESS = 10**12  # records of a population


@dataclass(frozen=True, slots=True)
class Family:
    """Environments that share ``y = x_S' beta + noise`` (Eq 17) and differ in how strongly y causes spurious variables.

    Attributes
    ----------
    beta : coefficients of the important variables, which come first. Then come `spurious` effects of y, with strengths
    ``centre + spread * N(0, 1)`` drawn anew in each environment, then independent variables up to `variables`.
    """

    beta: tuple[float, ...] = (1.0, -0.8, 0.6)
    spurious: int = 3
    variables: int = 10
    centre: float = 0.8
    spread: float = 0.6

    @property
    def important(self) -> NDArray[np.int64]:
        """S*."""
        return np.arange(len(self.beta))

    @property
    def effects(self) -> NDArray[np.int64]:
        """Variables caused by the response."""
        return np.arange(len(self.beta), len(self.beta) + self.spurious)

    def strengths(self, rng: np.random.Generator) -> Array:
        """Strengths (spurious,) of one environment."""
        return self.centre + self.spread * rng.standard_normal(self.spurious)

    def draw(self, rng: np.random.Generator, n: int, strengths: Array) -> tuple[Array, Array]:
        """Records of one environment: X (n, p), y (n,)."""
        X = rng.standard_normal((n, self.variables))
        y = X[:, self.important] @ np.array(self.beta) + rng.standard_normal(n)
        X[:, self.effects] += y[:, None] * strengths
        return X, y

    def population(self, strengths: Sequence[Array]) -> Moments:
        """Moments of environments with these strengths as they are with endless records."""
        b, k = np.array(self.beta), self.effects
        power = float(b @ b) + 1.0  # of y
        grams, crosses = [], []
        for strength in strengths:
            gram, cross = np.eye(self.variables), np.zeros(self.variables)
            gram[np.ix_(k, k)] += power * np.outer(strength, strength)
            gram[np.ix_(self.important, k)] = np.outer(b, strength)
            gram[np.ix_(k, self.important)] = np.outer(strength, b)
            cross[self.important], cross[k] = b, power * strength
            grams.append(gram)
            crosses.append(cross)
        count = len(strengths)
        nothing = np.zeros((count, self.variables + 1))
        return Moments(np.stack(grams), np.stack(crosses), np.full(count, power), nothing, np.full(count, ENDLESS))

    def risk(self, beta: Array, strengths: Array) -> float:
        """Expected squared error of the predictor `beta` (p,) in an environment of given `strengths`, exact."""
        passed = 1 - beta[self.effects] @ strengths
        signal = passed * np.array(self.beta) - beta[self.important]
        rest = beta[len(self.beta) :]
        return float(signal @ signal + passed**2 + rest @ rest)


def counterexample_coefficients(strength: float) -> tuple[float, float]:
    """Population least squares of ``y = x1 + e`` on x1 and ``x2 = strength y + u``, all of unit variance (Lemma 2).

    x2 is an effect of y, yet its coefficient is not zero: given x1 and x2 the mean of y is
    ``(x1 + strength x2) / (1 + strength^2)``.
    """
    return 1 / (1 + strength**2), strength / (1 + strength**2)

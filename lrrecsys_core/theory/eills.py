"""EILLS (Eq 18-19): least squares whose residual is uncorrelated with the chosen variables in every environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.errors import InputError

Array = NDArray[np.float64]
Index = NDArray[np.int64]
# Bounds the memory of one batch of small systems: about 64 MB for 16 variables.
BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Moments:
    """All that EILLS needs of the data: empirical moments of each environment.

    Attributes
    ----------
    gram : (E, p, p) means of ``x x'``; cross : (E, p) means of ``x y``; power : (E,) means of ``y^2``.
    mean : (E, p + 1) means of x, then of y; records : (E,) sample sizes.
    """

    gram: Array
    cross: Array
    power: Array
    mean: Array
    records: Index

    @property
    def variables(self) -> int:
        """Number of variables p."""
        return int(self.cross.shape[1])


@dataclass(frozen=True, slots=True)
class Fit:
    """A chosen support (sorted), its coefficients (p,) and the objective there."""

    support: Index
    beta: Array
    value: float


def moments(X: Sequence[Array], y: Sequence[Array]) -> Moments:
    """Moments of environments with regressors ``X[e]`` (n_e, p) and responses ``y[e]`` (n_e,).

    Raises
    ------
    InputError
        No environment, or environments that disagree in their number of records or variables.
    """
    if not X or len(X) != len(y):
        raise InputError(
            f"EILLS got {len(X)} regressor arrays and {len(y)} responses: give one of each per environment"
        )
    if any(x.ndim != 2 or x.shape != (len(t), X[0].shape[1]) for x, t in zip(X, y, strict=True)):
        raise InputError("EILLS environments must share their variables and have as many responses as rows")
    return Moments(
        np.stack([x.T @ x / len(x) for x in X]),
        np.stack([x.T @ t / len(x) for x, t in zip(X, y, strict=True)]),
        np.array([t @ t / len(t) for t in y]),
        np.stack([np.append(x.mean(0), t.mean()) for x, t in zip(X, y, strict=True)]),
        np.array([len(x) for x in X]),
    )


def objective(data: Moments, beta: Array, gamma: float, penalty: float = 0.0) -> tuple[float, float, float]:
    """R, J and ``R + gamma J + penalty |b|_0`` of Eq 18-19 at `beta` (p,), environments weighted alike.

    R is the mean over environments of the mean squared residual, J the mean over environments of the squared empirical
    covariances between the residual and each variable with a non-zero coefficient.
    """
    gradient = data.cross - data.gram @ beta
    loss = float((data.power - beta @ (data.cross + gradient).T).mean())
    focus = float((gradient[:, beta != 0] ** 2).sum(1).mean())
    return loss, focus, loss + gamma * focus + penalty * int((beta != 0).sum())


def solve_supports(data: Moments, supports: Index, gamma: float) -> tuple[Array, Array]:
    """Minimise ``R + gamma J`` with each row of `supports` as the set of non-zero coefficients.

    Given the support the objective is quadratic: with ``G_e``, ``g_e`` the moments restricted to it, its minimiser
    solves ``mean_e(G_e + gamma G_e G_e) b = mean_e(g_e + gamma G_e g_e)``.

    Parameters
    ----------
    supports : (m, k) column indices, k >= 1.

    Returns
    -------
    values (m,), coefficients (m, k).
    """
    values, betas = np.empty(len(supports)), np.empty(supports.shape)
    step = max(1, BATCH * 36 // (len(data.power) * supports.shape[1] ** 2))
    for start in range(0, len(supports), step):
        part = supports[start : start + step]
        gram = data.gram[:, part[:, :, None], part[:, None, :]]
        cross = data.cross[:, part]
        # Symmetry of the Gram matrices lets one product give both sides: G (G, g) with g as an extra column.
        both = np.concatenate([gram, cross[..., None]], axis=-1)
        system = (both + gamma * (gram @ both)).mean(0)
        left, right = system[..., :-1], system[..., -1]
        # Collinear variables are legal; their coefficients are then shared, not refused.
        left = left + 1e-10 * np.trace(left, axis1=1, axis2=2)[:, None, None] * np.eye(left.shape[-1])
        beta = np.linalg.solve(left, right[..., None])[..., 0]
        constant = (data.power[:, None] + gamma * (cross**2).sum(-1)).mean(0)
        values[start : start + step] = constant - (beta * right).sum(-1)
        betas[start : start + step] = beta
    return values, betas


@lru_cache(maxsize=64)
def all_supports(p: int, size: int) -> Index:
    """All sets of `size` among `p` columns, one a row."""
    return np.array(list(combinations(range(p), size)), dtype=np.int64)


@lru_cache(maxsize=32)
def _plan(p: int, size: int) -> tuple[Array, Index]:
    """For all supports of one size: membership (p, m), and where their systems lie in a (pairs, m) table, flattened."""
    supports = all_supports(p, size)
    count = len(supports)
    member = np.zeros((p, count))
    member[supports.T, np.arange(count)] = 1
    # The response is the last variable of every system; a pair of variables has one place in the upper triangle.
    rows = np.vstack([supports.T, np.full((1, count), p)])
    low, high = np.minimum(rows[:, None], rows), np.maximum(rows[:, None], rows)
    return member, (low * (p + 1) - low * (low - 1) // 2 + high - low) * count + np.arange(count)


def support_values(data: Moments, size: int, gamma: float) -> Array:
    """Smallest ``R + gamma J`` for each of `all_supports` of one size, without the coefficients.

    With the response as one more variable, the matrix of the quadratic objective on a support S is
    ``mean_e(A_e) + gamma sum_{l in S} mean_e(a_el a_el')``, where a_el is column l of the moments A_e: linear in the
    membership of S, so one product gives the matrices of all supports. Eliminating S leaves the minimum in the corner.
    """
    p = data.variables
    member, places = _plan(p, size)
    whole = np.concatenate([data.gram, data.cross[:, None, :]], axis=1)
    response = np.concatenate([data.cross, data.power[:, None]], axis=1)
    whole = np.concatenate([whole, response[:, :, None]], axis=2)
    upper = np.triu_indices(p + 1)
    focus = np.einsum("eli,elj->ijl", whole[:, :p], whole[:, :p])[upper] / len(whole)
    table = gamma * focus @ member + whole.mean(0)[upper][:, None]
    system = table.ravel().take(places)
    smallest = 1e-12 * np.abs(whole.mean(0)).max()
    for j in range(size):
        # A variable that the ones before it span has nothing left to eliminate.
        pivot = np.where(system[j, j] > smallest, system[j, j], np.inf)
        system[j + 1 :, j + 1 :] -= system[j + 1 :, j, None] * (system[j, j + 1 :] / pivot)
    return np.asarray(system[-1, -1])


def _fit(data: Moments, support: Index, gamma: float, penalty: float) -> Fit:
    beta = np.zeros(data.variables)
    if not len(support):
        return Fit(support, beta, float(data.power.mean()))
    values, betas = solve_supports(data, support[None, :], gamma)
    beta[support] = betas[0]
    return Fit(support, beta, float(values[0]) + penalty * len(support))


def eills_exact(data: Moments, gamma: float, penalty: float = 0.0) -> Fit:
    """Global minimiser of Eq 18-19 over all ``2^p`` supports.

    Raises
    ------
    InputError
        More than 16 variables.
    """
    if data.variables > 16:
        raise InputError(f"the exact search takes 16 variables at most, not {data.variables}: use eills_search")
    best, best_value = np.zeros(0, np.int64), float(data.power.mean())
    for size in range(1, data.variables + 1):
        values = support_values(data, size, gamma)
        winner = int(values.argmin())
        if values[winner] + penalty * size < best_value:
            best = all_supports(data.variables, size)[winner]
            best_value = float(values[winner]) + penalty * size
    return _fit(data, best, gamma, penalty)


def eills_search(data: Moments, gamma: float, penalty: float = 0.0, restarts: int = 8, seed: int = 0) -> Fit:
    """Local minimiser of Eq 18-19 for any number of variables: single additions, removals and swaps until none helps.

    Starts: nothing, greedy backward elimination from the strongest pooled coefficients, and random parts of these.

    Parameters
    ----------
    restarts : random starts besides the two fixed ones; seed : of these starts.
    """
    rng = np.random.default_rng(seed)
    pooled = np.linalg.lstsq(data.gram.mean(0), data.cross.mean(0), rcond=None)[0]
    strength = np.abs(pooled) * np.sqrt(np.diagonal(data.gram.mean(0)))
    strongest = np.argsort(-strength)[: min(data.variables, 24)]
    starts = [np.zeros(0, np.int64), strongest]
    starts += [rng.choice(strongest, rng.integers(1, len(strongest) + 1), replace=False) for _ in range(restarts)]
    fits = {tuple(fit.support.tolist()): fit for fit in (_descend(data, s, gamma, penalty) for s in starts)}
    return min(fits.values(), key=lambda fit: fit.value)


def _descend(data: Moments, start: Index, gamma: float, penalty: float) -> Fit:
    support = np.sort(start)
    value = _fit(data, support, gamma, penalty).value
    moved = True
    while moved:
        moved = False
        # The many swaps are tried only where no single removal or addition helps.
        for kinds in (("removal", "addition"), ("swap",)):
            for candidates in (_neighbours(support, data.variables, kind) for kind in kinds):
                if not candidates.size:
                    continue
                values = solve_supports(data, candidates, gamma)[0] + penalty * candidates.shape[1]
                winner = int(values.argmin())
                if values[winner] < value - 1e-12 * abs(value):
                    moved, value, best = True, float(values[winner]), candidates[winner]
            if moved:
                support = np.sort(best)
                break
    return _fit(data, support, gamma, penalty)


def _neighbours(support: Index, variables: int, kind: str) -> Index:
    """Supports one removal, addition or swap away, one a row."""
    outside = np.setdiff1d(np.arange(variables), support)
    if kind == "addition":
        return np.column_stack([np.tile(support, (len(outside), 1)), outside])
    kept = np.array([np.delete(support, place) for place in range(len(support))], dtype=np.int64)
    if kind == "removal" or not kept.size:
        return kept
    return np.column_stack([np.repeat(kept, len(outside), axis=0), np.tile(outside, len(support))])


def default_penalty(data: Moments, gamma: float) -> float:
    """L0 penalty ``(1 + gamma) log(p) sigma^2 / (2 n)``, sigma from pooled least squares and n all records.

    A variable that matters to nobody still fits noise, in R and, through one more free coefficient, in gamma J; both
    gains are of order ``sigma^2 / n`` and the best of p of them is ``log p`` times that.
    """
    beta = np.linalg.lstsq(data.gram.mean(0), data.cross.mean(0), rcond=None)[0]
    residual = objective(data, beta, 0.0)[0]
    return (1 + gamma) * float(np.log(max(data.variables, 2))) * residual / (2 * int(data.records.sum()))

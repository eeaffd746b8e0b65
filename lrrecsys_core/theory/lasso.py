"""Lasso (Eq 20) against least squares on the important variables (Eq 22), in nested and paired draws."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy
from numpy.typing import NDArray

from lrrecsys_core.theory.rates import theory_lambda
from lrrecsys_core.theory.repetitions import Row, generator

Array = NDArray[np.float64]
# Hindsight and cross-validation choose among these multiples of the theoretical penalty.
MULTIPLES = np.geomspace(1.5, 0.08, 18)


class Design:
    """A design whose Gram columns are computed once, when a variable first matters.

    One cache serves every penalty and every response, which is what makes a sweep cheap: a gradient then costs
    (variables ever active) x p operations instead of n x p.

    Parameters
    ----------
    X : (n, p) design.
    """

    def __init__(self, X: Array) -> None:
        self.X = X
        self.n, self.p = X.shape
        self.order: list[int] = []
        self._slot = np.full(self.p, -1)
        self._gram = np.empty((64, self.p))

    def slots(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the cache that hold the Gram columns of `columns` (k,)."""
        new = columns[self._slot[columns] < 0]
        if len(new):
            start, stop = len(self.order), len(self.order) + len(new)
            if stop > len(self._gram):
                self._gram = np.concatenate([self._gram[:start], np.empty((max(start, stop), self.p))])
            self._gram[start:stop] = self.X[:, new].T @ self.X
            self._slot[new] = np.arange(start, stop)
            self.order.extend(new.tolist())
        return self._slot[columns]

    def gram(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Array:
        """``X' X`` restricted to `rows` by `columns`."""
        slots = self.slots(columns)
        return np.ascontiguousarray(self._gram[np.ix_(slots, rows)].T)

    def times(self, columns: NDArray[np.int64], values: Array) -> Array:
        """``X' X b`` (p,) for the sparse ``b`` with `values` at `columns`."""
        slots = self.slots(columns)
        weights = np.zeros(len(self.order))
        weights[slots] = values
        return weights @ self._gram[: len(self.order)]


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse coefficient vector: `values` at `columns`."""

    columns: NDArray[np.int64]
    values: Array

    def error(self, truth: Array) -> float:
        """Euclidean distance to `truth` (s,), the coefficients of the first s variables; the others are zero."""
        inside = self.columns < len(truth)
        missed = truth.copy()
        missed[self.columns[inside]] -= self.values[inside]
        return float(np.sqrt(missed @ missed + self.values[~inside] @ self.values[~inside]))


NOTHING = Sparse(np.zeros(0, np.int64), np.zeros(0))


def solve_lasso(
    design: Design, y: Array, cross: Array, penalty: float, start: Sparse = NOTHING, tolerance: float = 1e-6
) -> Sparse:
    """Minimise ``|y - X b|^2 / (2n) + penalty |b|_1`` (Eq 20).

    A working set grows by the variables that break the optimality condition until none does.

    Parameters
    ----------
    y : (n,) response; cross : (p,) ``X' y``; start : a nearby solution.
    """
    working, beta = start.columns, start.values
    while True:
        if len(working):
            beta = _coordinate_descent(design, y, cross, working, beta, penalty, tolerance)
        gradient = (cross - design.times(working, beta)) / design.n
        gradient[working] = 0
        broken = np.flatnonzero(np.abs(gradient) > penalty * (1 + 1e-4))
        if not len(broken):
            return Sparse(working[beta != 0], beta[beta != 0])
        # Far from the solution nearly every variable breaks the condition; the worst of them explain the others.
        worst = broken[np.argsort(-np.abs(gradient[broken]))[: max(32, len(working))]]
        working, beta = np.concatenate([working, worst]), np.concatenate([beta, np.zeros(len(worst))])


def _coordinate_descent(
    design: Design, y: Array, cross: Array, working: NDArray[np.int64], beta: Array, penalty: float, tolerance: float
) -> Array:
    from sklearn.linear_model import lasso_path  # takes long to import

    with warnings.catch_warnings():
        # A gap just above the tolerance is settled by the optimality check of the next round.
        warnings.simplefilter("ignore")
        _, path, _ = lasso_path(
            np.asfortranarray(design.X[:, working]),
            y,
            alphas=[penalty],
            precompute=design.gram(working, working),
            Xy=cross[working],
            coef_init=beta.copy(),  # scikit-learn writes into it
            tol=tolerance,
            check_input=False,
        )
    return np.asarray(path[:, 0])


def lasso_sweep(design: Design, y: Array, cross: Array, penalties: Array) -> Iterator[Sparse]:
    """Solutions for decreasing `penalties`, each started from the one before."""
    solution = NOTHING
    for penalty in penalties:
        solution = solve_lasso(design, y, cross, float(penalty), solution)
        yield solution


def scaled_lasso(design: Design, y: Array, cross: Array, rounds: int = 20) -> tuple[Sparse, float]:
    """Lasso with the theoretical penalty for its own estimate of sigma (Sun and Zhang 2012).

    Returns
    -------
    The solution and its penalty.
    """
    sigma, solution = float(np.sqrt(y @ y / design.n)), NOTHING
    for _ in range(rounds):
        penalty = float(theory_lambda(design.n, design.p, sigma))
        solution = solve_lasso(design, y, cross, penalty, solution)
        residual = y - design.X[:, solution.columns] @ solution.values
        update = float(np.sqrt(residual @ residual / design.n))
        if abs(update - sigma) < 1e-3 * sigma:
            break
        sigma = update
    return solution, penalty


def least_squares(design: Design, cross: Array, columns: NDArray[np.int64]) -> Sparse:
    """Least squares on `columns` alone (Eq 22 when they are the important ones)."""
    if not len(columns):
        return NOTHING
    return Sparse(columns, np.asarray(np.linalg.solve(design.gram(columns, columns), cross[columns]), float))


def lasso_support(X: Array, y: Array) -> NDArray[np.int64]:
    """Columns a scaled Lasso keeps on one sample (the comparator of Sec 4.1).

    Parameters
    ----------
    X : (n, p) regressors; y : (n,) response. Both are centred and the columns brought to unit variance first.

    Returns
    -------
    Sorted indices of the columns of `X`.
    """
    X = X - X.mean(0)
    scale = X.std(0)
    usable = np.flatnonzero(scale > 0)
    design = Design(X[:, usable] / scale[usable])
    centred = y - y.mean()
    solution, _ = scaled_lasso(design, centred, design.X.T @ centred)
    return np.sort(usable[solution.columns])


def draw_design(rng: np.random.Generator, n: int, p: int, rho: float) -> Array:
    """Gaussian design (n, p) of unit variance, correlation ``rho^|i-j|``; smaller `p` are its first columns."""
    noise = rng.standard_normal((p, n))
    if rho:
        noise[1:] *= np.sqrt(1 - rho**2)
        noise = scipy.signal.lfilter([1.0], [1.0, -rho], noise, axis=0)
    return np.ascontiguousarray(noise.T)


EQUAL, RANDOM = "equal", "random"  # signs of the important coefficients


@dataclass(frozen=True, slots=True)
class LinearSetting:
    """One Monte Carlo experiment: every n, p, signal and rule on the same draws.

    With correlated neighbours signs matter: those of equal sign share what the penalty takes, so a Lasso on them has
    less to lose than the law says, and more where signs are drawn at random.
    """

    n: tuple[int, ...]
    p: tuple[int, ...]
    signals: tuple[float, ...]
    rho: float = 0.0
    signs: str = EQUAL
    s: int = 20
    sigma: float = 1.0
    cross_validated: tuple[int, ...] = ()
    cross_validations: int = 0


def linear_repetition(setting: LinearSetting, seed: int, repetition: int) -> list[Row]:
    """Errors of all estimators in one draw; rows of (n, p, signal, rule).

    Rules: oracle, theory (known sigma), estimated (scaled Lasso), hindsight (best penalty for this very draw),
    refit (least squares on what theory kept), cross-validated.
    """
    rng = generator(seed, "linear", setting.rho, repetition)
    full = draw_design(rng, max(setting.n), max(setting.p), setting.rho)
    noise = setting.sigma * rng.standard_normal(max(setting.n))
    signs = rng.choice([-1.0, 1.0], setting.s) if setting.signs == RANDOM else np.ones(setting.s)
    rows: list[Row] = []
    for n, p in product(setting.n, setting.p):
        # A design of its own for every p: Gram columns as long as the widest would cost more than sharing them saves.
        design = Design(full[:n, :p])
        for signal in setting.signals:
            truth = signal * signs
            y = full[:n, : setting.s] @ truth + noise[:n]
            about: Row = {"rho": setting.rho, "signs": setting.signs, "signal": signal, "n": n, "p": p, "s": setting.s}
            tests = _rules(setting, design, y, design.X.T @ y, truth, repetition)
            rows += [about | {"repetition": repetition} | test for test in tests]
    return rows


def _rules(
    setting: LinearSetting, design: Design, y: Array, cross: Array, truth: Array, repetition: int
) -> Iterator[Row]:
    clock = time.perf_counter()

    def row(rule: str, solution: Sparse, penalty: float) -> Row:
        nonlocal clock
        now = time.perf_counter()
        found = int((solution.columns < setting.s).sum())
        result: Row = {"rule": rule, "error": solution.error(truth), "penalty": penalty, "found": found}
        result |= {"false": len(solution.columns) - found, "seconds": now - clock}
        clock = time.perf_counter()
        return result

    yield row("oracle", least_squares(design, cross, np.arange(setting.s)), 0.0)
    known = float(theory_lambda(design.n, design.p, setting.sigma))
    solution = solve_lasso(design, y, cross, known)
    yield row("theory", solution, known)
    yield row("refit", least_squares(design, cross, solution.columns), known)
    yield row("estimated", *scaled_lasso(design, y, cross))
    best, best_penalty = NOTHING, np.inf
    for penalty, candidate in zip(known * MULTIPLES, lasso_sweep(design, y, cross, known * MULTIPLES), strict=False):
        if candidate.error(truth) < best.error(truth):
            best, best_penalty = candidate, float(penalty)
        # The error is U-shaped in the penalty and the dense end of the path is its costly part.
        elif candidate.error(truth) > 1.1 * best.error(truth) and penalty < known:
            break
    yield row("hindsight", best, best_penalty)
    if design.p in setting.cross_validated and repetition < setting.cross_validations:
        from sklearn.linear_model import LassoCV  # takes long to import

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LassoCV(alphas=known * MULTIPLES, cv=5, fit_intercept=False).fit(design.X, y)
        columns = np.flatnonzero(model.coef_)
        yield row("cross-validated", Sparse(columns, model.coef_[columns]), float(model.alpha_))

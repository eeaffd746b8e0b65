"""Exact EILLS against a loop over supports, and a sweep of the Lasso against plain scikit-learn."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from sklearn.linear_model import Lasso

from benchmarks.record import cpu_seconds, write
from lrrecsys_core.theory.eills import Array, Moments, eills_exact, moments
from lrrecsys_core.theory.lasso import MULTIPLES, Design, draw_design, lasso_sweep
from lrrecsys_core.theory.rates import theory_lambda
from lrrecsys_core.theory.structural import published_environment

GAMMA = 20.0


def main() -> None:
    """Measure and write all three."""
    eills(n=500)
    lasso(n=1000, p=(25, 50, 100, 250, 500, 1000, 2000, 5000, 10000))


def eills(n: int) -> None:
    """The published two-environment example, 12 variables, all 4,096 supports."""
    rng = np.random.default_rng(0)
    draws = [published_environment(rng, n, second) for second in (False, True)]
    X, y = [X for X, _ in draws], [y for _, y in draws]
    eills_exact(moments(X, y), GAMMA)
    assert eills_exact(moments(X, y), GAMMA).support.tolist() == list(loop_from_records(X, y))
    assert eills_exact(moments(X, y), GAMMA).support.tolist() == list(loop_from_moments(moments(X, y)))
    ours = cpu_seconds(lambda: eills_exact(moments(X, y), GAMMA), 7)
    conditions = f"2 environments of {n} records, 12 variables, 4,096 supports, same minimiser"
    theirs = cpu_seconds(lambda: loop_from_records(X, y), 3)
    write("eills_exact_vs_loop", ours, theirs, f"{conditions}; theirs solves each support from the records")
    theirs = cpu_seconds(lambda: loop_from_moments(moments(X, y)), 3)
    write("eills_exact_vs_moment_loop", ours, theirs, f"{conditions}; theirs loops too, but over precomputed moments")


def loop_from_records(X: list[Array], y: list[Array]) -> tuple[int, ...]:
    """Eq 18-19 as written: for each support, for each environment, from the records."""
    best: tuple[float, tuple[int, ...]] = (np.inf, ())
    for size in range(1, X[0].shape[1] + 1):
        for support in combinations(range(X[0].shape[1]), size):
            parts = [x[:, support] for x in X]
            grams = [part.T @ part / len(part) for part in parts]
            crosses = [part.T @ t / len(part) for part, t in zip(parts, y, strict=True)]
            left = np.mean([gram + GAMMA * gram @ gram for gram in grams], axis=0)
            right = np.mean([c + GAMMA * gram @ c for gram, c in zip(grams, crosses, strict=True)], axis=0)
            beta = np.linalg.solve(left, right)
            value = 0.0
            for part, t in zip(parts, y, strict=True):
                residual = t - part @ beta
                value += float((residual**2).mean() + GAMMA * ((part.T @ residual / len(t)) ** 2).sum()) / len(y)
            best = min(best, (value, support))
    return best[1]


def loop_from_moments(data: Moments) -> tuple[int, ...]:
    """The same loop over supports from moments computed once."""
    best: tuple[float, tuple[int, ...]] = (np.inf, ())
    for size in range(1, data.variables + 1):
        for support in combinations(range(data.variables), size):
            gram, cross = data.gram[:, support][:, :, support], data.cross[:, support]
            left = (gram + GAMMA * gram @ gram).mean(0)
            right = (cross + GAMMA * np.einsum("eij,ej->ei", gram, cross)).mean(0)
            value = float((data.power + GAMMA * (cross**2).sum(1)).mean() - right @ np.linalg.solve(left, right))
            best = min(best, (value, support))
    return best[1]


def lasso(n: int, p: tuple[int, ...]) -> None:
    """A descending path of penalties at every p, strong and weak signals, one nested draw, as the simulation needs."""
    rng = np.random.default_rng(0)
    X = draw_design(rng, n, max(p), 0.0)
    noise = rng.standard_normal(n)
    responses = [signal * X[:, :20].sum(1) + noise for signal in (1.0, 0.1)]
    multiples = MULTIPLES[MULTIPLES > 0.4]
    tolerance = 1e-6

    def ours() -> list[float]:
        return [
            float(np.abs(solution.values).sum())
            for design in (Design(X[:, :width]) for width in p)
            for y in responses
            for solution in lasso_sweep(design, y, design.X.T @ y, float(theory_lambda(n, design.p)) * multiples)
        ]

    def plain(penalty: float, columns: Array, y: Array) -> Array:
        return np.asarray(Lasso(alpha=penalty, fit_intercept=False, tol=tolerance).fit(columns, y).coef_)

    def theirs() -> list[float]:
        return [
            float(np.abs(plain(penalty, X[:, :width], y)).sum())
            for width in p
            for y in responses
            for penalty in float(theory_lambda(n, width)) * multiples
        ]

    np.testing.assert_allclose(ours(), theirs(), rtol=0.01, atol=0.01)
    conditions = f"n = {n}, s = 20, p in {p}, {len(multiples)} penalties each, coefficients 1 and 0.1, tolerance "
    conditions += f"{tolerance:g} in both, same L1 norms; theirs is Lasso(alpha).fit without warm start"
    write("lasso_sweep", cpu_seconds(ours, 3), cpu_seconds(theirs, 1), conditions)


if __name__ == "__main__":
    main()

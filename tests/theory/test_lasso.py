"""The Lasso solver against scikit-learn, closed forms and the law the simulation is to show."""

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Lasso, lars_path

from lrrecsys_core.theory.claims import excess_slope
from lrrecsys_core.theory.lasso import (
    EQUAL,
    RANDOM,
    Design,
    LinearSetting,
    Sparse,
    draw_design,
    lasso_support,
    lasso_sweep,
    least_squares,
    linear_repetition,
    scaled_lasso,
    solve_lasso,
)
from lrrecsys_core.theory.rates import lasso_oracle_law, theory_lambda


def dense(solution: Sparse, p: int) -> np.ndarray:
    beta = np.zeros(p)
    beta[solution.columns] = solution.values
    return beta


@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize("penalty", [0.5, 0.1, 0.03])
def test_agrees_with_scikit_learn(rho: float, penalty: float) -> None:
    rng = np.random.default_rng(3)
    X = draw_design(rng, 120, 200, rho)
    y = X[:, :8] @ np.linspace(-1, 1, 8) + rng.standard_normal(120)
    ours = dense(solve_lasso(Design(X), y, X.T @ y, penalty), 200)
    theirs = Lasso(alpha=penalty, fit_intercept=False, tol=1e-10, max_iter=100_000).fit(X, y).coef_
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    residual = X.T @ (y - X @ ours) / 120
    assert np.abs(residual).max() < penalty * 1.01


def test_orthogonal_design_gives_soft_thresholding() -> None:
    X = np.sqrt(8) * np.linalg.qr(np.random.default_rng(0).standard_normal((8, 5)))[0]
    y = X @ np.array([2.0, -1.0, 0.3, 0.0, 0.6])
    beta = dense(solve_lasso(Design(X), y, X.T @ y, 0.5), 5)
    np.testing.assert_allclose(beta, [1.5, -0.5, 0, 0, 0.1], atol=1e-6)


def test_sweep_follows_the_homotopy_path_and_computes_each_gram_column_once() -> None:
    rng = np.random.default_rng(5)
    X = draw_design(rng, 80, 60, 0.5)
    y = X[:, :5].sum(1) + rng.standard_normal(80)
    for p in (20, 60):
        design = Design(X[:, :p])
        alphas, _, coefficients = lars_path(X[:, :p], y, method="lasso")
        chosen = slice(2, 12)
        sweep = lasso_sweep(design, y, design.X.T @ y, alphas[chosen])
        for alpha, solution in zip(alphas[chosen], sweep, strict=True):
            place = int(np.flatnonzero(alphas == alpha)[0])
            np.testing.assert_allclose(dense(solution, p), coefficients[:, place], atol=5e-3)
        assert len(design.order) == len(set(design.order)) <= p


def test_a_solution_is_not_changed_by_solving_on_from_it() -> None:
    rng = np.random.default_rng(8)
    X = draw_design(rng, 60, 30, 0.0)
    y = X[:, 0] + rng.standard_normal(60)
    first = solve_lasso(Design(X), y, X.T @ y, 0.2)
    before = first.values.copy()
    solve_lasso(Design(X), y, X.T @ y, 0.05, first)
    np.testing.assert_array_equal(first.values, before)


def test_least_squares_and_error_by_hand() -> None:
    X = np.array([[1.0, 0, 5], [0, 1, 5], [0, 0, 5]])
    y = np.array([3.0, 4.0, 0.0])
    fit = least_squares(Design(X), X.T @ y, np.array([0, 1]))
    np.testing.assert_allclose(fit.values, [3, 4])
    # Truth (0, 4): off by 3 on the first, and 4 on a variable that does not matter.
    assert Sparse(np.array([0, 1, 2]), np.array([3.0, 4.0, 4.0])).error(np.array([0.0, 4.0])) == pytest.approx(5)
    assert Sparse(np.array([2]), np.array([0.0])).error(np.array([3.0, 4.0])) == pytest.approx(5)


def test_scaled_lasso_estimates_the_noise() -> None:
    rng = np.random.default_rng(2)
    X = draw_design(rng, 2000, 50, 0.0)
    y = X[:, 0] + 3 * rng.standard_normal(2000)
    _, penalty = scaled_lasso(Design(X), y, X.T @ y)
    assert penalty / theory_lambda(2000, 50) == pytest.approx(3, rel=0.05)


def test_support_ignores_offsets_scales_and_constant_columns() -> None:
    rng = np.random.default_rng(4)
    X = draw_design(rng, 400, 12, 0.0)
    y = X[:, 3] - X[:, 7] + 0.3 * rng.standard_normal(400)
    X = np.insert(X * np.linspace(0.01, 100, 12) + 7, 0, 1.0, axis=1)
    assert lasso_support(X, y + 50).tolist() == [4, 8]


def test_designs_are_nested_and_have_the_stated_correlation() -> None:
    wide = draw_design(np.random.default_rng(0), 4000, 6, 0.5)
    correlation = np.corrcoef(wide, rowvar=False)
    expected = 0.5 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    np.testing.assert_allclose(correlation, expected, atol=0.06)
    np.testing.assert_allclose(wide.std(0), 1, atol=0.05)


def test_ratio_follows_the_law_with_strong_signals_and_not_with_weak_or_correlated_ones() -> None:
    p = (25, 200, 2000)
    strong = LinearSetting(n=(1000,), p=p, signals=(1.0, 0.1))
    correlated = LinearSetting(n=(1000,), p=p[:2], signals=(1.0,), rho=0.5)
    rows = pl.DataFrame([row for r in range(8) for s in (strong, correlated) for row in linear_repetition(s, 0, r)])

    def ratio(rho: float, signal: float) -> np.ndarray:
        part = rows.filter((pl.col("rho") == rho) & (pl.col("signal") == signal))
        mean = part.group_by("rule", "p").agg(pl.col("error").mean()).sort("p")
        return (mean.filter(rule="theory")["error"] / mean.filter(rule="oracle")["error"]).to_numpy()

    np.testing.assert_allclose(ratio(0, 1.0), lasso_oracle_law(p), rtol=0.08)
    assert ratio(0, 0.1)[-1] < 0.9 * lasso_oracle_law(2000)
    assert ratio(0.5, 1.0)[-1] < 0.5 * lasso_oracle_law(200)
    assert excess_slope(rows, "theory", 0.0, 1.0).effect == pytest.approx(2, abs=0.3)
    # More variables never change the oracle, whose draws are nested; its sums may be taken in another order.
    oracle = (
        rows.filter(rule="oracle")
        .group_by("rho", "signal", "repetition")
        .agg(pl.col("error").min(), most=pl.col("error").max())
    )
    np.testing.assert_allclose(oracle["most"], oracle["error"], rtol=1e-9)
    hindsight, theory = (rows.filter(rule=rule)["error"].to_numpy() for rule in ("hindsight", "theory"))
    assert (hindsight <= theory * 1.03).all()


def test_with_correlated_neighbours_signs_decide_what_the_penalty_costs() -> None:
    """Neighbours of equal sign share the shrinkage; of random sign they do not (here by more than twice)."""
    ratio = {}
    for signs in (EQUAL, RANDOM):
        setting = LinearSetting(n=(400,), p=(60,), signals=(1.0,), rho=0.5, signs=signs, s=12)
        rows = [row for repetition in range(6) for row in linear_repetition(setting, 0, repetition)]
        error = {
            rule: np.mean([float(str(row["error"])) for row in rows if row["rule"] == rule])
            for rule in ("theory", "oracle")
        }
        ratio[signs] = error["theory"] / error["oracle"]
    assert ratio[RANDOM] > 2 * ratio[EQUAL] > 2

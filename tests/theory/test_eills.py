"""EILLS against hand-worked values, a naive double loop, and the lemmas."""

from itertools import combinations

import numpy as np
import pytest

from lrrecsys_core.errors import InputError
from lrrecsys_core.theory.eills import (
    Moments,
    all_supports,
    default_penalty,
    eills_exact,
    eills_search,
    moments,
    objective,
    solve_supports,
    support_values,
)
from lrrecsys_core.theory.invariance import icp, least_squares_on
from lrrecsys_core.theory.selection import eills_support, pooled_support
from lrrecsys_core.theory.structural import (
    PUBLISHED_BETA,
    Family,
    counterexample_coefficients,
    published_environment,
)


def environments(count: int, n: int, p: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal((n, p)) + rng.standard_normal((n, 1)) * e for e in range(count)]
    return X, [x[:, 0] - x[:, 1] + rng.standard_normal(n) * (1 + e) for e, x in enumerate(X)]


def test_objective_by_hand() -> None:
    # Environment 1: x = (1,0), (0,2); y = 1, 2. Environment 2: x = (2,0), (0,0); y = 0, 2. beta = (1, 0).
    X = [np.array([[1.0, 0], [0, 2]]), np.array([[2.0, 0], [0, 0]])]
    y = [np.array([1.0, 2]), np.array([0.0, 2])]
    # Residuals: (0, 2) and (-2, 2). R = (4/2 + 8/2) / 2 = 3.
    # Covariances with x1: 0 and -4/2 = -2; x2 has a zero coefficient and does not count. J = (0 + 4) / 2 = 2.
    loss, focus, total = objective(moments(X, y), np.array([1.0, 0]), gamma=5, penalty=0.25)
    assert (loss, focus, total) == pytest.approx((3, 2, 3 + 10 + 0.25))


def test_minimiser_on_a_support_beats_every_perturbation() -> None:
    data = moments(*environments(3, 40, 5, 0))
    support = np.array([[0, 1, 3]])
    values, betas = solve_supports(data, support, 7.0)
    beta = np.zeros(5)
    beta[support[0]] = betas[0]
    assert objective(data, beta, 7.0)[2] == pytest.approx(values[0])
    for j in support[0]:
        for step in (-0.01, 0.01):
            moved = beta.copy()
            moved[j] += step
            assert objective(data, moved, 7.0)[2] > values[0]


def naive(X: list[np.ndarray], y: list[np.ndarray], gamma: float, penalty: float) -> tuple[tuple[int, ...], float]:
    """Every support, every environment, from the records."""
    p = X[0].shape[1]
    best: tuple[tuple[int, ...], float] = ((), float(np.mean([np.mean(t**2) for t in y])))
    for size in range(1, p + 1):
        for support in combinations(range(p), size):
            rows, targets = [], []
            for x, t in zip(X, y, strict=True):
                part = x[:, support]
                # R and J stacked as one least-squares problem, unlike the normal equations under test.
                rows += [part / np.sqrt(len(t) * len(y)), np.sqrt(gamma / len(y)) * part.T @ part / len(t)]
                targets += [t / np.sqrt(len(t) * len(y)), np.sqrt(gamma / len(y)) * part.T @ t / len(t)]
            matrix, target = np.concatenate(rows), np.concatenate(targets)
            beta = np.linalg.lstsq(matrix, target, rcond=None)[0]
            value = float(((target - matrix @ beta) ** 2).sum()) + penalty * size
            if value < best[1]:
                best = (support, value)
    return best


@pytest.mark.parametrize(("count", "p", "gamma", "penalty"), [(1, 4, 3.0, 0.0), (2, 6, 20.0, 0.02), (4, 5, 0.0, 0.1)])
def test_exact_search_equals_the_naive_double_loop(count: int, p: int, gamma: float, penalty: float) -> None:
    for seed in range(4):
        X, y = environments(count, 30, p, seed)
        fit = eills_exact(moments(X, y), gamma, penalty)
        support, value = naive(X, y, gamma, penalty)
        assert tuple(fit.support) == support
        assert fit.value == pytest.approx(value)
        assert objective(moments(X, y), fit.beta, gamma, penalty)[2] == pytest.approx(value)


def test_a_large_penalty_empties_the_support() -> None:
    data = moments(*environments(2, 30, 4, 1))
    for fit in (eills_exact(data, 5.0, 1e6), eills_search(data, 5.0, 1e6)):
        assert fit.support.size == 0
        assert fit.value == pytest.approx(data.power.mean())


def test_local_search_agrees_with_the_exact_one() -> None:
    agreed = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        draws = [published_environment(rng, 300, second) for second in (False, True)]
        data = moments([X for X, _ in draws], [y for _, y in draws])
        penalty = default_penalty(data, 20.0)
        exact, local = eills_exact(data, 20.0, penalty), eills_search(data, 20.0, penalty)
        assert local.value >= exact.value - 1e-9
        agreed += local.support.tolist() == exact.support.tolist()
    assert agreed >= 9


def test_local_search_recovers_among_a_hundred_variables() -> None:
    family = Family(variables=100)
    rng = np.random.default_rng(0)
    draws = [family.draw(rng, 1000, family.strengths(rng)) for _ in range(6)]
    data = moments([X for X, _ in draws], [y for _, y in draws])
    fit = eills_search(data, 50.0, default_penalty(data, 50.0), restarts=0)
    assert fit.support.tolist() == family.important.tolist()


def test_population_counterexample_of_lemma_2() -> None:
    rng = np.random.default_rng(0)
    n = 400_000
    x1, y_noise, u = rng.standard_normal((3, n))
    y = x1 + y_noise
    X = np.column_stack([x1, 2 * y + u])
    expected = counterexample_coefficients(2.0)
    assert expected == pytest.approx((0.2, 0.4))
    np.testing.assert_allclose(np.linalg.lstsq(X, y, rcond=None)[0], expected, atol=0.005)
    # J vanishes at that minimiser, so in one environment no gamma repairs it.
    assert eills_exact(moments([X], [y]), 1000.0).support.tolist() == [0, 1]
    X2 = np.column_stack([x1, -1 * y + u])
    assert eills_exact(moments([X, X2], [y, y]), 100.0, 0.01).support.tolist() == [0]


def test_published_example() -> None:
    rng = np.random.default_rng(1)
    draws = [published_environment(rng, 20_000, second) for second in (False, True)]
    data = moments([X for X, _ in draws], [y for _, y in draws])
    fit = eills_exact(data, 20.0, default_penalty(data, 20.0))
    assert fit.support.tolist() == [0, 1, 2]
    np.testing.assert_allclose(fit.beta, PUBLISHED_BETA, atol=0.05)
    pooled = least_squares_on(data, np.arange(12))
    assert np.abs(pooled.beta[[6, 7]]).min() > 0.1


def test_closed_form_risk_of_a_family() -> None:
    family = Family()
    rng = np.random.default_rng(0)
    strengths = family.strengths(rng)
    X, y = family.draw(rng, 400_000, strengths)
    beta = rng.standard_normal(family.variables) * 0.3
    assert family.risk(beta, strengths) == pytest.approx(float(((y - X @ beta) ** 2).mean()), rel=0.02)


def test_moments_of_endless_records_are_those_of_very_many() -> None:
    family, rng = Family(), np.random.default_rng(3)
    strengths = [family.strengths(rng) for _ in range(2)]
    draws = [family.draw(rng, 400_000, strength) for strength in strengths]
    many, endless = moments([X for X, _ in draws], [y for _, y in draws]), family.population(strengths)
    for name in ("gram", "cross", "power"):
        np.testing.assert_allclose(getattr(many, name), getattr(endless, name), rtol=0.02, atol=0.02)
    # In an environment of its own the coefficients on S* leave a residual of variance one, uncorrelated with S*.
    beta = np.append(family.beta, np.zeros(family.variables - len(family.beta)))
    loss, focus, _ = objective(endless, beta, 1.0)
    assert (loss, focus) == pytest.approx((1.0, 0.0), abs=1e-12)


@pytest.mark.parametrize(
    ("X", "y"), [([], []), ([np.ones((0, 2))], [np.ones(0)]), ([np.ones((3, 2)), np.ones((3, 4))], [np.ones(3)] * 2)]
)
def test_environments_that_do_not_fit_together_get_one_sentence(X: list[np.ndarray], y: list[np.ndarray]) -> None:
    for select in (eills_support, pooled_support):
        with pytest.raises(InputError, match="share their variables"):
            select(X, y)


def test_selectors_ignore_offsets_scales_and_constant_columns() -> None:
    family = Family()
    rng = np.random.default_rng(2)
    draws = [family.draw(rng, 2000, family.strengths(rng)) for _ in range(8)]
    X = [np.insert(x * np.linspace(0.1, 10, 10) + e, 0, 1.0, axis=1) for e, (x, _) in enumerate(draws)]
    y = [30 * y + e for e, (_, y) in enumerate(draws)]
    assert eills_support(X, y).tolist() == [1, 2, 3]
    assert set(pooled_support(X, y)) >= {1, 2, 3, 4, 5, 6}
    assert pooled_support(X, y).max() <= 10
    # From one environment EILLS is fooled as pooling is.
    assert set(eills_support(X[:1], y[:1])) & {4, 5, 6}


def test_pooled_selection_keeps_few_useless_variables() -> None:
    rng = np.random.default_rng(3)
    kept = [len(pooled_support([rng.standard_normal((300, 40))], [rng.standard_normal(300)])) for _ in range(40)]
    # |t| > sqrt(2 log 80) = 2.96 happens with probability .003, to .12 of 40 variables.
    assert np.mean(kept) < 0.5


def test_icp_finds_the_invariant_variable() -> None:
    rng = np.random.default_rng(0)

    def environment(scale: float, strength: float) -> tuple[np.ndarray, np.ndarray]:
        x = scale * rng.standard_normal(3000)
        y = 2 * x + rng.standard_normal(3000)
        return np.column_stack([x, strength * y + rng.standard_normal(3000)]), y

    draws = [environment(1.0, 1.0), environment(3.0, -0.5)]
    assert icp(moments([X for X, _ in draws], [y for _, y in draws])).tolist() == [0]


def test_icp_on_identical_environments_claims_nothing() -> None:
    X, y = environments(1, 200, 3, 0)
    assert icp(moments(X * 2, y * 2)).size == 0


def test_bad_shapes_are_refused() -> None:
    X, y = environments(2, 20, 3, 0)
    with pytest.raises(InputError, match="one of each"):
        moments(X, y[:1])
    with pytest.raises(InputError, match="as many responses"):
        moments(X, [y[0], y[1][:-1]])
    wide = np.zeros((1, 17))
    with pytest.raises(InputError, match="16"):
        eills_exact(Moments(np.zeros((1, 17, 17)), wide, np.zeros(1), np.zeros((1, 18)), np.ones(1, np.int64)), 1.0)


def test_values_of_all_supports_match_the_systems_solved_one_by_one() -> None:
    data = moments(*environments(3, 50, 7, 5))
    for size in range(1, 8):
        expected, _ = solve_supports(data, all_supports(7, size), 11.0)
        np.testing.assert_allclose(support_values(data, size, 11.0), expected, rtol=1e-6)


def test_collinear_variables_are_not_refused() -> None:
    X, y = environments(2, 60, 3, 0)
    X = [np.column_stack([x, x[:, 0]]) for x in X]
    for fit in (eills_exact(moments(X, y), 5.0, 0.05), eills_search(moments(X, y), 5.0, 0.05)):
        assert not {0, 3} <= set(fit.support.tolist())
        assert fit.value == pytest.approx(eills_exact(moments([x[:, :3] for x in X], y), 5.0, 0.05).value, rel=1e-6)


def test_fewer_independent_units_mean_fewer_variables() -> None:
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((400, 5)) for _ in range(3)]
    y = [x[:, 0] + 0.15 * x[:, 1] + rng.standard_normal(400) for x in X]
    assert set(eills_support(X, y, gamma=1.0)) >= {0, 1}
    assert eills_support(X, y, gamma=1.0, independent=30).tolist() == [0]
    assert set(pooled_support(X, y)) >= {0, 1}
    assert pooled_support(X, y, independent=30).tolist() == [0]

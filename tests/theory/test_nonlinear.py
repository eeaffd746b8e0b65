"""Nonlinear simulations: the target, the draws, the learners and FAIR."""

import numpy as np
import pytest
import torch

from lrrecsys_core.theory.eills import moments
from lrrecsys_core.theory.fair import additive_splines, draw_nonlinear, fair_support, fair_value, feature_moments
from lrrecsys_core.theory.neural import (
    Nets,
    NonlinearSetting,
    Sample,
    draw,
    fit_nets,
    kernel_ridge,
    nearest_neighbours,
    nonlinear_cell,
    target,
)


@pytest.mark.parametrize("s", [1, 2, 5])
def test_target_is_centred_and_scaled(s: int) -> None:
    values = target(np.random.default_rng(0).uniform(-1, 1, (200_000, s)))
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.var() == pytest.approx(1, abs=0.02)


def test_draws_are_nested_in_records_and_inputs_and_paired() -> None:
    small, large = draw(0, 100, 4, 2, 7, 10), draw(0, 200, 10, 2, 7, 10)
    np.testing.assert_array_equal(small.x, large.x[:80, :4])
    np.testing.assert_array_equal(small.y, large.y[:80])
    np.testing.assert_array_equal(small.y_validation, large.y_validation[:20])
    np.testing.assert_array_equal(small.f_test, large.f_test)
    assert not np.allclose(small.y, draw(0, 100, 4, 2, 8, 10).y)


def plain(x: np.ndarray, y: np.ndarray, points: np.ndarray) -> Sample:
    return Sample(x, y, points, points[:, 0], points, points[:, 0])


def test_nearest_neighbours_choose_k_on_validation() -> None:
    x = np.linspace(-1, 1, 101)[:, None]
    # Noise-free and dense: one to three neighbours are exact to the grid.
    np.testing.assert_allclose(nearest_neighbours(plain(x, x[:, 0], x[10:90])), x[10:90, 0], atol=1e-12)
    noise = np.random.default_rng(0).standard_normal(101)
    flat = Sample(x, noise, x, np.zeros(101), x, np.zeros(101))
    assert flat.score(nearest_neighbours(flat)) < 0.1


def test_kernel_ridge_equals_its_normal_equations() -> None:
    rng = np.random.default_rng(0)
    x, points = rng.uniform(-1, 1, (60, 2)), rng.uniform(-1, 1, (30, 2))
    sample = plain(x, x[:, 0], points)

    def kernel(a: np.ndarray, width: float) -> np.ndarray:
        return np.exp(-((a[:, None] - x) ** 2).sum(-1) / (4 / 3) / (2 * width**2))

    candidates = [
        kernel(points, w) @ np.linalg.solve(kernel(x, w) + r * np.eye(60), sample.y)
        for w in (0.4, 1.0)
        for r in (0.03, 0.3, 3.0)
    ]
    best = min(candidates, key=lambda values: ((values - points[:, 0]) ** 2).mean())
    np.testing.assert_allclose(kernel_ridge(sample), best, atol=1e-3)


def test_nets_run_side_by_side_without_touching_each_other() -> None:
    nets = Nets(2, 3, 4, seed=0)
    x = torch.randn(2, 5, 3)
    nets(x)[0].sum().backward()
    assert all(not parameter.grad[1].any() and parameter.grad[0].any() for parameter in nets.parameters())  # type: ignore[index]


def test_nets_learn_and_keep_their_best_epoch() -> None:
    sample = draw(0, 400, 1, 1, 0, 1)
    prediction = fit_nets([sample, sample], seed=0, width=32, epochs=40)
    assert all(sample.score(values) < 0.1 for values in prediction)


def test_cell_pairs_all_inputs_with_the_important_ones() -> None:
    rows = nonlinear_cell(NonlinearSetting(n=250, p=(2, 8), s=2, repetitions=2, widest=8), seed=0)
    error = {(row["method"], row["inputs"], row["p"], row["repetition"]): float(str(row["error"])) for row in rows}
    assert len(rows) == len(error) == 3 * 3 * 2
    for method in ("nearest neighbours", "kernel ridge"):
        assert error[method, "all", 2, 0] == error[method, "S*", 2, 0] < error[method, "all", 8, 0]


def test_value_of_the_game_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    X = [rng.standard_normal((50, 2)) for _ in range(2)]
    y = [x[:, 0] + rng.standard_normal(50) for x in X]
    data, gamma = moments(X, y), 3.0
    columns = np.array([0, 1])

    def game(c: np.ndarray) -> float:
        value = 0.0
        for x, t in zip(X, y, strict=True):
            residual = t - x @ c
            critic = x @ np.linalg.lstsq(x, residual, rcond=None)[0]
            value += (residual**2).mean() + gamma * (2 * residual * critic - critic**2).mean()
        return value / 2

    best = fair_value(data, columns, gamma)
    grid = [game(np.array([a, b])) for a in np.linspace(0.5, 1.5, 41) for b in np.linspace(-0.5, 0.5, 41)]
    assert best <= min(grid) + 1e-9
    assert best == pytest.approx(min(grid), rel=1e-3)


def test_fair_needs_splines_and_several_environments() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_nonlinear(rng, 1000, strength) for strength in (1.0, -1.0, 0.6, -1.3)]
    X, y = [X for X, _ in draws], [y for _, y in draws]
    assert fair_support(additive_splines(X), y, 6).tolist() == [0, 1]
    assert set(fair_support(additive_splines(X[:1]), y[:1], 6)) & {2, 3}
    assert 1 not in fair_support(X, y, 6)
    assert feature_moments(additive_splines(X), y).variables == 1 + 6 * 6

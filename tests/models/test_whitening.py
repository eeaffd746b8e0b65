"""The map between text vectors and the network: the unit covariance it promises, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from lrrecsys_core.models.whitening import RIDGE, Whitening, condition, far, named_arrays, rank, read_maps, spectrum

ALL = np.ones(4, dtype=bool)


def drawn(rows: int = 300, spread: tuple[float, ...] = (3.0, 1.0, 0.02), seed: int = 0) -> np.ndarray:
    """Correlated vectors (n, w) away from zero, whose last direction has little variance."""
    rng = np.random.default_rng(seed)
    mixed = np.linalg.qr(rng.standard_normal((len(spread), len(spread))))[0]
    return rng.standard_normal((rows, len(spread))) * spread @ mixed + 5.0


def test_four_vectors_by_hand() -> None:
    """Variances 4 and 1/4 along the axes and no correlation: coordinates less their means over 2 and 1/2."""
    vectors = np.array([[3.0, 1.5], [3.0, 0.5], [-1.0, 1.5], [-1.0, 0.5]])
    found = Whitening.of(vectors)
    np.testing.assert_allclose(found.mean, [1.0, 1.0])
    np.testing.assert_allclose(found.root, [[0.5, 0.0], [0.0, 2.0]], rtol=1e-5, atol=1e-12)
    out = found(vectors, ALL)
    np.testing.assert_allclose(out, [[1, 1], [1, -1], [-1, 1], [-1, -1]], rtol=1e-5)
    assert out.dtype == np.float32


def test_two_correlated_vectors_by_hand() -> None:
    """Covariance ((5, 4), (4, 5)) / 9: variances 1 and 1/9 along the diagonals, so the root is ((2, -1), (-1, 2))."""
    along, across = np.array([1.0, 1.0]) / np.sqrt(2), np.array([1.0, -1.0]) / np.sqrt(2)
    vectors = np.array([along + across / 3, along - across / 3, -along + across / 3, -along - across / 3])
    np.testing.assert_allclose(Whitening.of(vectors).root, [[2.0, -1.0], [-1.0, 2.0]], rtol=1e-4)


def test_whitened_training_vectors_have_unit_covariance_up_to_the_ridge() -> None:
    vectors = drawn()
    out = Whitening.of(vectors)(vectors, np.ones(len(vectors), dtype=bool)).astype(np.float64)
    np.testing.assert_allclose(out.mean(0), 0.0, atol=1e-5)
    values = np.linalg.eigvalsh(np.cov(out, rowvar=False, bias=True))
    ridge = RIDGE * np.trace(np.cov(vectors, rowvar=False, bias=True)) / 3
    variances = spectrum(vectors)
    np.testing.assert_allclose(sorted(values), sorted(variances / (variances + ridge)), atol=1e-4)
    np.testing.assert_allclose(values, 1.0, atol=0.02)


def test_a_direction_without_variance_stays_finite_and_close_to_zero() -> None:
    vectors = np.column_stack([drawn(), np.full(300, 7.0)])
    found = Whitening.of(vectors)
    out = found(vectors, np.ones(300, dtype=bool))
    assert np.isfinite(found.root).all() and np.abs(out[:, 3]).max() < 1e-3
    unlike = np.array([[5.0, 5.0, 5.0, 8.0]])
    assert np.abs(found(unlike, np.array([True]))[:, 3]).max() < 1e-3, "nor may the first text that has some fill it"


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.234567, -3e4])
@pytest.mark.parametrize("rows", [0, 1, 7, 2800])
def test_constant_or_absent_vectors_scale_nothing(rows: int, value: float) -> None:
    """Their mean is rounded, so that their variance is none only up to rounding."""
    found = Whitening.of(np.full((rows, 3), value))
    np.testing.assert_allclose(found.root, np.eye(3), atol=1e-12)
    other = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(found(other, np.array([True])), other - value * (rows > 0), rtol=1e-6)


def test_it_turns_with_what_it_is_given() -> None:
    """The symmetric root alone does: another root of the inverse would turn them once more."""
    vectors = drawn(spread=(2.0, 1.0, 0.5))
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    there = np.ones(len(vectors), dtype=bool)
    turned = Whitening.of(vectors @ turn)(vectors @ turn, there)
    np.testing.assert_allclose(turned, Whitening.of(vectors)(vectors, there) @ turn, atol=1e-4)
    root = Whitening.of(vectors).root
    np.testing.assert_allclose(root, root.T, atol=1e-12)


def test_spectrum_rank_and_condition_by_hand() -> None:
    vectors = np.array([[3.0, 1.5], [3.0, 0.5], [-1.0, 1.5], [-1.0, 0.5]])
    np.testing.assert_allclose(spectrum(vectors), [4.0, 0.25])
    assert condition(spectrum(vectors)) == pytest.approx(16.0)
    # One record counts once: repeated, the first pair's spread goes down.
    np.testing.assert_allclose(spectrum(np.repeat(vectors, [5, 5, 1, 1], axis=0))[0], 16 * 10 / 12 * 2 / 12)
    assert spectrum(vectors[:1]).tolist() == spectrum(vectors[:0]).tolist() == [0.0, 0.0]
    assert spectrum(np.eye(8)[:3]).shape == (8,), "fewer vectors than directions"
    assert rank(np.array([1.0, 1.1e-6, 0.9e-6, 0.0])) == 2 and rank(np.zeros(3)) == 0
    assert condition(np.array([2.0, 0.0])) == condition(np.zeros(2)) == float("inf")


def test_far_counts_vectors_and_not_directions() -> None:
    assert far(np.array([[6.1, -7.0], [0.0, -6.1], [5.9, 5.9]])) == 2


def test_maps_survive_a_file() -> None:
    import torch

    maps = {"positive": Whitening.of(drawn()), "negative": Whitening.of(drawn(seed=1))}
    arrays = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in named_arrays(maps).items()}
    read = read_maps(arrays | {"centre": torch.zeros(1)}, ("positive", "negative"))
    for slot, one in maps.items():
        np.testing.assert_array_equal(read[slot].mean, one.mean)
        np.testing.assert_array_equal(read[slot].root, one.root)

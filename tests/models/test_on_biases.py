"""A linear part on the biases: it finds what was planted beyond them, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from lrrecsys_core import metrics
from lrrecsys_core.data.split import Split
from lrrecsys_core.models.base import TASKS
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.models.on_biases import on_biases
from tests.models.markets import market

EFFECT = 0.15


def planted() -> tuple[Split, np.ndarray]:
    """A market whose targets move by `EFFECT` with a number drawn for each record."""
    split = market(users=150, items=60)
    number = np.random.default_rng(5).standard_normal(len(split.user))
    target = np.clip(0.5 + EFFECT * number + 0.05 * np.random.default_rng(6).standard_normal(len(number)), 0, 1)
    return replace(
        split, target=target.astype(split.target.dtype), liked=(target > 0.5).astype(split.liked.dtype)
    ), number


def told(split: Split, task: str) -> np.ndarray:
    """The biases' own predictions."""
    return np.asarray(expit(bias_logits(split, task, *residual_biases(split, task))))


def test_it_recovers_a_planted_effect_of_ratings() -> None:
    split, number = planted()
    outcome, base = on_biases(split, "regression", number[:, None]), told(split, "regression")
    inside = (outcome > 0) & (outcome < 1)
    slope = np.polyfit(number[inside], (outcome - base)[inside], 1)[0]
    assert slope == pytest.approx(EFFECT, rel=0.15)
    test = split.test
    assert metrics.rmse(outcome[test], split.target[test]) < 0.5 * metrics.rmse(base[test], split.target[test])


def test_it_recovers_a_planted_effect_of_likes() -> None:
    split, number = planted()
    test = split.test
    outcome, base = (
        f[test] for f in (on_biases(split, "classification", number[:, None]), told(split, "classification"))
    )
    assert metrics.auc(outcome, split.liked[test]) > 0.95 > 0.8 > metrics.auc(base, split.liked[test])
    assert ((outcome >= 0) & (outcome <= 1)).all()


@pytest.mark.parametrize("task", TASKS)
def test_features_are_standardised(task: str) -> None:
    split, number = planted()
    one, two = (on_biases(split, task, f[:, None]) for f in (number, 40.0 + 1e3 * number))
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_it_adds_about_nothing_for_noise(task: str) -> None:
    split = market(users=150, items=60)
    noise = np.random.default_rng(9).standard_normal((len(split.user), 3))
    outcome, base, test = on_biases(split, task, noise), told(split, task), split.test
    if task == "regression":
        change = metrics.rmse(outcome[test], split.target[test]) / metrics.rmse(base[test], split.target[test]) - 1
        assert np.std(outcome - base) < 0.03
    else:
        change = metrics.auc(outcome[test], split.liked[test]) - metrics.auc(base[test], split.liked[test])
    assert abs(change) < 0.02


@pytest.mark.parametrize("task", TASKS)
def test_test_records_decide_nothing(task: str) -> None:
    split, number = planted()
    target, liked = split.target.copy(), split.liked.copy()
    target[split.test], liked[split.test] = 1 - target[split.test], 1 - liked[split.test]
    other = on_biases(replace(split, target=target, liked=liked), task, number[:, None])
    np.testing.assert_array_equal(other, on_biases(split, task, number[:, None]))

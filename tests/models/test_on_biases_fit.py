"""Linear predictors on the biases: what a number adds to them is found, and nothing else moves."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from lrrecsys_core import metrics
from lrrecsys_core.data.simulate import taste_for
from lrrecsys_core.data.split import Split
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.models.on_biases import DEFAULT_RIDGE, on_biases
from tests.models.markets import market


def base_of(split: Split, task: str) -> np.ndarray:
    return 1 / (1 + np.exp(-bias_logits(split, task, *residual_biases(split, task))))


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_tastes_help_and_a_constant_leaves_the_order_of_the_biases(task: str) -> None:
    split = market()
    target = split.target if task == "regression" else split.liked
    measure = metrics.rmse if task == "regression" else metrics.auc
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a fit that does not arrive says so
        known, constant = (on_biases(split, task, x[:, None]) for x in (taste_for(split), np.ones(len(split.user))))
    values = [float(measure(x[split.test], target[split.test])) for x in (known, base_of(split, task), constant)]
    assert (values[0] < 0.95 * values[1]) if task == "regression" else (values[0] > values[1] + 0.02)
    # A ridge on errors may still move the level; the order of the records is that of the biases.
    assert values[2] == pytest.approx(values[1], abs=1e-3 if task == "regression" else 1e-9)


def test_it_is_fitted_on_the_records_it_is_given() -> None:
    split = market()
    features = np.random.default_rng(0).normal(size=(len(split.user), 3))
    everything = on_biases(split, "regression", features)
    np.testing.assert_array_equal(everything, on_biases(split, "regression", features, split.train))
    some = split.train[::2]
    other = features.copy()
    other[split.train[1::2]] += 5.0  # numbers of training records that are left out
    seen = np.setdiff1d(np.arange(len(split.user)), split.train[1::2])
    left_out, moved = (on_biases(split, "regression", x, some) for x in (features, other))
    np.testing.assert_array_equal(left_out[seen], moved[seen])
    assert not np.allclose(left_out, everything)


def test_without_validation_records_the_ridge_is_the_stated_one() -> None:
    split = market()
    strict = replace(split, train=np.sort(np.r_[split.train, split.validation]), validation=split.validation[:0])
    features = np.random.default_rng(0).normal(size=(len(split.user), 60))
    known = features[strict.train]
    inputs, base = (features - known.mean(0)) / known.std(0), base_of(strict, "regression")
    fitted = Ridge(DEFAULT_RIDGE).fit(inputs[strict.train], (strict.target - base)[strict.train])
    expected = np.clip(base + fitted.predict(inputs), 0, 1)
    np.testing.assert_allclose(on_biases(strict, "regression", features), expected, atol=1e-9)
    assert np.isfinite(on_biases(strict, "classification", features)).all()

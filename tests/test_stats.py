from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from lrrecsys_core import metrics as m
from lrrecsys_core import stats


def test_paired_t_agrees_with_scipy() -> None:
    values = [0.1, 0.3, -0.1, 0.4, 0.2]
    ours, theirs = stats.paired_t(values), ttest_1samp(values, 0)
    assert ours.p_greater() == pytest.approx(theirs.pvalue / 2)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert ours.p_less() == pytest.approx(1 - theirs.pvalue / 2)


def test_too_few_markets_give_no_interval() -> None:
    assert np.isnan(stats.paired_t([1.0]).p_greater()) and np.isnan(stats.paired_t([]).effect)


def test_holm_by_hand() -> None:
    assert stats.holm([0.01, 0.04, np.nan, 0.03]) == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_only_raises_p_and_keeps_the_order(p: list[float]) -> None:
    corrected = stats.holm(p)
    assert (corrected >= np.array(p) - 1e-12).all() and (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= -1e-12).all()


def test_trend_recovers_a_planted_slope() -> None:
    dose = np.linspace(0, 1, 5)
    values = 0.3 * dose + np.random.default_rng(0).normal(0, 0.01, (12, 5))
    found = stats.trend(values, dose)
    assert found.effect == pytest.approx(0.3, abs=0.01) and found.low < 0.3 < found.high and found.p_greater() < 1e-6


def test_equivalence_needs_the_interval_inside_the_margin() -> None:
    near = stats.paired_t([0.1, -0.1, 0.05, -0.05, 0.0, 0.02])
    assert near.inside(-1, 1) and near.p_within(1) < 0.001
    far = stats.paired_t([0.1, 2.1, 0.05, 1.9, 0.0, 2.0])
    assert not far.inside(-1, 1) and far.p_within(1) > 0.4


def test_cohens_d_by_hand() -> None:
    assert stats.cohens_d([1, 2, 3], [3, 4, 5]) == pytest.approx(-2.0)


def test_fieller_interval_covers_and_opens_up() -> None:
    rng = np.random.default_rng(1)
    denominator = 1 + 0.05 * rng.normal(size=20)
    ratio, low, high = stats.ratio_interval(0.2 * denominator + 0.01 * rng.normal(size=20), denominator)
    assert ratio == pytest.approx(0.2, abs=0.01) and low < ratio < high < 0.25
    assert stats.ratio_interval([0.1, -0.1, 0.2], [1.0, -1.0, 0.1])[1:] == (-np.inf, np.inf)


def _clustered(rng: np.random.Generator, users: int = 40, per_user: int = 10) -> tuple[np.ndarray, np.ndarray]:
    user = np.repeat(np.arange(users), per_user)
    return user, rng.normal(size=users)[user] + 0.3 * rng.normal(size=user.size)


def test_user_bootstrap_covers_where_a_record_bootstrap_would_not() -> None:
    covered, naive = 0, 0
    for seed in range(150):
        user, values = _clustered(np.random.default_rng(seed))
        bootstrap = stats.UserBootstrap(user, draws=400, seed=seed)
        estimate = bootstrap.estimate(values.mean(), bootstrap.mean(values))
        covered += estimate.low < 0 < estimate.high
        naive += abs(values.mean()) < 1.96 * values.std() / np.sqrt(values.size)
    assert covered / 150 > 0.88 and naive / 150 < 0.6


def test_bootstrap_draws_agree_with_repeating_the_drawn_users() -> None:
    rng = np.random.default_rng(3)
    user, score = np.repeat(np.arange(6), 5), rng.integers(0, 4, 30).astype(float)
    liked = (rng.random(30) < 0.5).astype(float)
    bootstrap = stats.UserBootstrap(user, draws=5, seed=7)
    drawn = np.random.default_rng(7).integers(6, size=(5, 6))
    for draw, users in enumerate(drawn):
        index = np.concatenate([np.flatnonzero(user == u) for u in users])
        assert bootstrap.auc(score, liked)[draw] == pytest.approx(float(m.auc(score[index], liked[index])), nan_ok=True)
        assert bootstrap.rmse(score, liked)[draw] == pytest.approx(float(m.rmse(score[index], liked[index])))
        assert bootstrap.mae(score, liked)[draw] == pytest.approx(float(m.mae(score[index], liked[index])))
        assert bootstrap.slope(score, liked)[draw] == pytest.approx(
            stats.slope(score[index], liked[index]), nan_ok=True
        )


def test_clustered_slope_recovers_a_slope_and_widens_with_clusters() -> None:
    rng = np.random.default_rng(5)
    user, noise = _clustered(rng, 60)
    x = rng.normal(size=60)[user]
    found = stats.clustered_slope(x, 0.5 * x + noise, user)
    alone = stats.clustered_slope(x, 0.5 * x + noise, np.arange(user.size))
    assert found.low < 0.5 < found.high and found.se > 2 * alone.se
    assert np.isnan(stats.clustered_slope(np.ones(4), np.arange(4), [0, 0, 1, 1]).effect)

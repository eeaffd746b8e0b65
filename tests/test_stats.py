from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nct, norm, t, ttest_1samp
from statsmodels.stats.power import TTestPower

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


def unit_spread(n: int) -> np.ndarray:
    """n differences with standard deviation 1."""
    values = np.arange(n, dtype=np.float64)
    return (values - values.mean()) / values.std(ddof=1)


@pytest.mark.parametrize(("n", "by_hand"), [(10, 0.8528), (4, 1.6497), (2, 5.7928)])
def test_the_smallest_effect_that_markets_could_have_shown(n: int, by_hand: float) -> None:
    found = stats.paired_t(unit_spread(n)).smallest()
    assert found == pytest.approx(by_hand, abs=1e-4)
    assert nct.sf(t.ppf(0.95, n - 1), n - 1, found * np.sqrt(n)) == pytest.approx(0.8)
    assert found == pytest.approx(
        TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8, alternative="larger"), abs=1e-5
    )
    # In the unit of the effect, and the same wherever the effect lies.
    assert stats.paired_t(7 + 0.01 * unit_spread(n)).smallest() == pytest.approx(0.01 * found)


def test_the_smallest_effect_that_users_could_have_shown() -> None:
    bootstrap = stats.UserBootstrap(np.arange(50), draws=400)
    values = np.random.default_rng(0).normal(size=50)
    estimate = bootstrap.estimate(values.mean(), bootstrap.mean(values))
    assert estimate.smallest() == pytest.approx((norm.ppf(0.95) + norm.ppf(0.8)) * estimate.se)
    assert np.isnan(stats.paired_t([1.0]).smallest()) and stats.paired_t([1.0, 1.0]).smallest() == 0.0


def test_an_effect_of_that_size_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(0)
    size = stats.paired_t(unit_spread(10)).smallest()
    found = [stats.paired_t(size + rng.normal(size=10)).p_greater() < 0.05 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_what_is_left_of_the_level_for_each_rank_by_hand() -> None:
    """Three tests at 6%: the smallest p is compared with a third of it, the next with a half, the largest with all."""
    assert stats.holm_levels([0.01, 0.04, np.nan, 0.03], 0.06) == pytest.approx([0.02, 0.06, 0.06, 0.03])
    estimate = stats.paired_t(unit_spread(10))
    assert estimate.smallest(0.05 / 9) == pytest.approx(
        TTestPower().solve_power(nobs=10, alpha=0.05 / 9, power=0.8, alternative="larger"), abs=1e-5
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8, unique=True))
def test_holm_passes_what_is_below_its_level_as_long_as_all_before_it_are(p: list[float]) -> None:
    order = np.argsort(p)
    below = np.array(p)[order] < stats.holm_levels(p, 0.05)[order]
    assert (stats.holm(p)[order] < 0.05).tolist() == np.logical_and.accumulate(below).tolist()


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

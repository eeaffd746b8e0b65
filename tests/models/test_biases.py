"""The residual biases every network stands on: penalised, chosen on validation, and blind to test records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.metrics import auc
from lrrecsys_core.models import biases
from lrrecsys_core.models.base import base_rate
from lrrecsys_core.models.biases import DEFAULT_PRIOR, PRIORS, bias_logits, fit_biases, residual_biases

NEVER = 1e9  # a prior that holds one side at 0


def split_of(records: Sequence[tuple[str, str, float]], *, validation: bool = False) -> Split:
    """Records (user, item, rating) in the order of time; of each user the last fifth is test."""
    frame = pl.DataFrame(records, schema=["user_id", "item_id", "rating"], orient="row")
    frame = frame.with_columns(timestamp=pl.int_range(pl.len()))
    items = frame.select("item_id", name="item_id").unique(maintain_order=True)
    return make_split(make_dataset("toy", "movie", frame, items), validation=validation)


def at(split: Split, user: str) -> int:
    return split.user_ids.index(user)


def crowd(
    taste: float = 0.0, quality: float = 0.0, noise: float = 0.0, *, users: int = 40, items: int = 30, later: str = ""
) -> Split:
    """Ratings with planted logits, sd `taste` of users and `quality` of items, and `noise` on top.

    `later` says which part is replaced by other ratings: "", "test" or "validation".
    """
    rng = np.random.default_rng(0)
    of_user, of_item = taste * rng.normal(size=users), quality * rng.normal(size=items)
    pairs = [(u, i) for u in range(users) for i in rng.permutation(items)[:20]]
    logits = np.array([of_user[u] + of_item[i] for u, i in pairs]) + noise * rng.normal(size=len(pairs))
    place = np.arange(len(pairs)) % 20  # 16 before the test part, of which the last two are validation
    moved = {"": place < 0, "test": place >= 16, "validation": (place == 14) | (place == 15)}[later]
    ratings = 1 + 4 * np.where(moved, rng.random(len(pairs)), expit(logits))
    return split_of([(f"u{u:02d}", f"i{i:02d}", r) for (u, i), r in zip(pairs, ratings, strict=True)], validation=True)


@pytest.mark.parametrize("records", [1, 3])
def test_the_optimum_by_hand_and_a_prior_counts_records(records: int) -> None:
    # Two users rate the same items 5 and 1: mu = 0, v = 1/4, items stay at 0 and the users at +-b with
    # n (1 - s) = prior b / 4, where s = sigmoid(b): b = ln 3 has s = 3/4, so prior = n / ln 3.
    told = [(user, f"i{k}", stars) for k in range(records) for user, stars in (("ann", 5.0), ("bob", 1.0))]
    split = split_of([*told, ("ann", "i0", 3.0), ("bob", "i0", 3.0)])
    assert len(split.train) == 2 * records
    of_user, of_item = fit_biases(split, records / math.log(3), 1.0)
    assert of_user[[at(split, "ann"), at(split, "bob")]] == pytest.approx([math.log(3), -math.log(3)], abs=1e-3)
    assert of_item == pytest.approx(np.zeros(records + 1), abs=1e-3)


def test_users_and_items_have_priors_of_their_own() -> None:
    told = [(user, item, stars) for item, stars in (("good", 5.0), ("bad", 1.0)) for user in ("ann", "bob")]
    split = split_of([*told, ("ann", "good", 3.0), ("bob", "good", 3.0)])
    # As above with the sides exchanged: two records per item.
    of_user, of_item = fit_biases(split, 1.0, 2 / math.log(3))
    assert sorted(of_item) == pytest.approx([-math.log(3), 0.0, math.log(3)], abs=1e-3)
    assert of_user == pytest.approx(np.zeros(3), abs=1e-3)


@pytest.mark.parametrize("priors", [(1.0, 30.0), (10.0, 3.0)])
def test_the_optimum_is_what_another_solver_finds(priors: tuple[float, float]) -> None:
    split = crowd(0.8, 0.5, 0.7)
    user, item, y = split.user[split.train], split.item[split.train], split.target[split.train].astype(float)
    rate = y.mean()
    weight = rate * (1 - rate) / 2 * np.repeat(priors, [split.n_users, split.n_items])

    def objective(b: np.ndarray) -> float:
        s = logit(rate) + b[user] + b[split.n_users + item]
        return float(-(y * log_expit(s) + (1 - y) * log_expit(-s)).sum() + weight @ b**2)

    start = np.zeros(split.n_users + split.n_items)
    expected = minimize(objective, start, method="L-BFGS-B", options={"maxfun": 10**6}).x
    np.testing.assert_allclose(np.concatenate(fit_biases(split, *priors)), expected, atol=3e-3)
    far = np.ones(split.n_users), -np.ones(split.n_items)
    np.testing.assert_allclose(np.concatenate(fit_biases(split, *priors, start=far)), expected, atol=3e-3)


def long_tailed() -> Split:
    """Users of their own taste, with 2 to 600 records."""
    rng = np.random.default_rng(2)
    told = [
        (f"u{k:03d}", f"i{i:03d}", float(np.clip(np.round(3.6 + 1.2 * np.cos(k) + rng.normal()), 1, 5)))
        for k in range(300)
        for i in rng.permutation(600)[: 600 // (1 + k)]
    ]
    return split_of(told)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_optimum_is_reached_soon_whether_users_have_two_records_or_hundreds(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Newton step from what was found would move no bias by a thousandth of a logit."""
    split, steps = long_tailed(), []

    def counted(*given: Any, **options: Any) -> Any:
        found = minimize(*given, **options)
        steps.append(found.nfev)
        return found

    monkeypatch.setattr(biases, "minimize", counted)
    b = np.concatenate(fit_biases(split, 1.0, 1.0, task=task))
    assert steps[0] < 30, "one unit for all takes more than 50"
    user, item = split.user[split.train], split.n_users + split.item[split.train]
    outcome = (split.target if task == "regression" else split.liked)[split.train]
    rate = base_rate(split, task)
    said = expit(logit(rate) + b[user] + b[item])
    slope = sum(np.bincount(who, said - outcome, len(b)) for who in (user, item)) + rate * (1 - rate) * b
    curvature = sum(np.bincount(who, said * (1 - said), len(b)) for who in (user, item)) + rate * (1 - rate)
    assert np.abs(b).max() > 1 and np.abs(slope / curvature).max() < 0.001


def test_blocks_of_records_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_biases(long_tailed(), 5.0, 5.0)
    monkeypatch.setattr(biases, "BLOCK", 7)
    np.testing.assert_allclose(np.concatenate(fit_biases(long_tailed(), 5.0, 5.0)), np.concatenate(whole), atol=1e-6)


def test_who_wrote_little_is_shrunk_more_than_who_wrote_much() -> None:
    told = [("few", "i0", 5.0), *(("much", f"i{k}", 5.0) for k in range(8)), *(("low", f"i{k}", 1.0) for k in range(9))]
    split = split_of([*told, ("few", "i9", 5.0), *(("much", f"i{k}", 5.0) for k in (8, 9)), ("low", "i9", 1.0)])
    of_user, of_item = fit_biases(split, 3.0, NEVER)
    trained = np.bincount(split.user[split.train], minlength=split.n_users)
    assert [trained[at(split, name)] for name in ("few", "much")] == [1, 8]
    assert 0.1 < 2 * of_user[at(split, "few")] < of_user[at(split, "much")]
    np.testing.assert_allclose(of_item, 0.0, atol=1e-6)
    spread = [np.abs(fit_biases(split, prior, NEVER)[0]).max() for prior in PRIORS["regression"]]
    assert spread == sorted(spread) and spread[0] < 0.2 * spread[-1]


def test_the_reserved_row_stays_zero() -> None:
    split = split_of([("ann", "a", 5.0), ("ann", "b", 4.0), ("bob", "a", 1.0), ("bob", "new", 5.0), ("cy", "a", 2.0)])
    assert (split.item[split.test] == 0).any()
    for task in ("regression", "classification"):
        of_user, of_item = residual_biases(split, task)
        assert of_user.shape == (split.n_users,) and of_item.shape == (split.n_items,)
        assert of_user[0] == of_item[0] == 0 and of_user[1:].all() and of_item[1:].all()


def test_planted_biases_are_recovered() -> None:
    split = crowd(0.8, 0.6)
    of_user, of_item = residual_biases(split, "regression")
    rng = np.random.default_rng(0)
    taste, quality = 0.8 * rng.normal(size=40), 0.6 * rng.normal(size=30)
    names = split.dataset.items["item_id"].to_list()
    for found, truth in (
        ([of_user[at(split, f"u{k:02d}")] for k in range(40)], taste),
        ([of_item[split.item_rows[names.index(f"i{k:02d}")]] for k in range(30)], quality),
    ):
        assert np.corrcoef(found, truth)[0, 1] > 0.995
        assert np.polyfit(truth, found, 1)[0] == pytest.approx(1.0, abs=0.15)
    predicted = expit(bias_logits(split, "regression", of_user, of_item))[split.test]
    assert np.abs(predicted - split.target[split.test]).mean() < 0.02


def test_logits_of_records_by_hand() -> None:
    split = split_of([("ann", "a", 5.0), ("ann", "b", 4.0), ("bob", "a", 2.0), ("bob", "new", 5.0)])
    of_user, of_item = np.array([0.0, 0.5, -1.0]), np.arange(split.n_items) / 4
    user, item = {1: 0.5, 2: -1.0}, {k: k / 4 for k in range(split.n_items)} | {0: 0.0}
    mean = float(split.target[split.train].mean())
    told = bias_logits(split, "regression", of_user, of_item)
    assert told == pytest.approx(
        [math.log(mean / (1 - mean)) + user[u] + item[i] for u, i in zip(split.user, split.item, strict=True)]
    )
    high = base_rate(split, "classification")
    np.testing.assert_allclose(
        bias_logits(split, "classification", of_user, of_item) - told, logit(high) - logit(mean), rtol=1e-6
    )


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_test_records_never_matter(task: str) -> None:
    split, other = crowd(0.5, 0.5, 1.0), crowd(0.5, 0.5, 1.0, later="test")
    assert (split.target[split.test] != other.target[other.test]).all()
    for one, two in zip(residual_biases(split, task), residual_biases(other, task), strict=True):
        np.testing.assert_array_equal(one, two)


def best_priors(split: Split, part: str) -> tuple[float, float]:
    """The pair of priors with the smallest squared error on a part, every fit from scratch."""
    records, out = getattr(split, part), {}
    for priors in product(PRIORS["regression"], repeat=2):
        predicted = expit(bias_logits(split, "regression", *fit_biases(split, *priors)))[records]
        out[priors] = float(((predicted - split.target[records]) ** 2).mean())
    return min(out, key=out.__getitem__)


@pytest.mark.parametrize(
    ("taste", "quality", "noise", "lowest", "highest"),
    [(0.0, 0.0, 1.5, 30.0, 100.0), (0.8, 0.6, 0.0, 1.0, 1.0), (0.8, 0.0, 1.0, 1.0, 100.0)],
)
def test_priors_are_those_with_the_smallest_validation_error(
    taste: float, quality: float, noise: float, lowest: float, highest: float
) -> None:
    split = crowd(taste, quality, noise)
    best = best_priors(split, "validation")
    assert lowest <= min(best) <= max(best) <= highest
    np.testing.assert_allclose(
        np.concatenate(residual_biases(split, "regression")), np.concatenate(fit_biases(split, *best)), atol=3e-3
    )


def test_validation_ratings_choose_and_training_ratings_fit() -> None:
    split, other = crowd(0.8, 0.6), crowd(0.8, 0.6, later="validation")
    assert (split.target[split.train] == other.target[other.train]).all()
    assert (split.target[split.validation] != other.target[other.validation]).all()
    assert best_priors(split, "validation") == best_priors(other, "train") == (1.0, 1.0)
    assert np.concatenate(residual_biases(split, "regression")).any()
    # Validation ratings that follow from nothing ask for no biases at all.
    np.testing.assert_array_equal(np.concatenate(residual_biases(other, "regression")), 0.0)


def test_high_and_low_keep_the_ratings_biases_where_no_deviation_helps() -> None:
    split = crowd(0.8, 0.6, 1.0)
    factor = best_factor(split, split.validation)
    around = factor * residual_biases(split, "regression")[0], factor * residual_biases(split, "regression")[1]
    assert entropy(split, *around, split.validation) < min(fitted_entropies(split, around))
    np.testing.assert_allclose(
        np.concatenate(residual_biases(split, "classification")), np.concatenate(around), atol=0.02
    )


def test_without_validation_the_priors_are_the_default() -> None:
    ratings = crowd(0.8, 0.6).dataset
    split = make_split(ratings, validation=False)
    assert not len(split.validation)
    ratings = residual_biases(split, "regression")
    prior = DEFAULT_PRIOR["regression"]
    np.testing.assert_array_equal(np.concatenate(ratings), np.concatenate(fit_biases(split, prior, prior)))
    factor = best_factor(split, split.train)
    prior, around = DEFAULT_PRIOR["classification"], (factor * ratings[0], factor * ratings[1])
    np.testing.assert_allclose(
        np.concatenate(residual_biases(split, "classification")),
        np.concatenate(fit_biases(split, prior, prior, task="classification", around=around)),
        atol=0.02,
    )


def entropy(split: Split, of_user: np.ndarray, of_item: np.ndarray, records: np.ndarray) -> float:
    p = expit(bias_logits(split, "classification", of_user, of_item))[records]
    return float(-np.log(np.where(split.liked[records] > 0, p, 1 - p)).mean())


def best_factor(split: Split, records: np.ndarray) -> float:
    """What the biases of the ratings are best multiplied by, to a hundredth."""
    of_user, of_item = residual_biases(split, "regression")
    scales = np.linspace(0.01, 10, 1000)
    return float(scales[np.argmin([entropy(split, k * of_user, k * of_item, records) for k in scales])])


@pytest.mark.parametrize("records", [1, 3])
def test_high_and_low_by_hand_and_a_prior_counts_records(records: int) -> None:
    # As for ratings, but with cross-entropy: n (1 - s) = prior b / 4, and b = ln 3 has s = 3/4: prior = n / ln 3.
    told = [(user, f"i{k}", stars) for k in range(records) for user, stars in (("ann", 5.0), ("bob", 1.0))]
    split = split_of([*told, ("ann", "i0", 3.0), ("bob", "i0", 3.0)])
    of_user, of_item = fit_biases(split, records / math.log(3), 1.0, task="classification")
    assert of_user[[at(split, "ann"), at(split, "bob")]] == pytest.approx([math.log(3), -math.log(3)], abs=1e-3)
    assert of_item == pytest.approx(np.zeros(records + 1), abs=1e-3)


@pytest.mark.parametrize("priors", [(10.0, 300.0), (100.0, 30.0)])
def test_high_and_low_deviate_from_what_they_are_fitted_around(priors: tuple[float, float]) -> None:
    split = crowd(0.8, 0.5, 0.7)
    rng = np.random.default_rng(1)
    around = rng.normal(size=split.n_users), rng.normal(size=split.n_items)
    user, item, liked = split.user[split.train], split.item[split.train], split.liked[split.train].astype(float)
    rate = liked.mean()
    weight = rate * (1 - rate) / 2 * np.repeat(priors, [split.n_users, split.n_items])

    def penalised(c: np.ndarray) -> float:
        s = logit(rate) + (around[0] + c[: split.n_users])[user] + (around[1] + c[split.n_users :])[item]
        return float(-(liked * log_expit(s) + (1 - liked) * log_expit(-s)).sum() + weight @ c**2)

    expected = np.concatenate(around) + minimize(penalised, np.zeros(len(weight)), method="BFGS").x
    found = fit_biases(split, *priors, task="classification", around=around)
    np.testing.assert_allclose(np.concatenate(found), expected, atol=3e-3)
    held = fit_biases(split, NEVER, NEVER, task="classification", around=around)
    np.testing.assert_allclose(np.concatenate(held), np.concatenate(around), atol=1e-6)


def idiosyncratic(seed: int = 0) -> Split:
    """All rate 3.5 on average: users of odd number give 3.5 always, the others 3 or 4, and 4 is high."""
    rng = np.random.default_rng(seed)
    told = [
        (f"u{k:02d}", f"i{i:02d}", 3.5 if k % 2 else float(rng.integers(3, 5)))
        for k in range(40)
        for i in rng.permutation(30)[:20]
    ]
    return split_of(told, validation=True)


def test_users_who_call_high_what_others_do_not_are_told_apart() -> None:
    split = idiosyncratic()
    ratings, high = residual_biases(split, "regression"), residual_biases(split, "classification")
    rounds = np.array([at(split, f"u{k:02d}") for k in range(0, 40, 2)])
    others = np.array([at(split, f"u{k:02d}") for k in range(1, 40, 2)])
    assert np.abs(ratings[0]).max() < 0.1
    assert high[0][rounds].min() > high[0][others].max() + 0.5
    shown = bias_logits(split, "classification", *high)[split.test]
    assert auc(shown, split.liked[split.test]) > 0.7


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_where_high_follows_from_the_ratings_its_biases_are_theirs_times_a_factor(noise: float) -> None:
    split = crowd(0.8, 0.6, noise)
    factor = best_factor(split, split.validation)
    assert factor > 1, "with little noise a rating above 4 is surer than its distance from the mean says"
    ratings, high = (np.concatenate(residual_biases(split, task)) for task in ("regression", "classification"))
    assert np.corrcoef(ratings, high)[0, 1] > 0.95
    scaled = (factor * part for part in residual_biases(split, "regression"))
    best = entropy(split, *residual_biases(split, "classification"), split.validation)
    assert best <= entropy(split, *scaled, split.validation) + 1e-4


def fitted_entropies(split: Split, around: tuple[np.ndarray, np.ndarray]) -> list[float]:
    """Validation entropies of all pairs of priors, every fit from scratch."""
    return [
        entropy(split, *fit_biases(split, *priors, task="classification", around=around), split.validation)
        for priors in product(PRIORS["classification"], repeat=2)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_priors_of_high_and_low_are_those_with_the_smallest_validation_entropy(seed: int) -> None:
    split = idiosyncratic(seed)
    factor = best_factor(split, split.validation)
    around = factor * residual_biases(split, "regression")[0], factor * residual_biases(split, "regression")[1]
    losses = fitted_entropies(split, around)
    assert min(losses) < entropy(split, *around, split.validation) - 0.01
    assert entropy(split, *residual_biases(split, "classification"), split.validation) == pytest.approx(
        min(losses), abs=1e-4
    )

"""The structure planted in simulated markets is there, and nothing else is."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.market_draws import MarketParameters
from lrrecsys_core.data.market_words import MARKET_WORDS
from lrrecsys_core.data.simulate import (
    DEFAULT_PARAMETERS,
    MarketTruth,
    balance,
    knowledge,
    market_truth,
    record_attributes,
    shifted,
    simulate_market,
    taste_for,
)
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.prompts import record_requests
from lrrecsys_core.explain.reasoners import SimulatedReasoner

DOMAINS = ("hotels", "restaurants", "movies")


def t_values(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """t statistics of an ordinary least-squares fit with intercept."""
    design = np.column_stack([np.ones(len(y)), x])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    variance = ((y - design @ beta) ** 2).sum() / (len(y) - design.shape[1])
    return (beta / np.sqrt(variance * np.diag(inverse)))[1:]


def kinds(truth) -> dict[str, np.ndarray]:
    important = np.array([name in truth.important for name in truth.attributes])
    spurious = np.array([name in truth.spurious for name in truth.attributes])
    return {"important": important, "spurious": spurious, "other": ~important & ~spurious}


@pytest.mark.parametrize("domain", DOMAINS)
def test_shape_of_a_market(domain):
    market = simulate_market(domain, 3)
    truth = market_truth(market)
    size = DEFAULT_PARAMETERS[domain]
    assert market.name == domain and market.simulated and market.source == "simulated"
    assert market.domain.name == MARKET_WORDS[domain].domain
    assert market.items.height == size.items and len(truth.users) == size.users
    assert market.interactions["user_id"].n_unique() == size.users
    assert market.interactions.height / size.users == pytest.approx(size.records_per_user, rel=0.02)
    assert set(market.interactions["rating"].unique()) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert not market.interactions.select("user_id", "item_id").is_duplicated().any()
    assert len(truth.attributes) == 40 and len(truth.important) == 12 and len(truth.spurious) == 8
    assert not truth.important & truth.spurious
    owned = [set(details.split("; ")[1:]) for details in market.items["details"]]
    assert owned == [{a for a, has in zip(truth.attributes, row, strict=True) if has} for row in truth.item_attributes]
    assert set(market.aspects["sentiment"].unique()) == {-1, 1}
    assert set(market.aspects["aspect"]) <= set(truth.attributes)
    mentions = market.aspects.group_by("user_id", "item_id").len()
    assert mentions.height == market.interactions.height and mentions["len"].is_between(1, 3).all()


def test_markets_of_one_domain_share_their_laws_and_sizes_only():
    one, two = simulate_market("movies", 0), simulate_market("movies", 1)
    assert one.fingerprint == simulate_market("movies", 0).fingerprint != two.fingerprint
    assert one.interactions.height == two.interactions.height
    first, second = market_truth(one), market_truth(two)
    assert first.important == second.important and first.spurious == second.spurious
    np.testing.assert_array_equal(first.prevalence, second.prevalence)
    signs = {tuple(np.sign(market_truth(simulate_market("movies", seed)).strength)) for seed in range(6)}
    assert len(signs) == 6


def test_ratings_follow_important_attributes_and_no_idle_ones():
    squares = {"important": [], "other": []}
    for seed in range(4):
        market = simulate_market("restaurants", seed)
        split, truth = make_split(market), market_truth(market)
        t = t_values(record_attributes(split, truth.attributes), split.rating)
        for kind in squares:
            squares[kind] += (t[kinds(truth)[kind]] ** 2).tolist()
    assert np.mean(np.array(squares["important"]) > 4) > 0.9
    assert np.mean(squares["important"]) > 10 * np.mean(squares["other"])


@pytest.mark.parametrize("domain", DOMAINS)
def test_spurious_attributes_follow_appeal_and_change_sign_when_shifted(domain):
    market = simulate_market(domain, 5)
    other = shifted(market, 7)
    truth, moved = market_truth(market), market_truth(other)
    spurious = kinds(truth)["spurious"]
    assert (truth.strength[spurious] != 0).all() and (truth.strength[~spurious] == 0).all()
    np.testing.assert_array_equal(np.sign(moved.strength), -np.sign(truth.strength))
    for world in (truth, moved):
        slopes = [np.corrcoef(world.item_attributes[:, k], truth.appeal)[0, 1] for k in np.flatnonzero(spurious)]
        assert (np.sign(slopes) == np.sign(world.strength[spurious])).all() and np.abs(slopes).min() > 0.2
    np.testing.assert_array_equal(moved.item_attributes[:, ~spurious], truth.item_attributes[:, ~spurious])
    assert other.interactions.equals(market.interactions) and other.aspects.equals(market.aspects)
    assert other.items.drop("details").equals(market.items.drop("details"))
    assert other.fingerprint != market.fingerprint
    assert [d.split("; ")[0] for d in other.items["details"]] == [d.split("; ")[0] for d in market.items["details"]]


def test_attributes_never_depend_on_realised_ratings():
    quiet = simulate_market("hotels", 2, replace(DEFAULT_PARAMETERS["hotels"], noise=0.1, level=2.0))
    loud = simulate_market("hotels", 2, replace(DEFAULT_PARAMETERS["hotels"], noise=1.5))
    assert not quiet.interactions["rating"].equals(loud.interactions["rating"])
    assert quiet.items["details"].equals(loud.items["details"])


def test_null_market_has_user_and_item_effects_only():
    squares = []
    for seed in range(4):
        market = simulate_market("hotels", seed, null=True)
        truth, split = market_truth(market), make_split(market)
        assert not truth.tastes.any() and not truth.strength.any()
        slopes = [np.corrcoef(column, truth.appeal)[0, 1] for column in truth.item_attributes.T]
        assert np.mean(slopes) == pytest.approx(0, abs=0.05) and np.abs(slopes).max() < 0.3
        residual = split.rating - truth.appeal[split.item_position] * DEFAULT_PARAMETERS["hotels"].appeal
        mean = np.bincount(split.user_position, residual) / np.bincount(split.user_position)
        t = t_values(record_attributes(split, truth.attributes, "shared"), residual - mean[split.user_position])
        squares += (t**2).tolist()
    assert np.mean(squares) < 1.5


def test_history_reveals_tastes():
    market = simulate_market("movies", 1)
    truth, split = market_truth(market), make_split(market)
    rows = {user: row for row, user in enumerate(truth.users)}
    ids = market.interactions["user_id"].to_numpy()[split.record]
    tastes = truth.tastes[[rows[user] for user in ids]]
    share = record_attributes(split, truth.attributes, "history")
    important = kinds(truth)["important"]
    assert np.corrcoef(share[:, important].ravel(), tastes[:, important].ravel())[0, 1] > 0.3


def test_activity_and_popularity_are_long_tailed_with_cold_items():
    market = simulate_market("restaurants", 4)
    per_user = market.interactions["user_id"].value_counts()["count"]
    per_item = market.interactions["item_id"].value_counts()["count"].sort(descending=True)
    assert per_user.min() <= 4 and per_user.max() >= 60
    assert per_item.head(25).sum() > 0.3 * per_item.sum()
    assert 0.005 < make_split(market).shares["test_cold_items"] < 0.15


def test_the_smallest_market_is_a_market():
    tiny = simulate_market("movies", 0, MarketParameters(users=2, items=3, records_per_user=2, newcomers=0.5))
    assert tiny.interactions.height >= 2 and (tiny.interactions["timestamp"] > 1_600_000_000).all()


def test_hotel_context_matters():
    market = simulate_market("hotels", 0)
    assert market.context == ("trip_type", "season")
    mean = dict(market.interactions.group_by("trip_type").agg(pl.col("rating").mean()).iter_rows())
    assert mean["couple"] > mean["family"] > mean["business"]


def test_record_attributes_by_hand():
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "name": ["A", "B", "C"], "details": ["x; y", "x", "y; z"]})
    records = pl.DataFrame(
        {"user_id": ["u"] * 3, "item_id": ["a", "b", "c"], "rating": [1, 5, 3], "timestamp": [1, 2, 3]}
    )
    split = make_split(make_dataset("tiny", "product", records, items))
    names = ["y", "x", "nowhere"]
    np.testing.assert_allclose(record_attributes(split, names, "present"), [[1, 1, 0], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(record_attributes(split, names, "history"), [[0, 0, 0], [1, 1, 0], [0.5, 1, 0]])
    np.testing.assert_allclose(record_attributes(split, names, "shared"), [[0, 0, 0], [0, 1, 0], [0.5, 0, 0]])
    np.testing.assert_allclose(record_attributes(split, names), [[0.5, 0.5, 0], [0, 1, 0], [0.75, 0, 0]])


def test_knowledge_is_nested_and_filled_up():
    truth = market_truth(simulate_market("hotels", 0))
    sets = [set(knowledge(truth, share, spurious=2, seed=4)) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert [len(known & truth.important) for known in sets] == [0, 3, 6, 9, 12]
    assert [len(known) for known in sets] == [12, 12, 12, 12, 14]
    assert all(len(known & truth.spurious) == 2 for known in sets)
    assert all(low & truth.important <= high & truth.important for low, high in zip(sets, sets[1:], strict=False))
    assert set(knowledge(truth, 0.5, seed=4, fill=False)) == sets[2] & truth.important
    assert set(knowledge(truth, 0, spurious=8, fill=False)) == truth.spurious
    assert knowledge(truth, 0.5, seed=4) != knowledge(truth, 0.5, seed=5)
    for share, spurious in ((1.5, 0), (-0.1, 0), (0.5, 9)):
        with pytest.raises(InputError, match="cannot know"):
            knowledge(truth, share, spurious)


@pytest.mark.parametrize("domain", DOMAINS)
def test_words_cannot_be_mistaken_for_each_other(domain):
    words = MARKET_WORDS[domain]
    phrases = words.important + words.spurious + words.other + words.categories
    assert len(set(phrases)) == len(phrases)
    assert not [(a, b) for a in phrases for b in phrases if a != b and a in b]
    names = " | ".join(simulate_market(domain, 0).items["name"]).lower()
    assert not [phrase for phrase in phrases if phrase in names]


@pytest.mark.parametrize(
    ("domain", "parameters", "message"),
    [
        ("spas", None, "no simulated market 'spas'"),
        ("hotels", MarketParameters(important=13), "important attributes, not 13"),
        ("hotels", MarketParameters(attributes=50), "other attributes, not 30"),
        ("hotels", MarketParameters(tastes_per_user=13), "tastes_per_user"),
        ("hotels", MarketParameters(items=1), "at least two"),
        ("hotels", MarketParameters(items=9_999), "at most 5400 items"),
        ("movies", MarketParameters(newcomers=0.9), "newcomers"),
    ],
)
def test_impossible_markets_are_refused(domain, parameters, message):
    with pytest.raises(InputError, match=message):
        simulate_market(domain, 0, parameters)


def test_truth_of_real_data_is_refused():
    items = pl.DataFrame({"item_id": ["a"], "name": ["A"]})
    real = make_dataset("real", "movie", pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "rating": [3]}), items)
    for ask in (market_truth, lambda data: shifted(data, 0)):
        with pytest.raises(InputError, match="not a simulated market"):
            ask(real)


def hand_market():
    """Three items, u1 with tastes, S* = {pool, spa}; u1 chose them in this order: a, b, then c."""
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c"],
            "name": ["A", "B", "C"],
            "details": ["inn; pool", "inn; pool; spa", "inn; bar; spa"],
        }
    )
    records = pl.DataFrame(
        {"user_id": ["u1"] * 3 + ["u2"], "item_id": ["a", "b", "c", "b"], "rating": [3.0, 4.0, 2.0, 5.0],
         "timestamp": [1, 2, 3, 4]}
    )  # fmt: skip
    truth = MarketTruth(
        attributes=("bar", "pool", "spa"),
        important=frozenset({"pool", "spa"}),
        spurious=frozenset({"bar"}),
        item_attributes=np.array([[0, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=bool),
        tastes=np.array([[0.0, 0.5, -1.0], [0.0, 2.0, 0.25]]),
        appeal=np.zeros(3),
        users=("u1", "u2"),
        prevalence=np.array([0.5, 0.4, 0.2]),
        strength=np.zeros(3),
    )
    dataset = make_dataset("hotels", "hotel", records, items, simulated=True, truth=truth)
    return make_split(dataset)


def by_record(split, values):
    """(user, item) -> value."""
    rows = split.dataset.interactions[split.record.tolist()]
    return dict(zip(rows.select("user_id", "item_id").iter_rows(), np.asarray(values).tolist(), strict=True))


def test_the_balance_of_reasons_by_hand():
    found = by_record(hand_market(), balance(hand_market()))
    assert found == {
        ("u1", "a"): 0.0,  # no history
        ("u1", "b"): 1.0,  # the history always had a pool, and nothing it had is missing
        ("u1", "c"): 0.5 - 1.0,  # spa in one of two, but no pool, which both had; the bar is not of S*
        ("u2", "b"): 0.0,
    }


def test_the_true_taste_for_a_candidate_by_hand():
    """Tastes times what the item has beyond the average item's share."""
    found = by_record(hand_market(), taste_for(hand_market()))
    expected = {
        ("u1", "a"): 0.5 * (1 - 0.4) - 1.0 * (0 - 0.2),
        ("u1", "b"): 0.5 * (1 - 0.4) - 1.0 * (1 - 0.2),
        ("u1", "c"): 0.5 * (0 - 0.4) - 1.0 * (1 - 0.2),
        ("u2", "b"): 2.0 * (1 - 0.4) + 0.25 * (1 - 0.2),
    }
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_balance_is_the_match_that_a_reasoner_with_full_knowledge_tells(domain):
    split = make_split(simulate_market(domain, 4))
    truth, known = market_truth(split.dataset), balance(split)
    records = np.arange(0, len(split.user), 11)
    requests = record_requests(split, None, "direct", "single", records)
    told = [float(result.text) for result in SimulatedReasoner(truth.important).complete(requests)]
    low, high = split.dataset.rating_min, split.dataset.rating_max
    expected = low + (high - low) * (1 + known[records]) / 2
    np.testing.assert_allclose(told, expected, atol=0.05 + 1e-9)
    assert np.std(told) > 0.3


def test_ratings_follow_the_true_tastes_and_less_so_the_balance():
    split = make_split(simulate_market("restaurants", 4))
    follow = [np.corrcoef(f(split), split.rating)[0, 1] for f in (taste_for, balance)]
    assert follow[0] > 0.5 > follow[1] > 0.1

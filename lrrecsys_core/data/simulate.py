"""Simulated markets in which the theory's assumption holds: a known set S* of attributes drives ratings (Eq 16).

Users have a few strong tastes among the important attributes on top of the population's, and tend to choose items that
match them, so that a history reveals tastes to a reader of item texts. Spurious attributes follow an item's latent
appeal, with a sign and strength of their own in every market (environment), and never a realised rating (App 9.2).
A market tests the mechanism of the paper, not its claim about real markets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core.data import market_draws as draw
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.market_draws import MarketParameters
from lrrecsys_core.data.market_words import MARKET_WORDS
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError

STRENGTH = (0.8, 1.6)  # logit of a spurious attribute per standard deviation of appeal, before its sign
Part = Literal["both", "present", "shared", "history"]

# Settled on seeds 0-9; hotels have less noise because their context adds to the spread.
DEFAULT_PARAMETERS: dict[str, MarketParameters] = {
    "hotels": MarketParameters(noise=0.3),
    "restaurants": MarketParameters(),
    "movies": MarketParameters(),
}


@dataclass(frozen=True)
class MarketTruth:
    """What a simulated market knows about itself: for comparators, theory and tests only.

    Attributes
    ----------
    attributes
        The K attribute names, sorted.
    important, spurious
        The set S*, and the attributes that follow appeal.
    item_attributes
        (items, K) bool, rows as ``dataset.items``.
    tastes
        (users, K) effect of an attribute on a user's latent rating, the population's included; rating points.
    appeal
        (items,) latent appeal in standard deviations.
    users
        User ids, rows of `tastes`.
    prevalence
        (K,) share of average items that have an attribute.
    strength
        (K,) logit of having an attribute per standard deviation of appeal in this environment; 0 unless spurious.
    """

    attributes: tuple[str, ...]
    important: frozenset[str]
    spurious: frozenset[str]
    item_attributes: NDArray[np.bool_]
    tastes: NDArray[np.float64]
    appeal: NDArray[np.float64]
    users: tuple[str, ...]
    prevalence: NDArray[np.float64]
    strength: NDArray[np.float64]


def market_truth(dataset: Dataset) -> MarketTruth:
    """Truth of a simulated market, for comparators and theory.

    Raises
    ------
    InputError
        When the data set is not a simulated market.
    """
    if not isinstance(dataset.truth, MarketTruth):
        raise InputError(f"data set {dataset.name!r} is not a simulated market: its true attributes are unknown.")
    return dataset.truth


def simulate_market(
    domain: str, seed: int, parameters: MarketParameters | None = None, *, null: bool = False
) -> Dataset:
    """Make one market, an environment of its own; important and spurious attributes are the domain's.

    Parameters
    ----------
    domain
        "hotels", "restaurants" or "movies".
    seed
        Decides everything but the sets of attributes, their frequency and the population's mean tastes.
    parameters
        By default ``DEFAULT_PARAMETERS[domain]``.
    null
        Ratings depend on user and item effects only, and attributes on nothing.

    Raises
    ------
    InputError
        When the domain is unknown or the parameters cannot be met.
    """
    if domain not in MARKET_WORDS:
        raise InputError(f"no simulated market {domain!r}: choose one of {', '.join(MARKET_WORDS)}.")
    chosen, words = parameters or DEFAULT_PARAMETERS[domain], MARKET_WORDS[domain]
    if null:
        chosen = replace(chosen, taste=0.0, population=0.0, context=0.0, spurious_strength=0.0)
    laws = draw.laws(domain, chosen, words)
    rng = np.random.default_rng([crc32(domain.encode()), seed, int(null)])
    sign = rng.choice((-1.0, 1.0), laws.spurious.size)
    strength = laws.spurious * sign * chosen.spurious_strength * rng.uniform(*STRENGTH, sign.size)
    tastes = draw.tastes(chosen, laws, rng)
    quality = rng.standard_normal(chosen.items)
    has = draw.attributes(quality, laws.prevalence, strength, rng)
    fit = tastes @ (has - laws.prevalence).T
    user, item, timestamp = draw.choices(chosen, fit, quality, rng)
    context, mood = draw.context(chosen, words, user, timestamp, rng)
    level = chosen.level + chosen.user_effect * rng.standard_normal(chosen.users)
    latent = level[user] + chosen.appeal * quality[item] + fit[user, item] + mood
    rating = np.clip(np.rint(latent + chosen.noise * rng.standard_normal(user.size)), 1, 5)

    users = np.array([f"user{number:04d}" for number in range(1, chosen.users + 1)])
    items = np.array([f"item{number:04d}" for number in range(1, chosen.items + 1)])
    who = {"user_id": users[user], "item_id": items[item]}
    record, attribute, sentiment = draw.mentions(has[item], tastes[user], laws.prevalence, rating, rng)
    categories = [words.categories[code] for code in rng.integers(len(words.categories), size=chosen.items)]
    details = draw.details(categories, laws.attributes, has)
    names = np.array(laws.attributes)
    return make_dataset(
        domain,
        words.domain,
        pl.DataFrame(who | {"rating": rating, "timestamp": timestamp} | context),
        pl.DataFrame({"item_id": items, "name": draw.item_names(words, chosen.items, rng), "details": details}),
        aspects=pl.DataFrame(
            {column: ids[record] for column, ids in who.items()} | {"aspect": names[attribute], "sentiment": sentiment}
        ),
        context=tuple(context),
        simulated=True,
        truth=MarketTruth(
            attributes=laws.attributes,
            important=frozenset(names[laws.important].tolist()),
            spurious=frozenset(names[laws.spurious].tolist()),
            item_attributes=has,
            tastes=tastes,
            appeal=quality,
            users=tuple(users.tolist()),
            prevalence=laws.prevalence,
            strength=strength,
        ),
        source="simulated",
    )


def shifted(dataset: Dataset, seed: int) -> Dataset:
    """The same market in another environment: spurious attributes follow appeal with the opposite sign.

    Their strengths change places and their values are drawn anew; users, items, ratings, reviews and all other
    attributes stay (App 9.2).

    Raises
    ------
    InputError
        When the data set is not a simulated market.
    """
    truth = market_truth(dataset)
    rng = np.random.default_rng([seed, crc32(dataset.name.encode()), 1])
    columns = np.array([name in truth.spurious for name in truth.attributes])
    strength = truth.strength.copy()
    strength[columns] = -np.sign(strength[columns]) * rng.permutation(np.abs(strength[columns]))
    has = truth.item_attributes.copy()
    has[:, columns] = draw.attributes(truth.appeal, truth.prevalence, strength, rng)[:, columns]
    categories = [details.split("; ")[0] for details in dataset.items["details"]]
    items = dataset.items.with_columns(details=pl.Series(draw.details(categories, truth.attributes, has)))
    return replace(dataset, items=items, truth=replace(truth, item_attributes=has, strength=strength))


def knowledge(
    truth: MarketTruth, share: float, spurious: int = 0, seed: int = 0, *, fill: bool = True
) -> tuple[str, ...]:
    """Attributes to tell a simulated reasoner: a share of S* and some spurious ones; smaller sets lie in larger ones.

    Parameters
    ----------
    truth
        Of the market, or of any of its domain.
    share
        Share of S* it knows, from 0 to 1.
    spurious
        Number of spurious attributes it also holds for important.
    seed
        Decides which ones.
    fill
        Add attributes that do nothing until it holds as many for important as S* has: a weak reasoner gives wrong
        reasons, not none.

    Raises
    ------
    InputError
        When the share is not in [0, 1] or there are fewer spurious or idle attributes.
    """
    rng = np.random.default_rng([seed, 7])
    important, misleading, idle = (
        rng.permutation(sorted(names)).tolist()
        for names in (truth.important, truth.spurious, set(truth.attributes) - truth.important - truth.spurious)
    )
    known = round(share * len(important))
    wrong = max(0, len(important) - known - spurious) if fill else 0
    if not 0 <= share <= 1 or not 0 <= spurious <= len(misleading) or wrong > len(idle):
        raise InputError(
            f"a reasoner cannot know {share:g} of S*, {spurious} spurious and {wrong} idle attributes: give a share"
            f" from 0 to 1; the market has {len(misleading)} spurious and {len(idle)} idle attributes."
        )
    return (*important[:known], *misleading[:spurious], *idle[:wrong])


def record_attributes(split: Split, attributes: Sequence[str], part: Part = "both") -> NDArray[np.float64]:
    """Attributes of each record in the one form all comparators share: what the candidate has, by its history share.

    Parameters
    ----------
    split
        Any split whose items' details list attributes; ratings are not used.
    attributes
        K names to look for among the details' phrases.
    part
        With a in {0, 1} whether the candidate has the attribute and h its share among the (up to five) history items,
        0 without a history: "present" is a, "shared" is a h, "history" is h, and "both" is a (1 + h) / 2, which orders
        absent, present but new to the user, and present as always.

    Returns
    -------
    (N, K) values in [0, 1].
    """
    places = {name: column for column, name in enumerate(attributes)}
    has = np.zeros((split.dataset.items.height + 1, len(places)))  # the last row, all zero, stands for "no item"
    for row, details in enumerate(split.dataset.items["details"]):
        has[row, [places[phrase] for phrase in details.split("; ") if phrase in places]] = 1
    present = has[split.item_position]
    if part == "present":
        return present
    length = np.maximum((split.history_position >= 0).sum(1, keepdims=True), 1)
    share = np.add.reduce([has[column] for column in split.history_position.T]) / length
    if part == "history":
        return share
    return present * share if part == "shared" else present * (1 + share) / 2


def balance(split: Split) -> NDArray[np.float64]:
    """What speaks for each record's candidate less what speaks against it (N,), as read by one who knows S*.

    The largest share of the history among the important attributes that the candidate has, less the largest among
    those it lacks: in words, the match that a simulated reasoner with full knowledge tells.
    """
    important = tuple(sorted(market_truth(split.dataset).important))
    present = record_attributes(split, important, "present")
    history = record_attributes(split, important, "history")
    return (present * history).max(1) - ((1 - present) * history).max(1)


def taste_for(split: Split) -> NDArray[np.float64]:
    """Effect of the candidate's attributes on its user's latent rating (N,), in rating points: the true tastes."""
    truth = market_truth(split.dataset)
    place = {user: row for row, user in enumerate(truth.users)}
    user = [place[name] for name in split.dataset.interactions["user_id"].gather(split.record)]
    has = truth.item_attributes[split.item_position] - truth.prevalence
    return np.einsum("nk,nk->n", truth.tastes[user], has)

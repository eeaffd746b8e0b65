"""The draws a simulated market is made of; :mod:`lrrecsys_core.data.simulate` puts them together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.market_words import MarketWords
from lrrecsys_core.errors import InputError

DAY = 86_400
OPENING = 1_609_459_200  # 2021-01-01 00:00 UTC, the first day of every market
DAYS = 1_095
STAY = 0.4  # share of that time during which a user is active


@dataclass(frozen=True, slots=True)
class MarketParameters:
    """Size and strength of a market; effects are in rating points, before rounding to 1-5.

    Attributes
    ----------
    users, items
        Number of each.
    records_per_user
        Mean; single users follow the quantiles of a long-tailed law, so that all markets have equally many records.
    attributes, important, spurious
        Number of attributes, of those in S*, and of those that follow appeal.
    tastes_per_user, taste, liking
        Number of a user's strong tastes, all in S*, their mean size, and the share of positive ones.
    population
        Mean effect of an important attribute on everybody, beside strong tastes.
    tilt
        How much the log odds of choosing an item rise with a point of match.
    appeal, user_effect, noise
        Standard deviations of items' appeal, of users' levels and of all the rest.
    spurious_strength
        Factor on how closely spurious attributes follow appeal.
    context
        Factor on the effects of context columns.
    level
        Latent rating of an average item by an average user.
    activity_spread, popularity_spread
        Standard deviations of the logarithms of users' activity and items' popularity.
    newcomers
        Share of items that open at a random time, at most a half; the others are there from the start.
    """

    users: int = 240
    items: int = 160
    records_per_user: float = 14.0
    attributes: int = 40
    important: int = 12
    spurious: int = 8
    tastes_per_user: int = 2
    taste: float = 1.3
    liking: float = 0.85
    population: float = 0.1
    tilt: float = 2.0
    appeal: float = 0.25
    user_effect: float = 0.2
    noise: float = 0.35
    spurious_strength: float = 1.5
    context: float = 1.0
    level: float = 3.0
    activity_spread: float = 0.8
    popularity_spread: float = 1.2
    newcomers: float = 0.25


@dataclass(frozen=True, slots=True)
class Laws:
    """What all markets of a domain share."""

    attributes: tuple[str, ...]
    important: NDArray[np.bool_]
    spurious: NDArray[np.bool_]
    prevalence: NDArray[np.float64]
    population: NDArray[np.float64]


def laws(domain: str, parameters: MarketParameters, words: MarketWords) -> Laws:
    """What the domain fixes, whatever the seed; refuses parameters that cannot be met."""
    other = parameters.attributes - parameters.important - parameters.spurious
    for kind, wanted, offered in (
        ("important", parameters.important, words.important),
        ("spurious", parameters.spurious, words.spurious),
        ("other", other, words.other),
    ):
        if not 0 <= wanted <= len(offered):
            raise InputError(
                f"a market of {domain} can have 0 to {len(offered)} {kind} attributes, not {wanted}:"
                " change `attributes`, `important` or `spurious`."
            )
    if min(parameters.users, parameters.items, parameters.records_per_user) < 2:
        raise InputError(f"a market of {domain} needs at least two users, two items and two records per user.")
    if not 1 <= parameters.tastes_per_user <= parameters.important:
        raise InputError(f"`tastes_per_user` must lie between 1 and the {parameters.important} important attributes.")
    if not 0 <= parameters.newcomers <= 0.5:
        raise InputError(
            f"`newcomers` must lie between 0 and 0.5, not {parameters.newcomers:g}: half of the items stay."
        )
    important, spurious = words.important[: parameters.important], words.spurious[: parameters.spurious]
    attributes = tuple(sorted(important + spurious + words.other[:other]))
    rng = np.random.default_rng(crc32(domain.encode()))
    is_important = np.array([name in important for name in attributes])
    return Laws(
        attributes,
        is_important,
        np.array([name in spurious for name in attributes]),
        rng.uniform(0.2, 0.45, len(attributes)),
        is_important * parameters.population * rng.uniform(0.5, 1.5, len(attributes)),
    )


def tastes(parameters: MarketParameters, laws: Laws, rng: np.random.Generator) -> NDArray[np.float64]:
    """(users, K) effects of attributes: the population's, and a few strong ones of each user."""
    shape = (parameters.users, int(laws.important.sum()))
    strong = rng.random(shape).argsort(1) < parameters.tastes_per_user
    sign = np.where(rng.random(shape) < parameters.liking, 1.0, -1.0)
    tastes = np.tile(laws.population, (parameters.users, 1))
    tastes[:, laws.important] += strong * sign * parameters.taste * rng.uniform(0.6, 1.4, shape)
    return tastes


def attributes(
    quality: NDArray[np.float64],
    prevalence: NDArray[np.float64],
    strength: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """(items, K) which attributes items have: at random, spurious ones more or less often the more appeal."""
    logit = np.log(prevalence / (1 - prevalence)) + np.outer(quality, strength)
    return rng.random(logit.shape) < 1 / (1 + np.exp(-logit))


def choices(
    parameters: MarketParameters, fit: NDArray[np.float64], quality: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """User, item and timestamp of all records; nobody rates an item twice, or before it opened."""
    users, items = parameters.users, parameters.items
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf((rank + 0.5) / users) for rank in range(users)])
    activity = np.exp(parameters.activity_spread * quantiles)
    most = min(items // 2, items - math.ceil(parameters.newcomers * items))  # nobody runs out of open items
    counts = np.clip(np.rint(activity / activity.mean() * parameters.records_per_user), min(2, most), most)
    counts = rng.permutation(counts.astype(np.int64))
    joined = rng.uniform(0, 1 - STAY, users)
    opened = np.where(rng.random(items).argsort() < parameters.newcomers * items, rng.random(items), 0.0)
    popularity = parameters.popularity_spread * rng.standard_normal(items) + 0.3 * quality
    utility = popularity + parameters.tilt * fit + rng.gumbel(size=fit.shape)
    utility[joined[:, None] + STAY <= opened] = -np.inf
    ranked = np.argsort(-utility, axis=1)[:, : counts.max()]
    user, item = np.repeat(np.arange(users), counts), ranked[np.arange(ranked.shape[1]) < counts[:, None]]
    moment = rng.uniform(np.maximum(joined[user], opened[item]), joined[user] + STAY)
    return user, item, OPENING + (moment * DAYS * DAY).astype(np.int64)


def context(
    parameters: MarketParameters,
    words: MarketWords,
    user: NDArray[np.int64],
    timestamp: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[dict[str, NDArray[np.str_]], NDArray[np.float64]]:
    """Context columns and their effect on each record; the season follows the date, other columns users' habits."""
    columns, effect = {}, np.zeros(user.size)
    for column, effects in words.context.items():
        if column == "season":
            code = (timestamp - OPENING) // DAY % 365 * 4 // 365
        else:
            habit = rng.integers(len(effects), size=parameters.users)[user]
            code = np.where(rng.random(user.size) < 0.5, habit, rng.integers(len(effects), size=user.size))
        columns[column] = np.array(list(effects))[code]
        effect += parameters.context * np.array(list(effects.values()))[code]
    return columns, effect


def mentions(
    has: NDArray[np.bool_],
    tastes: NDArray[np.float64],
    prevalence: NDArray[np.float64],
    rating: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    """Record, attribute and sentiment of one to three mentions a review: what the item has or the user misses."""
    salience = np.where(has, 0.15 + np.abs(tastes), 0.02 + 0.3 * np.maximum(tastes, 0))
    ranked = np.argsort(-np.log(salience) - rng.gumbel(size=has.shape), axis=1)[:, :3]
    record, place = np.nonzero(np.arange(3) < rng.integers(1, 4, size=rating.size)[:, None])
    attribute = ranked[record, place]
    share = (has - prevalence)[record, attribute] * tastes[record, attribute]
    mood = 2 * share + 0.4 * (rating - rating.mean())[record] + 0.3 * rng.standard_normal(record.size)
    return record, attribute, np.where(mood > 0, 1, -1).astype(np.int8)


def details(categories: Sequence[str], attributes: Sequence[str], has: NDArray[np.bool_]) -> list[str]:
    """Details of each item: its category, then its attributes."""
    return [
        "; ".join([category, *(name for name, owned in zip(attributes, row, strict=True) if owned)])
        for category, row in zip(categories, has.tolist(), strict=True)
    ]


def item_names(words: MarketWords, count: int, rng: np.random.Generator) -> list[str]:
    """Distinct invented names."""
    sizes = tuple(len(part) for part in words.name_parts)
    if count > (offered := math.prod(sizes)):
        raise InputError(f"a market of {words.domain}s can have at most {offered} items, not {count}: lower `items`.")
    codes = np.unravel_index(rng.choice(offered, count, replace=False), sizes)
    columns = [np.array(part)[code] for part, code in zip(words.name_parts, codes, strict=True)]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]

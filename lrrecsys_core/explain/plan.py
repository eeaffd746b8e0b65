"""How many prompts, tokens, hours and what cost, before any call; bounded memory for tables of any size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import HISTORY, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.generate import profile_requests
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.open import open_data
from lrrecsys_core.explain.prompt_sets import HOUSE, PromptSet
from lrrecsys_core.explain.prompts import VARIANTS, record_requests

Codes = NDArray[np.uint64]
SAMPLE = 2_000  # records whose prompts are built to learn their length
PROFILE_CHARACTERS = 400  # a profile not yet written is taken to be this long
ANSWER_TOKENS = {"direct": 4, "aspects": 12, "profile": 90}
SENTENCE_TOKENS = 40
CHARACTERS_PER_TOKEN = 4.0
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Step:
    """Prompts of one kind.

    Parameters
    ----------
    name
        "profiles", or variant and slot.
    prompts, distinct
        Records (or items), and different prompts among them: only these are asked.
    tokens_in, tokens_out
        Estimates for all distinct prompts and their answers.
    """

    name: str
    prompts: int
    distinct: int
    tokens_in: float
    tokens_out: float


def plan_dataset(
    spec: str,
    variants: Sequence[str] = ("full",),
    *,
    count_tokens: Callable[[str], int] | None = None,
    prompts: PromptSet = HOUSE,
) -> list[Step]:
    """What a run over a data set would ask.

    Parameters
    ----------
    spec
        As :func:`~lrrecsys_core.explain.open.open_data` takes it. A ``table:`` is streamed: three numbers a record.
    variants
        Any of :data:`~lrrecsys_core.explain.prompts.VARIANTS`.
    count_tokens
        Tokens of a text; by default a quarter of its characters.
    prompts
        The set that would be asked in.

    Raises
    ------
    InputError
        When a variant is unknown or the data cannot be read.
    """
    for variant in variants:
        if variant not in VARIANTS:
            raise InputError(f"variant {variant!r} is unknown: choose one of {', '.join(VARIANTS)}")
    if spec.startswith("table:"):
        user, item, time, sample = _stream_table(spec)
        items = _distinct(item)
    else:
        dataset = open_data(spec)
        items, records = dataset.items.height, dataset.interactions
        user, item = (records[name].hash().to_numpy() for name in ("user_id", "item_id"))
        time = records["timestamp"].to_numpy() if dataset.ordered else None
        sample = _sample(dataset)
    count = count_tokens or (lambda text: round(len(text) / CHARACTERS_PER_TOKEN))
    return _steps(user, item, time, items, sample, variants, count, prompts)


def _sample(dataset: Dataset) -> Dataset:
    """The first users, whole, so that their histories are."""
    if dataset.truth is not None or dataset.interactions.height <= 10 * SAMPLE:
        return dataset
    users = dataset.interactions["user_id"]
    few = users.unique(maintain_order=True).head(max(1, users.n_unique() * 10 * SAMPLE // len(users)))
    return dataset.restricted(dataset.interactions.filter(pl.col("user_id").is_in(few.implode())))


def _stream_table(spec: str) -> tuple[Codes, Codes, NDArray[np.int64] | None, Dataset]:
    place, _, query = spec.removeprefix("table:").partition("?")
    options = dict(part.split("=", 1) for part in query.split("&") if "=" in part)
    path = Path(place)
    if not path.is_file():
        raise InputError(f"{path} does not exist: name a CSV, TSV or Parquet file")
    separator = "\t" if ".tsv" in path.suffixes else ","
    frame = (
        pl.scan_parquet(path)
        if path.suffix == ".parquet"
        else pl.scan_csv(path, separator=separator, infer_schema=False)
    )
    user, item = (pl.col(options.get(name, f"{name}_id")) for name in ("user", "item"))
    moment = options.get("timestamp")
    columns = {"user": user.cast(pl.String).hash(), "item": item.cast(pl.String).hash()}
    if moment:
        columns["time"] = pl.col(moment).cast(pl.String).cast(pl.Float64, strict=False).cast(pl.Int64)
    try:
        codes = frame.select(**columns).collect(engine="streaming")
        if moment and codes["time"].has_nulls():  # dates: much slower to read than seconds
            moments = frame.select(pl.col(moment).str.to_datetime(time_unit="ms").dt.epoch("s"))
            codes = codes.with_columns(moments.collect().to_series().alias("time"))
        every = max(1, codes.height // (10 * SAMPLE))
        rows = frame.filter(user.cast(pl.String).hash() % every == 0).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"{path} cannot be read ({reason}): name its columns after the ? of {spec!r}") from error
    with tempfile.TemporaryDirectory() as folder:
        rows.write_parquet(Path(folder) / "sample.parquet")
        sample = load_dataset(f"table:{Path(folder) / 'sample.parquet'}?{query}")
    time = codes["time"].to_numpy() if moment else None
    return codes["user"].to_numpy(), codes["item"].to_numpy(), time, sample


def _steps(
    user: Codes,
    item: Codes,
    time: NDArray[np.int64] | None,
    items: int,
    sample: Dataset,
    variants: Sequence[str],
    count: Callable[[str], int],
    prompts: PromptSet,
) -> list[Step]:
    split = make_split(sample)
    some = np.random.default_rng(0).permutation(len(split.user))[:SAMPLE]
    seen, pair = (len(user), len(user)) if time is None else distinct_prompts(user, item, time)
    steps: list[Step] = []
    if set(variants) - {"no_profile"}:
        asked = [request for request, _ in zip(profile_requests(split, prompts=prompts), range(SAMPLE), strict=False)]
        steps.append(Step("profiles", items, items, items * _mean(asked, count), items * ANSWER_TOKENS["profile"]))
    profiles = ["x" * PROFILE_CHARACTERS] * sample.items.height
    for variant in variants:
        given = None if variant == "no_profile" else profiles
        distinct = seen if variant == "summary" else pair
        out = ANSWER_TOKENS.get(variant, SENTENCE_TOKENS)
        for slot in VARIANTS[variant]:
            mean = _mean(list(record_requests(split, given, variant, slot, some, prompts=prompts)), count)
            steps.append(Step(f"{variant} {slot}", len(user), distinct, distinct * mean, distinct * out))
    return steps


def _mean(requests: Sequence[Request], count: Callable[[str], int]) -> float:
    return float(np.mean([sum(count(text) for _, text in request.messages) for request in requests]))


def distinct_prompts(user: Codes, item: Codes, time: NDArray[np.int64]) -> tuple[int, int]:
    """Different histories, and different pairs of history and candidate, from (N,) codes and times.

    A history is the last five items with strictly earlier time (Sec 5.1). Counting is by 64-bit hashes: for 35 million
    prompts fewer than one in a thousand such counts would be off by one.
    """
    order = np.lexsort((item, time, user))
    user, item, time = user[order], item[order], time[order]
    del order
    place = np.arange(len(user))
    new_user = np.r_[True, user[1:] != user[:-1]]
    first = np.maximum.accumulate(np.where(new_user, place, 0))
    new_moment = new_user | np.r_[True, time[1:] != time[:-1]]
    moment = np.maximum.accumulate(np.where(new_moment, place, 0))
    del time, new_user, new_moment
    mixed = np.zeros(len(user), dtype=np.uint64)
    for back in range(1, HISTORY + 1):
        past = moment - back
        mixed = _mixed(mixed, np.where(past >= first, item[np.maximum(past, 0)], np.uint64(0)))
    return _distinct(mixed), _distinct(_mixed(mixed, item))


def _mixed(left: Codes, right: Codes) -> Codes:
    mixed = (left ^ right) * _MIX
    return (mixed ^ (mixed >> np.uint64(29))) * _MIX + right


def _distinct(codes: Codes) -> int:
    ordered = np.sort(codes)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + bool(len(ordered))

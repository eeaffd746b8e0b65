"""How many prompts, tokens, hours and what cost, before any call: counted from the records a run would ask about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core import paths
from lrrecsys_core.data.cuts import cut_records
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.earlier import Positions
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.formats import PAPER_LLMS
from lrrecsys_core.explain.generate import profile_requests
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.open import open_data
from lrrecsys_core.explain.prompt_sets import HOUSE, PromptSet
from lrrecsys_core.explain.prompts import NO_HISTORY, VARIANTS, fields_of, item_lines, record_requests

Codes = NDArray[np.uint64]
SAMPLE = 2_000  # records whose prompts are built to learn their length
PROFILE_CHARACTERS = 400  # a profile not yet written is taken to be this long where letters are counted
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


@dataclass(frozen=True)
class _Records:
    """What prompts are made of: the candidates (N,) and histories (N, 5) of a split, without the rest of it."""

    dataset: Dataset
    item_position: Positions
    history_position: Positions


def plan_dataset(
    spec: str,
    variants: Sequence[str] = ("full",),
    *,
    fraction: float = 1.0,
    count_tokens: Callable[[str], int] | None = None,
    prompts: PromptSet = HOUSE,
) -> list[Step]:
    """What a run over a data set would ask: as many prompts as it asks of a model that never answers two alike.

    Parameters
    ----------
    spec
        As :func:`~lrrecsys_core.explain.open.open_data` takes it.
    variants
        Any of :data:`~lrrecsys_core.explain.prompts.VARIANTS`.
    fraction
        Share of the training records kept.
    count_tokens
        Tokens of a text; by default a quarter of its characters. Profiles that stand in prompts are not written yet, so
        each counts as many tokens as a profile is expected to have.
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
    records = _records(spec, fraction)
    count = count_tokens or (lambda text: round(len(text) / CHARACTERS_PER_TOKEN))
    some = np.random.default_rng(0).permutation(len(records.item_position))[:SAMPLE]
    steps: list[Step] = []
    asked = item_lines(records, None)
    profiles = [blake2b(line.encode(), digest_size=8).hexdigest() for line in asked]
    unwritten = [""] * len(asked)  # prompts are measured without profiles: what stands in would have tokens of its own
    profile = ANSWER_TOKENS["profile"] if count_tokens else PROFILE_CHARACTERS / CHARACTERS_PER_TOKEN
    if set(variants) - {"no_profile"}:
        mean = _mean(islice(profile_requests(records, prompts=prompts), SAMPLE), count)
        distinct = len(set(asked))
        steps.append(Step("profiles", len(asked), distinct, distinct * mean, distinct * ANSWER_TOKENS["profile"]))
    for variant in dict.fromkeys(variants):
        given = None if variant == "no_profile" else profiles
        texts = _Texts(records, asked if given is None else item_lines(records, given))
        out = ANSWER_TOKENS.get(variant, SENTENCE_TOKENS)
        for slot in VARIANTS[variant]:
            fields = fields_of(records.dataset.domain, variant, slot, prompts)
            distinct = texts.distinct(fields)
            mean = _mean(record_requests(records, given and unwritten, variant, slot, some, prompts=prompts), count)
            mean += profile * _lines(records, fields, some) if given else 0.0
            steps.append(
                Step(f"{variant} {slot}", len(records.item_position), distinct, distinct * mean, distinct * out)
            )
    return steps


def _records(spec: str, fraction: float) -> _Records:
    """The records of the split that a run makes, read and cut by the same code."""
    dataset = open_data(spec)
    cut = cut_records(dataset, "user_time", True, fraction, 0)
    # numbers alone are kept from here on, without the ids and ratings of the records: half of the memory
    dataset = replace(dataset, interactions=dataset.interactions.clear())
    return _Records(dataset, cut.item, replace(cut, dataset=dataset).history(0))


class _Texts:
    """Which records have equal texts, when each item stands in prompts as its line says."""

    def __init__(self, records: _Records, lines: Sequence[str]) -> None:
        numbers: dict[str, int] = {NO_HISTORY: 1}
        codes = np.array([numbers.setdefault(line, len(numbers) + 1) for line in lines], dtype=np.uint64)
        self.candidate = codes[records.item_position]
        self.history = np.zeros(len(self.candidate), dtype=np.uint64)
        for place in range(records.history_position.shape[1]):
            item = records.history_position[:, place]
            self.history = _mixed(self.history, np.where(item >= 0, codes[item], np.uint64(0)))
        none = records.history_position[:, -1] < 0
        first = np.zeros(1, dtype=np.uint64)
        for code in (0,) * (records.history_position.shape[1] - 1) + (1,):
            first = _mixed(first, np.full(1, code, dtype=np.uint64))
        self.history[none] = first  # as if an item of that line were the whole history

    def distinct(self, fields: Iterable[str]) -> int:
        """Number of different prompts that hold these texts; by 64-bit hashes, one off in a thousand such counts."""
        codes = np.zeros(len(self.candidate), dtype=np.uint64)
        for field in sorted(set(fields)):
            codes = _mixed(codes, getattr(self, field))
        ordered = np.sort(codes)
        return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + bool(len(ordered))


def _lines(records: _Records, fields: Sequence[str], some: NDArray[np.integer]) -> float:
    """Mean number of items whose lines stand in the prompts about some records."""
    past = float(np.mean(np.count_nonzero(records.history_position[some] >= 0, axis=1)))
    return past * fields.count("history") + fields.count("candidate")


def _mixed(left: Codes, right: Codes) -> Codes:
    mixed = (left ^ right) * _MIX
    return (mixed ^ (mixed >> np.uint64(29))) * _MIX + right


def _mean(requests: Iterable[Request], count: Callable[[str], int]) -> float:
    return float(np.mean([sum(count(text) for _, text in request.messages) for request in requests]))


def hours_told(prompts: float, rate: float) -> list[str]:
    """How long so many prompts take the embedded model, as measured, and each of the paper's LLMs at a stated rate."""
    told = []
    for record in (one for one in paths.read_bench() if one.get("name") == "llm_engines"):
        for engine, found in record["engines"].items():
            hours = prompts / found["prompts_a_second"] / 3600
            told.append(
                f"{record['writer']} through {engine}: {hours:,.1f} hours at {found['prompts_a_second']:.1f} prompts a "
                "second, as measured (results/bench/llm_engines.json)."
            )
    hours = prompts / rate / 3600
    each = f"Each of {', '.join(PAPER_LLMS)} on one GPU"
    told.append(f"{each}: {hours:,.1f} hours if it gives {rate:g} answers a second (--rate).")
    return told

"""Counts before any call equal what a run asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.cli import explain
from lrrecsys_core.explain.generate import fill_records
from lrrecsys_core.explain.llm import LLM, Request, Result
from lrrecsys_core.explain.open import open_data
from lrrecsys_core.explain.plan import (
    ANSWER_TOKENS,
    CHARACTERS_PER_TOKEN,
    PROFILE_CHARACTERS,
    hours_told,
    plan_dataset,
)
from lrrecsys_core.explain.prompt_sets import HOUSE, PromptSet, prompt_set
from lrrecsys_core.explain.prompts import record_requests
from lrrecsys_core.paths import write_json

VARIANTS = ("full", "summary", "no_profile", "direct")


class Counting:
    """An LLM that never answers two prompts alike, and a store that keeps its answers."""

    name = model = "counting"
    writable = True

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.kept: dict[str, str | None] = {}

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in requests:
            self.asked.append(request)
            yield Result(request.key(self.model), f"The consumer would enjoy number {len(self.asked)}.")

    def texts(self, keys: Sequence[str]) -> dict[str, str | None]:
        return {key: self.kept[key] for key in keys if key in self.kept}

    def add(self, request: Request, result: Result, llm: LLM) -> None:
        self.kept[result.key] = result.text


def run(spec: str, variants: Sequence[str], fraction: float = 1.0, prompts: PromptSet = HOUSE) -> Counting:
    """What `lrrecsys explain run` does with such an LLM."""
    llm = Counting()
    split = make_split(open_data(spec), train_fraction=fraction)
    for variant in variants:
        fill_records(split, llm, llm, variant, prompts=prompts, progress=False)
    return llm


def planned(spec: str, variants: Sequence[str], **options: Any) -> int:
    return sum(step.distinct for step in plan_dataset(spec, variants, **options))


names = st.sampled_from(["Alpha", "Alpha", "Beta", "Alpha (tea)", "none known", "Gamma  Ray"])
record = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u", "v", "w"]),
        "item_id": st.sampled_from("abcdefgh"),
        "rating": st.integers(1, 5),
        "when": st.sampled_from(["1", "2.5", "1970-01-01 00:00:03Z", "1970-01-02", "86400"]),
    }
)
tables = st.lists(record, min_size=1, max_size=30, unique_by=lambda r: (r["user_id"], r["item_id"]))
goods = st.lists(st.tuples(names, st.sampled_from(["", "tea", "Drama; tea"])), min_size=8, max_size=8)


@settings(max_examples=60, deadline=None)
@given(tables, goods, st.booleans(), st.sampled_from([1.0, 0.5]), st.sampled_from(["csv", "jsonl", "parquet"]))
def test_a_run_asks_as_many_prompts_as_planned(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[dict[str, Any]],
    named: list[tuple[str, str]],
    timed: bool,
    fraction: float,
    kind: str,
) -> None:
    of = dict(zip("abcdefgh", named, strict=True))
    frame = pl.DataFrame([r | dict(zip(("name", "tags"), of[r["item_id"]], strict=True)) for r in records])
    file = tmp_path_factory.mktemp("plan") / f"t.{kind}"
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[kind](file)
    spec = f"table:{file}?name=name&details=tags&domain=movie" + ("&timestamp=when" if timed else "")
    for variants in (VARIANTS, ("no_profile",)):
        asked = run(spec, variants, fraction).asked
        assert planned(spec, variants, fraction=fraction) == len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("customer id,item_id,rating\nu1,i1,5\nu1,i2,4\nu2,i1,3\n", "user=customer+id"),
        ("user_id\titem_id\trating\treview\nu1\ti1\t5\t\"unbalanced\nu1\ti2\t4\tfine\nu2\ti1\t3\t5\" tall\n",
         "sep=tab"),
        ("user_id,item_id,rating,when\nu1,i1,5,1577836800\nu1,i2,4,2020/01/02\nu2,i1,3,2020-01-03T00:00:00.5+01:00\n",
         "timestamp=when"),
        ("user_id,item_id,rating\nu1,i1,5\nu1,i2,x\nu1,i1,2\n", "lenient&duplicates=mean"),
    ],
)  # fmt: skip
def test_every_table_that_loads_is_planned(tmp_path: Path, text: str, query: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    spec = f"table:{tmp_path}/t.csv?{query}"
    assert planned(spec, VARIANTS) == len(run(spec, VARIANTS).asked)


def test_the_words_of_a_set_decide_which_prompts_are_alike(tmp_path: Path) -> None:
    """A set whose positive prompt leaves the history out asks once for each candidate."""
    from lrrecsys_core.explain.paper_prompts import copy_set

    copy_set("house", tmp_path / "mine")
    (tmp_path / "mine" / "movie" / "positive.txt").write_text("Say why one may like this movie.\n\n$candidate\n")
    rows = [f"{user},{item},4,{10 * u + k}" for u, user in enumerate("uvw") for k, item in enumerate("abc")]
    (tmp_path / "t.csv").write_text("user_id,item_id,rating,t\n" + "\n".join(rows) + "\n")
    spec = f"table:{tmp_path}/t.csv?timestamp=t&domain=movie"
    prompts = prompt_set(str(tmp_path / "mine"))
    steps = {step.name: step.distinct for step in plan_dataset(spec, prompts=prompts)}
    # all three users meet a, b and c in this order
    assert steps == {"profiles": 3, "full positive": 3, "full negative": 3}
    (tmp_path / "t.csv").write_text("user_id,item_id,rating,t\n" + "\n".join([*rows, "x,b,4,1", "x,a,4,2"]) + "\n")
    steps = {step.name: step.distinct for step in plan_dataset(spec, prompts=prompts)}
    assert steps == {"profiles": 3, "full positive": 3, "full negative": 5}
    assert sum(steps.values()) == len(run(spec, ("full",), prompts=prompts).asked)


def test_tokens_are_those_of_the_prompts(tmp_path: Path) -> None:
    rows = [f"{user},{item},4,{10 * u + k}" for u, user in enumerate("uvw") for k, item in enumerate("abcdefg")]
    (tmp_path / "t.csv").write_text("user_id,item_id,rating,t\n" + "\n".join(rows) + "\n")
    spec = f"table:{tmp_path}/t.csv?timestamp=t&domain=movie"
    step = plan_dataset(spec, ("no_profile",))[0]
    split = make_split(open_data(spec))
    exact = [len(r.messages[0][1]) for r in record_requests(split, None, "no_profile", "positive", range(21))]  # type: ignore[arg-type]
    assert step.prompts == 21 and step.tokens_in / step.distinct == pytest.approx(sum(exact) / 21 / 4, rel=0.02)


@pytest.mark.parametrize("variant", ["full", "summary", "direct"])
def test_profiles_not_yet_written_count_as_long_as_they_are_expected_to_be(tmp_path: Path, variant: str) -> None:
    """As if each were written in as many words; a word is a token here, whatever its letters."""
    rows = [f"{user},{item},4,{10 * u + k}" for u, user in enumerate("uvw") for k, item in enumerate("abcdefg")]
    (tmp_path / "t.csv").write_text("user_id,item_id,rating,t\n" + "\n".join(rows) + "\n")
    spec = f"table:{tmp_path}/t.csv?timestamp=t&domain=movie"
    steps = plan_dataset(spec, (variant,), count_tokens=lambda text: len(text.split()))
    split = make_split(open_data(spec))
    written = [" ".join(["tea"] * ANSWER_TOKENS["profile"])] * 7
    for step in steps[1:]:
        asked = record_requests(split, written, variant, step.name.split()[1], np.arange(21))
        exact = [len(one.messages[0][1].split()) for one in asked]
        assert step.tokens_in / step.distinct == pytest.approx(sum(exact) / 21)
    letters = plan_dataset(spec, (variant,))[-1]
    written = ["x" * PROFILE_CHARACTERS] * 7
    asked = record_requests(split, written, variant, letters.name.split()[1], np.arange(21))
    exact = [len(one.messages[0][1]) / CHARACTERS_PER_TOKEN for one in asked]
    assert letters.tokens_in / letters.distinct == pytest.approx(sum(exact) / 21, rel=0.01)


def test_a_market_asks_about_all_its_items() -> None:
    assert plan_dataset("market:movies@smoke")[0].prompts == open_data("market:movies@smoke").items.height
    assert planned("market:movies@smoke", ("full",)) == len(run("market:movies@smoke", ("full",)).asked)


def test_plan_prints_cost_and_hours(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("user_id,item_id,rating\nu,a,4\nu,b,3\n")
    command = ["plan", "--data", f"table:{tmp_path}/t.csv", "--price-in", "1", "--rate", "10", "--fraction", "0.5"]
    done = CliRunner().invoke(explain, command)
    assert done.exit_code == 0, done.output
    assert "full negative" in done.output
    assert "profiles" in done.output


def test_faults_are_one_clear_sentence_and_name_the_users_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown"):
        plan_dataset("market:movies", ("fulll",))
    with pytest.raises(InputError, match=r"none.csv: no such file"):
        plan_dataset(f"table:{tmp_path}/none.csv")
    (tmp_path / "t.csv").write_text("user_id,item_id,rating\nu,a,eight\n")
    with pytest.raises(InputError, match=f"{tmp_path}/t.csv: column 'rating', data row 1: found 'eight'"):
        plan_dataset(f"table:{tmp_path}/t.csv")


def test_hours_follow_the_benchmark_and_the_stated_rate(root: Path) -> None:
    assert len(hours_told(7_200, 2.0)) == 1 and "1.0 hours if it gives 2 answers" in hours_told(7_200, 2.0)[0]
    engines = {"here": {"prompts_a_second": 0.5}}
    write_json(root / "results" / "bench" / "x.json", {"name": "llm_engines", "writer": "Small", "engines": engines})
    assert hours_told(7_200, 2.0)[0].startswith("Small through here: 4.0 hours at 0.5 prompts a second, as measured")

"""Counts before any call equal what a run asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.cli import explain
from lrrecsys_core.explain.open import open_data
from lrrecsys_core.explain.plan import distinct_prompts, plan_dataset
from lrrecsys_core.explain.prompts import record_requests


@pytest.fixture
def table(tmp_path: Path) -> str:
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"u": rng.integers(0, 9, 120), "i": rng.integers(0, 12, 120)}).unique(maintain_order=True)
    frame = frame.with_columns(
        r=pl.Series(rng.integers(1, 6, frame.height)), t=pl.Series(rng.integers(0, 15, frame.height) * 86_400)
    )
    frame.write_csv(tmp_path / "t.csv")
    frame.with_columns(pl.from_epoch("t").dt.to_string("%Y-%m-%d %H:%M:%S")).write_parquet(tmp_path / "t.parquet")
    return str(tmp_path / "t.csv") + "?user=u&item=i&rating=r&timestamp=t&domain=movie"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_counts_equal_the_prompts_a_run_makes(table: str, suffix: str) -> None:
    spec = "table:" + table.replace("t.csv", f"t.{suffix}")
    split = make_split(load_dataset(spec))
    steps = {step.name: step for step in plan_dataset(spec, ("full", "summary", "no_profile"))}
    records = np.arange(len(split.user))
    for name in ("full positive", "summary single"):
        prompts = [request.messages for request in record_requests(split, None, *name.split(), records)]
        assert steps[name].prompts == len(prompts)
        assert steps[name].distinct == len(set(prompts))
    exact = sum(
        len(request.messages[0][1]) for request in record_requests(split, None, "no_profile", "positive", records)
    )
    assert steps["no_profile positive"].tokens_in / steps["no_profile positive"].distinct == pytest.approx(
        exact / len(records) / 4, rel=0.02
    )
    assert steps["profiles"].prompts == split.dataset.items.height


def test_a_market_asks_about_all_its_items() -> None:
    assert plan_dataset("market:movies")[0].prompts == open_data("market:movies").items.height


def test_records_of_one_moment_share_their_history() -> None:
    user, item = np.array([1, 1, 1, 1], np.uint64), np.array([7, 8, 8, 9], np.uint64)
    assert distinct_prompts(user, item, np.array([1, 2, 2, 2])) == (2, 3)


def test_plan_prints_cost_and_hours(table: str) -> None:
    done = CliRunner().invoke(explain, ["plan", "--data", f"table:{table}", "--price-in", "1", "--rate", "10"])
    assert done.exit_code == 0, done.output
    assert "full negative" in done.output
    assert "profiles" in done.output


def test_faults_are_one_clear_sentence(table: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown"):
        plan_dataset(f"table:{table}", ("fulll",))
    with pytest.raises(InputError, match="does not exist"):
        plan_dataset(f"table:{tmp_path}/none.csv")
    with pytest.raises(InputError, match="cannot be read"):
        plan_dataset(f"table:{table}".replace("user=u", "user=nobody"))

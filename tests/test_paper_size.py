"""What profile `paper` takes: the sums by hand, and the committed table against the committed rates."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import paper_size
from lrrecsys_core import paths
from lrrecsys_core.data.releases import Release

BENCH: dict[str, dict[str, Any]] = {
    "scale_amazon": {
        "sizes": [
            {"records": 10, "cpu_seconds_per_million": 99.0, "second": {"peak_gib": 9.0}},
            {"records": 4_000_000, "cpu_seconds_per_million": 30.0, "second": {"peak_gib": 2.0}},
        ]
    },
    "train_at_size": {
        "models": [
            {"model": "SASRec", "large": {"cpu_seconds_per_million": 1.0}},
            {"model": "LR-Recsys", "large": {"cpu_seconds_per_million": 36.0}},
        ]
    },
    "llm_engines": {"engines": {"slow": {"prompts_a_second": 1.0}, "quick": {"prompts_a_second": 2.0}}},
}


def test_rates_of_the_largest_size_and_the_quickest_engine_are_multiplied_out() -> None:
    release = Release("R", records=2_000_000, users=900_000, items=124_000, what="reviews")
    found = paper_size.costs(release, BENCH)
    assert found["minutes"] == pytest.approx(1.0)
    # ten seeds and two tasks: 20 networks x 6 copies x 1,024,000 vectors of eight four-byte numbers, and half of 2 GiB
    assert found["gib"] == pytest.approx(20 * 6 * 1_024_000 * 32 / 2**30 + 1.0)
    assert found["hours"] == pytest.approx(20 * 2 * 36 / 3600)
    assert (found["prompts"], found["prompt_hours"]) == (4_124_000, pytest.approx(4_124_000 / 2 / 3600))


def test_the_committed_table_is_that_of_the_committed_rates() -> None:
    page = (paths.repository() / "docs" / "llm_scale.md").read_text(encoding="utf-8")
    assert paper_size.BEGIN + paper_size.table(paper_size.measured()) + paper_size.END in page

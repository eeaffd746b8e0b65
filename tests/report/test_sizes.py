"""What writers cost, from a benchmark's figures and the paper's."""

from __future__ import annotations

import pytest

from lrrecsys_core.report.sizes import writers_grid, writers_table

BENCH = {
    "name": "llm_engines", "writer": "Small-1M", "weights": 1_234_567,
    "engines": {"fast": {
        "prompts_a_second": 4.0, "tokens_in": 385.0, "tokens_out": 37.5, "cpu_seconds": 0.4, "failed": 0,
    }},
}  # fmt: skip


def test_a_record_is_two_sentences() -> None:
    ours, gpt3, gpt4 = writers_table([{"name": "other"}, BENCH]).rows()
    assert ours == ("Small-1M", "fast", 1_234_567, 770.0, 75.0, 0.5, 0.0, "here")
    assert gpt3[:5] == ("GPT-3.5", "OpenAI", None, None, 100.0) and gpt3[5] == pytest.approx(2 * 1.7)
    assert gpt4[5:] == (pytest.approx(2 * 9.8), pytest.approx(0.02), "quoted in the paper") and gpt3[6] is None


def test_without_a_benchmark_only_the_papers_figures_stand_there() -> None:
    table = writers_table([])
    assert table["measured"].to_list() == ["quoted in the paper"] * 2
    assert writers_grid(table).body[0] == ["GPT-3.5", "OpenAI", "", "", "100", "3.40", "", "quoted in the paper"]

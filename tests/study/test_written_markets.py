"""An LLM that wrote about some markets of a run: its row is computed there alone, and no row mixes writers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lrrecsys_core import rows
from lrrecsys_core.explain.generate import fill_records
from lrrecsys_core.explain.llm import Result
from lrrecsys_core.explain.open import open_data
from lrrecsys_core.explain.prompt_sets import prompt_set
from lrrecsys_core.explain.store import ExplanationStore
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.study import Study

ZERO_SHOT = prompt_set("zero-shot")
PROFILE = replace(
    get_profile("smoke"), users=12, items=14, records_per_user=6, replicates=3, first_markets=2, epochs=1,
    autoencoder_epochs=40,
)  # fmt: skip


class Writer:
    """Says something of its own to every prompt."""

    name, model = "Writer", "SmolLM2-135M-Instruct.Q4_1@0123456789ab some engine 1"

    def complete(self, requests):
        for request in requests:
            if request.choices:
                high = int(request.key("")[:6], 16) % 1000 / 1000
                yield Result(request.key(self.model), "5", odds={"1": 1 - high, "5": high})
                continue
            word = f"reason{int(request.key('')[:6], 16) % 5}"
            yield Result(request.key(self.model), f"The consumer stayed at this hotel because of {word}.")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of three markets a domain, in blocks of two and one; the writer was asked about the first of hotels."""
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    monkeypatch.setenv("LRRECSYS_MARKETS", "all")
    study = Study(PROFILE)
    with ExplanationStore(tmp_path / "texts.sqlite") as store:
        for variant in ("full", "direct"):
            fill_records(study.split("hotels", 0), Writer(), store, variant, progress=False, prompts=ZERO_SHOT)
    monkeypatch.setenv("LRRECSYS_STORES", f"smollm2={tmp_path / 'texts.sqlite'}")
    return study


def test_the_row_of_a_writer_has_the_markets_it_wrote_about_alone(study):
    assert rows.SMOLLM2 in study.rows_of("hotels") and rows.SMOLLM2 not in study.rows_of("movies")
    (cell,) = study.cells_of("hotels", rows.SMOLLM2)  # none in the second block
    assert cell.replicates == (0,) and cell.seeds == (PROFILE.first_seed,)
    assert not Cell(study, "hotels", rows.SMOLLM2, 1).replicates
    # Rows that read the run's texts stay with one writer: the named one, where it wrote.
    assert {job.source.llm for cell in study.cells_of("hotels", rows.LR) for job in cell.text_jobs} == {"smollm2"}
    assert [cell.replicates for cell in study.cells_of("movies", rows.LR)] == [(0, 1), (2,)]
    assert [cell.replicates for cell in study.cells_of("hotels", rows.BIASES)] == [(0, 1), (2,)]


def test_its_texts_reach_the_row(study):
    study.run_rows([4], only=[rows.SMOLLM2], progress=False, jobs=1)
    found = study.metrics([4])
    assert set(found["row"]) == {rows.SMOLLM2} and set(found["replicate"]) == {0}
    assert set(found["explainer"]) == {"SmolLM2-135M, prompts zero-shot"} and set(found["llm"]) == {"smollm2"}
    assert found.filter(metric="RMSE")["value"].is_finite().all() and found["simulated"].all()
    texts = study.explanations("hotels", rows.SMOLLM2)
    assert texts.coverage == {"positive": 1.0, "negative": 1.0}
    assert len(texts.sentences) == 6 and all("because of reason" in text for text in texts.sentences[1:])


def test_ratings_are_read_as_written_and_as_expected_by_their_odds(study):
    study.run_rows([4], only=[rows.DIRECT, rows.DIRECT_EXPECTED], progress=False, jobs=1)
    split, found = study.split("hotels"), study.predictions(rows=[rows.DIRECT, rows.DIRECT_EXPECTED])
    by = {row: part.filter(task="regression").sort("record") for (row,), part in found.group_by("row")}
    assert (by[rows.DIRECT]["prediction"] == 1).all()
    told = study.explanations("hotels", rows.DIRECT_EXPECTED).texts("single")
    expected = {int(record): (float(text) - 1) / 4 for record, text in zip(split.record, told, strict=True)}
    wanted = [expected[record] for record in by[rows.DIRECT_EXPECTED]["record"]]
    np.testing.assert_allclose(by[rows.DIRECT_EXPECTED]["prediction"], wanted, atol=1e-6)
    assert len(set(wanted)) > 5
    assert all(1 <= float(text) <= 5 for text in told)


def test_the_market_of_a_profile_is_the_first_of_its_runs():
    assert open_data("market:movies@smoke").fingerprint == Study("smoke").data("movies")[0].fingerprint
    assert open_data("market:movies").fingerprint != open_data("market:movies@smoke").fingerprint

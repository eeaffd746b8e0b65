from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from lrrecsys_core import rows as r
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.answers import Answer
from lrrecsys_core.explain.fault_report import count_faults
from lrrecsys_core.report.claims import evidence_table
from lrrecsys_core.report.drawings import collect_figures, draw_all
from lrrecsys_core.report.evidence import null_markets, sources
from lrrecsys_core.report.formats import Grid
from lrrecsys_core.report.kept import keep, runs
from lrrecsys_core.report.page import Section, render, write_report, write_reports
from tests.report.synthetic import study


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    return parser.found


def test_hostile_text_never_becomes_markup() -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'
    page = render(evil, [evil], [Section(evil, [evil], [Grid(evil, [evil], [[evil]])])], [])
    assert not {"script", "img"} & {tag for tag, _ in _tags(page)} and "{{ 7*7 }}" in page


def collected(run: str, metrics: pl.DataFrame, predictions: pl.DataFrame | None = None) -> None:
    """Keep what a study would keep of its cells."""
    keep(run, "metrics", metrics)
    keep(run, "evidence", evidence_table(metrics, predictions, profile=run))
    collect_figures(run, sources(metrics, predictions), null_markets(metrics, predictions))


def files_of(root: Path) -> dict[str, bytes]:
    """Every table, figure and page below a folder, by name."""
    found = [*root.glob("paper_tables/*/*"), *root.glob("figures/*/*.p*"), *root.glob("results/*/*")]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in found}


def test_the_page_has_the_faults_of_the_answers_where_they_were_counted(root: Path) -> None:
    collected("smoke", *study({r.LR: 0.1, "SASRec": 0.2}, replicates=2, users=10))
    assert "Faults of the answers" not in write_report("smoke").read_text(encoding="utf-8")
    counted = count_faults([Answer("the <b>dull", "positive", "", "I'm sorry.")])
    keep("smoke", "faults", counted.select(pl.lit("inns (simulated)").alias("title"), pl.all()))
    text = write_report("smoke").read_text(encoding="utf-8")
    assert "Faults of the answers (SIMULATED markets)" in text and "the &lt;b&gt;dull" in text
    assert "<figcaption>Faults of the answers, by explainer and slot.</figcaption>" in text


def test_page_is_complete_and_self_contained(root: Path) -> None:
    collected("smoke", *study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, replicates=2, users=10))
    page = write_report("smoke")
    assert page == root / "results" / "smoke" / "report.html"
    text = page.read_text(encoding="utf-8")
    images = [attributes for tag, attributes in _tags(text) if tag == "img"]
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    figures = {file.stem for file in (root / "figures" / "smoke").glob("*.png")}
    theory = {file.stem for file in (root / "figures" / "theory-smoke").glob("*.png")}
    assert len(images) == len(figures) + len(theory)
    assert {"fig06", "fig07", "fig09", "fig10"} <= figures and theory == {"fig01", "fig03", "fig04"}
    assert {file.stem for file in (root / "figures" / "smoke").glob("*.pdf")} == figures
    assert "http" not in text.replace("http-equiv", "") and "SIMULATED" in text
    for number in range(1, 7):
        assert f"Table {number}." in text
    assert "Controls: " in text.split("<nav>")[0]


def test_a_fresh_clone_redraws_the_same_bytes_from_aggregates_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, predictions = study({r.LR: 0.1, "SASRec": 0.2, "DIN": 0.3, r.ABLATION1: 0.2}, replicates=2, users=10)
    collected("demo", metrics, predictions)
    list(write_reports(["demo"]))
    clone = tmp_path / "clone"
    shutil.copytree(root / "figures" / "demo" / "data", clone / "figures" / "demo" / "data")
    monkeypatch.setenv("LRRECSYS_ROOT", str(clone))
    assert runs() == ["demo"]
    list(write_reports(runs()))
    assert files_of(clone) == files_of(root) and len(files_of(clone)) > 40


def test_a_run_with_next_to_nothing_still_gets_its_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawing what is empty is tested elsewhere, and writing it takes seconds.
    monkeypatch.setattr("lrrecsys_core.report.drawings.save", lambda *_: [])
    metrics, _ = study({r.GLOBAL_MEAN: 0.2}, replicates=1, users=5)
    collected("smoke", metrics.filter(pl.col("metric") == "RMSE"))
    text = write_report("smoke").read_text(encoding="utf-8")
    assert "not run" in text and "not tested" in text


def test_a_run_without_aggregates_says_how_to_get_them(root: Path) -> None:
    with pytest.raises(InputError, match="keeps no metrics"):
        write_report("demo-yelp")
    with pytest.raises(InputError, match="no run keeps aggregates"):
        list(write_reports(runs()))


def test_aggregates_of_real_data_name_no_record(root: Path) -> None:
    collected("real", *study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, simulated=False, dataset="yelp"))
    for file in (root / "figures" / "real" / "data").iterdir():
        frame = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file, infer_schema_length=None)
        assert not {"user", "item", "record", "prediction", "rating"} & set(frame.columns) - {"records"}
        assert frame.height < 320  # the study has as many records


def test_figures_newer_than_their_aggregates_are_left_as_they_are(root: Path) -> None:
    metrics, predictions = study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, replicates=2, users=10)
    collected("smoke", metrics, predictions)
    draw_all("smoke")
    folder = root / "figures" / "smoke"
    before = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.p*")}
    (folder / "fig10.pdf").unlink()
    collected("smoke", metrics, predictions)
    draw_all("smoke", anew=False)
    after = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.p*")}
    assert {name for name in before if after[name] != before[name]} == {"fig10.pdf", "fig10.png"}

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from lrrecsys_core import rows as r
from lrrecsys_core.report.formats import Grid
from lrrecsys_core.report.page import Section, Toy, render, write_figures, write_report
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


def test_page_is_complete_and_self_contained(root: Path) -> None:
    metrics, predictions = study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, replicates=2, users=10)
    toy = Toy(["apple", "orange"], "orange juice", "she buys fruit", "she likes it whole", "written by hand")
    page = write_report("smoke", metrics, predictions, toy=toy)
    assert page == root / "results" / "smoke" / "report.html"
    text = page.read_text(encoding="utf-8")
    images = [attributes for tag, attributes in _tags(text) if tag == "img"]
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    figures = {file.stem for file in (root / "figures" / "smoke").glob("*.png")}
    assert len(images) == len(figures) and {"fig01", "fig02", "fig06", "fig07", "fig09", "fig10"} <= figures
    assert {file.stem for file in (root / "figures" / "smoke").glob("*.pdf")} == figures
    assert "http" not in text.replace("http-equiv", "") and "SIMULATED" in text
    for number in range(1, 7):
        assert f"Table {number}." in text
    assert "Controls: " in text.split("<nav>")[0]


def test_a_run_with_next_to_nothing_still_gets_its_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawing what is empty is tested elsewhere, and writing it takes seconds.
    monkeypatch.setattr("lrrecsys_core.report.page.save", lambda *_: [])
    metrics, _ = study({r.GLOBAL_MEAN: 0.2}, replicates=1, users=5)
    text = write_report("smoke", metrics.filter(pl.col("metric") == "RMSE")).read_text(encoding="utf-8")
    assert "not run" in text and "not tested" in text


def test_figures_newer_than_the_results_are_left_as_they_are(root: Path) -> None:
    metrics, predictions = study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, replicates=2, users=10)
    write_figures("smoke", metrics, predictions)
    folder = root / "figures" / "smoke"
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    (folder / "fig10.pdf").unlink()
    write_figures("smoke", metrics, predictions, newer_than=0.0)
    after = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert {name for name in before if after[name] != before[name]} == {"fig10.pdf", "fig10.png"}
    write_figures("smoke", metrics, predictions, newer_than=max(after.values()) / 1e9 + 1)
    assert all(file.stat().st_mtime_ns > after[file.name] for file in folder.iterdir())

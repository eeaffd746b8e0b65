from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from markupsafe import Markup

from lrrecsys_core import rows as r
from lrrecsys_core.app.verify import record
from lrrecsys_core.cli import main
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.answers import Answer
from lrrecsys_core.explain.fault_report import count_faults
from lrrecsys_core.report import drawings
from lrrecsys_core.report.claims import evidence_table
from lrrecsys_core.report.drawings import collect_figures, draw_all
from lrrecsys_core.report.evidence import null_markets, sources
from lrrecsys_core.report.formats import Cell, Grid
from lrrecsys_core.report.kept import keep, runs
from lrrecsys_core.report.page import Picture, Section, inlined, render, write_report, write_reports
from lrrecsys_core.report.style import FORMATS
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
    grid = Grid(evil, [evil], [[evil], [Cell(evil, evil, evil)]], [(evil, 1)], {0: evil}, [evil])
    page = render(evil, [(evil, evil)], [Section(evil, evil, [grid], [evil] * 4, [grid])], {evil: evil})
    assert not {"script", "img"} & {tag for tag, _ in _tags(page)} and "{{ 7*7 }}" in page


def test_an_svg_on_the_page_keeps_only_names_that_it_refers_to() -> None:
    file = """<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-" "http://www.w3.org/x.dtd">
    <svg xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt" viewBox="0 0 9 9" xmlns="http://www.w3.org/2000/svg">
    <metadata><a href="http://matplotlib.org"/></metadata><defs><style type="text/css">*{fill: red}</style></defs>
    <g id="figure_1"><path id="m1"/><use xlink:href="#m1"/><g clip-path="url(#p2)"/><clipPath id="p2"/></g></svg>"""
    svg = inlined(file)
    assert svg.startswith('<svg width="9pt"') and "http" not in svg and "style" not in svg and "metadata" not in svg
    assert 'id="m1"' in svg and 'id="p2"' in svg and "figure_1" not in svg


def collected(run: str, metrics: pl.DataFrame, predictions: pl.DataFrame | None = None) -> None:
    """Keep what a study would keep of its cells."""
    keep(run, "metrics", metrics)
    keep(run, "evidence", evidence_table(metrics, predictions, profile=run))
    collect_figures(run, sources(metrics, predictions), null_markets(metrics, predictions))


def files_of(root: Path) -> dict[str, bytes]:
    """Every table, figure and page below a folder, by name."""
    found = [*root.glob("paper_tables/*/*"), *root.glob("figures/*/*.*"), *root.glob("results/*/*")]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in found if file.is_file()}


@pytest.fixture
def without_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures without the file that takes most of the time; that its bytes repeat is tested in `test_figures`."""
    monkeypatch.delitem(FORMATS, "pdf")


@pytest.mark.usefixtures("without_pdf")
def test_the_page_has_the_faults_of_the_answers_where_they_were_counted(root: Path) -> None:
    collected("smoke", *study({r.LR: 0.1, "SASRec": 0.2}, replicates=2, users=10))
    assert "Faults of the answers" not in write_report("smoke").read_text(encoding="utf-8")
    counted = count_faults([Answer("the <b>dull", "positive", "", "I'm sorry.")])
    keep("smoke", "faults", counted.select(pl.lit("inns (simulated)").alias("title"), pl.all()))
    text = write_report("smoke", redraw=False).read_text(encoding="utf-8")
    assert "Faults of the answers (SIMULATED markets)" in text and "the &lt;b&gt;dull" in text
    assert "<figcaption>Faults of the answers, by explainer and slot.</figcaption>" in text


def test_page_is_complete_and_self_contained(root: Path) -> None:
    collected("smoke", *study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, replicates=2, users=10))
    page = write_report("smoke")
    assert page == root / "results" / "smoke" / "report.html"
    text = page.read_text(encoding="utf-8")
    figures = {file.stem for file in (root / "figures" / "smoke").glob("*.svg")}
    theory = {file.stem for file in (root / "figures" / "theory-smoke").glob("*.svg")}
    drawn = [tag for tag, _ in _tags(text) if tag == "svg"]
    assert len(drawn) == len(figures) + len(theory) and not {"img", "script", "link"} & {tag for tag, _ in _tags(text)}
    assert {"fig07", "fig09", "fig10"} <= figures and theory == {"fig01", "fig03", "fig04"}
    assert "fig06" not in figures and "needs LR-Recsys, two baselines and their predictions: Figure 6." in text
    for suffix in ("pdf", "png"):
        assert {file.stem for file in (root / "figures" / "smoke").glob(f"*.{suffix}")} == figures
    assert "http" not in text and "SIMULATED" in text and page.stat().st_size < 4_000_000
    for number in range(1, 7):
        assert f"Table {number}." in text
    summary = text.split("<h2")[1]
    assert "No control could be tested in this run." in summary and "1 of the paper's 14 baselines" in summary.replace(
        "&#39;", "'"
    )
    named = {str(attributes["id"]) for tag, attributes in _tags(text) if "id" in attributes and tag == "h2"}
    links = {str(attributes["href"]).lstrip("#") for tag, attributes in _tags(text) if tag == "a"}
    assert named == links and len(links) > 9
    ids = [attributes["id"] for _, attributes in _tags(text) if "id" in attributes]
    assert len(ids) == len(set(ids)), "a figure would draw with another's parts"


MEASURE = """<script>onload = () => {
const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll *, nav *, details:not([open]) *")
  && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName);
parent.postMessage(JSON.stringify([innerWidth, document.documentElement.scrollWidth, wide,
  document.documentElement.scrollHeight]), "*") }</script></body>"""
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no browser")
@pytest.mark.parametrize("width", [400, 1400])
def test_no_element_is_wider_than_the_browser(tmp_path: Path, width: int) -> None:
    long = "a_word_that_is_far_longer_than_a_telephone_is_wide_and_has_no_blank"
    grid = Grid("wide", [f"column {k}" for k in range(30)], [[Cell("0.1234", "(0.0001)")] * 30] * 3)
    svg = Picture("figure", Markup('<svg width="936pt" height="300pt" viewBox="0 0 936 300"><g/></svg>'))
    sections = [Section(f"Table {k}", long, [grid], [long], [grid], [svg, svg]) for k in range(12)]
    page = render("run", [("What was run", long), ("hotels", "all of it " * 40)], sections, {})
    (tmp_path / "page.html").write_text(page.replace("</body>", MEASURE))
    frame = f'<iframe src="page.html" style="border:0;width:{width}px;height:900px"></iframe>'
    tell = '<script>onmessage = e => document.body.setAttribute("data-told", e.data)</script>'
    (tmp_path / "frame.html").write_text(f"<body>{tell}{frame}")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    address = (tmp_path / "frame.html").as_uri()
    told = subprocess.run([*command, profile, "--window-size=1500,950", address], capture_output=True, text=True).stdout
    found = re.search('data-told="([^"]*)"', told)
    assert found, "the page was not measured"
    inner, whole, wide, height = json.loads(html.unescape(found[1]))
    assert inner <= width and whole <= width and wide == [] and height > 900


@pytest.mark.usefixtures("without_pdf")
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
    assert "not run" in text and "not tested" in text and "no attention recorded: Figure 7;" in text


def test_a_run_without_aggregates_says_how_to_get_them(root: Path) -> None:
    with pytest.raises(InputError, match="keeps no metrics"):
        write_report("demo-yelp")
    with pytest.raises(InputError, match="no run keeps aggregates"):
        list(write_reports(runs()))


@pytest.mark.parametrize("name", ["fig10.csv", "metrics.parquet"])
def test_a_run_of_an_older_version_is_named_and_the_others_go_on(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lrrecsys_core.report.drawings.save", lambda *_: [])
    metrics, predictions = study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, replicates=1, users=5)
    for run in ("demo-a", "demo-b"):
        collected(run, metrics, predictions)
    keep("theory", "fig02", pl.DataFrame({"model": ["x"], "history": ["y"]}))
    file = root / "figures" / "demo-a" / "data" / name
    if file.suffix == ".csv":
        file.write_text(file.read_text().replace("share", "part", 1))
    else:
        pl.read_parquet(file).rename({"value": "number"}).write_parquet(file)
    with pytest.raises(SystemExit) as stopped:
        main(["report"])
    told = capsys.readouterr()
    assert stopped.value.code == 2
    done = [line for line in told.out.splitlines() if line.startswith("done: ")]
    assert len(done) == 1 and "demo-b" in done[0]
    theory, old = told.err.splitlines()
    assert "'theory' keeps aggregates of an older version" in theory and "`lrrecsys reproduce --profile demo`" in theory
    assert "'demo-a' keeps aggregates of an older" in old and "`lrrecsys reproduce --profile demo --datasets" in old
    record("demo-a")
    with pytest.raises(SystemExit):
        main(["verify", "--run", "demo-a", "--run", "demo-b"])
    told = capsys.readouterr()
    assert "'demo-a' keeps aggregates of an older" in told.err and "'demo-b'" not in told.err


def test_aggregates_of_real_data_name_no_record(root: Path) -> None:
    collected("real", *study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, simulated=False, dataset="yelp"))
    for file in (root / "figures" / "real" / "data").iterdir():
        frame = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file, infer_schema_length=None)
        assert not {"user", "item", "record", "prediction", "rating"} & set(frame.columns) - {"records"}
        assert frame.height < 320  # the study has as many records


@pytest.mark.usefixtures("without_pdf")
def test_figures_newer_than_their_aggregates_are_left_as_they_are(root: Path) -> None:
    metrics, predictions = study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, replicates=2, users=10)
    collected("smoke", metrics, predictions)
    draw_all("smoke")
    folder = root / "figures" / "smoke"
    before = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.*")}
    (folder / "fig10.svg").unlink()
    collected("smoke", metrics, predictions)
    draw_all("smoke", anew=False)
    after = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.*")}
    assert {name for name in before if after[name] != before[name]} == {
        "captions.md",
        "fig10.png",
        "fig10.svg",
    }


def test_a_figure_is_drawn_when_its_numbers_its_code_or_its_files_are_not_as_they_were(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, predictions = study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.2}, replicates=2, users=10)
    collected("smoke", metrics, predictions)
    folder, wanted = root / "figures" / "smoke", ("controls", "fig10", "reliability")

    def drawn() -> set[str]:
        """Draw, and name the figures whose files were written."""
        before = {file: file.stat().st_mtime_ns for file in folder.glob("*.*g")}
        for name in wanted:
            drawings.draw("smoke", name)
        return {file.stem for file in folder.glob("*.*g") if before.get(file) != file.stat().st_mtime_ns}

    assert drawn() == set(wanted)
    assert drawn() == set()
    whole = (folder / "fig10.svg").read_bytes()
    (folder / "fig10.svg").write_bytes(whole[:-20])
    assert drawn() == {"fig10"} and (folder / "fig10.svg").read_bytes() == whole
    other, _ = study({r.LR: 0.1, "SASRec": 0.2, r.ABLATION1: 0.15}, replicates=2, users=10)
    keep("smoke", "controls", drawings.BY_NAME["controls"].collect(sources(other), []))
    assert drawn() == {"controls"}
    monkeypatch.setattr(drawings, "_CODE", "other code")
    assert drawn() == set(wanted)

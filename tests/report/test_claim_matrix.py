"""The claim matrix shows every committed verdict, each where it belongs, and the committed picture is of them."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

from lrrecsys_core.report.claim_matrix import LOOKS, NAME, claim_matrix, draw_matrix, verdicts_of_runs
from lrrecsys_core.report.rules import SHORT, STATEMENTS
from lrrecsys_core.report.style import plain

REPOSITORY = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def committed() -> dict[str, str]:
    """Verdict by cell, read line by line from the committed tables and by nothing that draws."""
    found: dict[str, str] = {}
    for file in sorted((REPOSITORY / "paper_tables").glob("demo*/verdicts.csv"), key=lambda file: file.parent.name):
        for line in csv.DictReader(file.open(encoding="utf-8")):
            found.setdefault(f"{line['claim']}-{line['dataset']}", line["verdict"])
    return found


def worded(cell: str, verdict: str) -> str:
    """What a cell must say."""
    name = cell.partition("-")[2]
    return LOOKS[verdict].cell + (f": {name}" if cell.partition("-")[0] in ("C17", "C18", "C19", "C20", "C21") else "")


def words(fig: Figure) -> dict[str, str]:
    return {str(text.get_gid()): text.get_text() for text in fig.axes[0].texts if text.get_gid()}


def cells(*lines: tuple[str, str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(lines, schema=["claim", "evidence", "dataset", "verdict"], orient="row")


def test_every_cell_is_the_committed_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRRECSYS_ROOT", str(REPOSITORY))
    expected = committed()
    assert {cell.partition("-")[0] for cell in expected} == set(STATEMENTS) and len(expected) >= 19 * 6 + 5
    assert words(claim_matrix(verdicts_of_runs())) == {cell: worded(cell, told) for cell, told in expected.items()}


def test_the_committed_picture_is_of_the_committed_verdicts() -> None:
    tree = ET.parse(REPOSITORY / "figures" / f"{NAME}.svg")
    drawn = {
        str(group.get("id")): "".join(text.itertext()).strip()
        for group in tree.iter(f"{SVG}g")
        for text in group.iter(f"{SVG}text")
        if str(group.get("id")).partition("-")[0] in STATEMENTS
    }
    assert drawn == {cell: worded(cell, told) for cell, told in committed().items()}
    assert all((REPOSITORY / "figures" / f"{NAME}.{suffix}").is_file() for suffix in ("png", "pdf"))


def test_a_cell_lies_in_the_line_of_its_claim_and_the_column_of_its_data() -> None:
    """Two claims, three data sets, by hand: places on the page are read off the texts around a cell."""
    fig = claim_matrix(
        cells(
            ("C1", "simulated", "hotels", "supported"),
            ("C1", "real", "yelp", "not supported"),
            ("C24", "real", "movielens", "mixed"),
            ("C17", "theory", "theory simulation", "supported"),
        )
    )
    place = {text.get_gid() or text.get_text(): text.get_position() for text in fig.axes[0].texts}
    for cell, claim, head in (
        ("C1-hotels", "C1", "Hotels"),
        ("C1-yelp", "C1", "Yelp"),
        ("C24-movielens", "C24", "MovieLens"),
    ):
        assert place[cell] == pytest.approx((place[head][0], place[claim][1]))
    assert place["C17-theory simulation"] == pytest.approx((place["Yelp"][0], place["C17"][1]))  # the middle of three
    legend = fig.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().split(":")[0] for text in legend.get_texts()] == ["✓ yes", "✗ no", "± some"]


@pytest.mark.parametrize("sets", [3, 6, 9])
def test_no_text_is_small_off_the_page_or_beyond_its_cell(sets: int) -> None:
    looks = list(zip(SHORT, LOOKS, strict=False))
    lines = [(claim, "real", f"collection {k}", verdict) for k in range(sets) for claim, verdict in looks]
    fig = claim_matrix(cells(*lines))
    fig.draw_without_rendering()
    width, height = fig.get_size_inches() * fig.dpi
    assert fig.get_size_inches()[0] == 6.5
    texts, boxes = fig.axes[0].texts, [patch.get_window_extent() for patch in fig.axes[0].patches]
    for text in texts:
        extent = text.get_window_extent()
        assert (
            text.get_fontsize() >= 7 and extent.x0 >= 0 and extent.x1 <= width and 0 <= extent.y0 <= extent.y1 <= height
        )
        if text.get_gid():
            assert any(box.x0 <= extent.x0 and extent.x1 <= box.x1 for box in boxes), text.get_text()
    shorts = {plain(short) for short in SHORT.values()}
    labels = [text.get_window_extent().x1 for text in texts if text.get_text() in shorts]
    assert len(labels) == len(SHORT) and max(labels) <= min(box.x0 for box in boxes)


def test_verdicts_differ_in_word_sign_and_colour_and_claims_have_few_words() -> None:
    looks = LOOKS.values()
    assert len({look.cell for look in looks}) == len({look.colour for look in looks}) == len(LOOKS)
    assert len({look.cell.split()[0] for look in looks}) == len(LOOKS)
    assert list(SHORT) == list(STATEMENTS) and max(len(short.split()) for short in SHORT.values()) <= 6


def test_runs_of_other_profiles_have_no_column_and_without_runs_nothing_is_drawn(root: Path) -> None:
    assert draw_matrix() is None
    assert not (root / "figures").exists()
    runs = {"smoke": "not tested", "demo.global-time": "mixed", "demo-yelp": "supported", "demo": "not supported"}
    for run, verdict in runs.items():
        (folder := root / "paper_tables" / run).mkdir(parents=True)
        name = "yelp" if "yelp" in run else "hotels"
        cells(("C1", "real", name, verdict)).with_columns(where=pl.lit("")).write_csv(folder / "verdicts.csv")
    assert [line[2:] for line in verdicts_of_runs().rows()] == [("hotels", "not supported"), ("yelp", "supported")]
    drawn = draw_matrix()
    assert drawn == root / "figures" / f"{NAME}.png" and drawn.is_file() and drawn.with_suffix(".svg").is_file()

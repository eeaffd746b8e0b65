"""Tables as Markdown and LaTeX, and figures as SVG."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrrecsys_core.report import formats
from lrrecsys_core.report.claim_report import write_claims
from lrrecsys_core.report.claims import evidence_table
from lrrecsys_core.report.formats import Cell, Grid
from lrrecsys_core.report.style import panels, save
from lrrecsys_core.report.tables import write_tables
from tests.report.synthetic import everything

GRID = Grid(
    "This run",
    ["", "RMSE ↓", "AUC ↑", "Tier"],
    [
        ["ours", Cell("0.1000~", "(0.0010)", "bold"), Cell("0.7°", "", "underlined"), "faithful"],
        ["theirs", "–", "", ""],
    ],
    [("", 1), ("hotels", 2), ("", 1)],
    {0: "", 1: "Baselines"},
    ["a foot"],
)


def test_a_grid_as_markdown() -> None:
    assert formats.to_markdown("Table 2. T", ["a note"], [GRID]).splitlines() == [
        "# Table 2. T", "", "**This run**", "",
        "|  | hotels RMSE ↓ | hotels AUC ↑ | Tier |", "| --- | --- | --- | --- |",
        r"| ours | **0.1000\~**<br>(0.0010) | <u>0.7°</u> | faithful |", "| *Baselines* | | | |",
        "| theirs | – |  |  |", "", "a foot", "", "a note",
    ]  # fmt: skip


def test_a_grid_as_latex() -> None:
    text = formats.to_latex("Table 2. LR-Recsys", ["a note"], [GRID, GRID], "tab:demo-table2")
    assert r"\caption{LR-Recsys. This run}\label{tab:demo-table2}\\" in text and r"\label{tab:demo-table2-2}" in text
    assert r" & \multicolumn{2}{c}{hotels} &  \\" in text and r"\cmidrule(lr){2-3}" in text
    assert r"ours & \textbf{0.1000\(\sim\)}\newline (0.0010) & \underline{0.7\(\circ\)} & faithful \\" in text
    assert "\\midrule\n\\multicolumn{4}{@{}l}{\\textit{Baselines}} \\\\*\ntheirs & -- &  &  \\\\\n\\bottomrule" in text
    assert r"\noindent a foot\par" in text and r"\noindent a note\par" in text and "Table 2" not in text


@given(st.lists(st.integers(1, 90), min_size=2, max_size=30), st.integers(1, 4))
def test_columns_fit_a_page_and_none_is_lost(lengths: list[int], together: int) -> None:
    header = [f"{k}" * (1 + length % 7) for k, length in enumerate(lengths)]
    rest = len(lengths) - 1
    spans = [
        ("", 1),
        *[("set", together)] * (rest // together),
        *([("last", rest % together)] if rest % together else []),
    ]
    grid = Grid("", header, [["ab " * (length // 3) for length in lengths]], spans)
    parts = formats._that_fit(grid)
    for part in parts:
        widths = formats._widths(part)
        assert sum(widths) + formats._GAP * (len(widths) - 1) <= formats._ROOM
        assert part.header[0] == header[0] and sum(count for _, count in part.groups) == len(part.header)
    assert [name for part in parts for name in part.header[1:]] == header[1:]


def test_notes_beyond_three_lie_beside_the_table(tmp_path: Path) -> None:
    frame, notes = pl.DataFrame({"a": [1]}), ["one.", "two.", "three.", "four."]
    formats.write_all(tmp_path, "table9", frame, "Table 9. T", notes, [GRID])
    under = (tmp_path / "table9.md").read_text()
    assert "three. Further notes: table9\\_notes.md." in under and "four" not in under
    assert "four." in (tmp_path / "table9_notes.md").read_text() and "four" not in (tmp_path / "table9.tex").read_text()
    formats.write_all(tmp_path, "table9", frame, "Table 9. T", notes[:3], [GRID])
    assert not (tmp_path / "table9_notes.md").exists()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX")
def test_latex_sets_every_table_on_the_page_in_letters_of_seven_points(root: Path, tmp_path: Path) -> None:
    metrics, _ = everything(replicates=2, users=5)
    # Four data sets are more than stand side by side.
    sets = [metrics.with_columns(dataset=pl.lit(name)) for name in ("hotels", "restaurants", "movies", "a-shop")]
    write_tables("smoke", pl.concat(sets))
    write_claims("smoke", evidence_table(metrics), metrics)
    files = sorted((root / "paper_tables" / "smoke").glob("*.tex"))
    inputs = "".join(rf"\input{{{file.as_posix()}}}" for file in files)
    (tmp_path / "all.tex").write_text(
        r"\pdfcompresslevel=0 \pdfobjcompresslevel=0 \documentclass{article}"
        r"\usepackage[letterpaper,margin=1in]{geometry}\usepackage{array,booktabs,longtable}"
        rf"\begin{{document}}{inputs}\end{{document}}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    log = (tmp_path / "all.log").read_text(errors="replace")
    assert done.returncode == 0 and len(files) == 10, log[-2000:]
    assert "Overfull" not in log and "multiply" not in log
    sizes = {int(size) for size in re.findall(rb"/FontName\s*/\w+\+[A-Z]+(\d+)", (tmp_path / "all.pdf").read_bytes())}
    assert min(sizes) == 7, sizes


def test_a_cloud_of_points_is_a_picture_inside_the_svg(root: Path) -> None:
    sizes = {}
    for count in (40, 20_000):
        fig, ((ax,),) = panels(1, 1)
        ax.scatter(*np.random.default_rng(0).normal(size=(2, count)))
        files = {file.suffix: file for file in save(fig, "smoke", f"cloud{count}")}
        svg = files[".svg"].read_text()
        assert ("<image" in svg) == (count > 500) and "<text" in svg and "<dc:date>" not in svg
        sizes[count] = len(svg)
    assert sizes[20_000] < 150_000


def test_figures_on_one_page_share_no_names(root: Path) -> None:
    found = []
    for name in ("one", "two"):
        fig, ((ax,),) = panels(1, 1)
        ax.plot([1, 2], marker="o")
        svg = next(file for file in save(fig, "smoke", name) if file.suffix == ".svg").read_text()
        found.append(set(re.findall(r"url\(#(\w+)\)|href=\"#(\w+)\"", svg)))
    assert found[0] and found[0].isdisjoint(found[1])

"""What every notebook promises: a box, short cells, compared numbers, headings in order, outputs of one run."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lrrecsys_core import paths
from lrrecsys_core.app.runner import notebook_parameters
from lrrecsys_core.app.stored import RUN

NOTEBOOKS = sorted((paths.repository() / "notebooks").glob("*.ipynb"))
LINES = 15
IMPORTS = 26
COMPARED = "nbval-check-output"
BOX = ("You will see", "Needs", "Takes")


def cells_of(path: Path, kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def text_of(output: Any) -> str:
    """What an output says in words."""
    data = output.get("data", {})
    return str(output.get("text") or data.get("text/markdown") or data.get("text/plain", ""))


def compared(path: Path) -> list[Any]:
    return [cell for cell in cells_of(path, "code") if COMPARED in cell.metadata.get("tags", ())]


def test_the_seven_chapters_are_there() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_it_opens_with_a_title_and_what_it_reproduces(self, path: Path) -> None:
        first = nbformat.read(path, as_version=4).cells[0]
        assert first.cell_type == "markdown"
        assert re.match(r"# \d\. ", first.source)
        assert re.search(r"Section|Appendix|Figure|Table", first.source)

    def test_it_opens_with_a_box_and_ends_with_takeaways_and_a_link(self, path: Path) -> None:
        first, *_, last = nbformat.read(path, as_version=4).cells
        assert all(f"> **{word}**" in first.source or f" **{word}** " in first.source for word in BOX)
        assert not re.search(r"\d%|[+-]?\d*\.\d", "".join(re.findall(r"^>.*", first.source, re.MULTILINE)))
        (link,) = re.findall(r"\[\d\. [^]]*\]\((\w+\.ipynb)\)", last.source)
        assert link == NOTEBOOKS[(NOTEBOOKS.index(path) + 1) % len(NOTEBOOKS)].name
        assert any("came_out(" in cell.source for cell in cells_of(path, "code"))
        assert any(cell.source.startswith("## Takeaways") for cell in cells_of(path, "markdown"))

    def test_its_headings_are_in_order(self, path: Path) -> None:
        text = "\n".join(cell.source for cell in cells_of(path, "markdown"))
        levels = [len(signs) for signs in re.findall(r"^(#+) ", text, re.MULTILINE)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(below <= above + 1 for above, below in pairwise(levels))
        shown = [line for cell in cells_of(path, "code") for out in cell.outputs for line in text_of(out).splitlines()]
        assert not [line for line in shown if line.startswith("# ")]

    def test_its_defaults_are_the_run_whose_outputs_it_stores(self, path: Path) -> None:
        parameters = notebook_parameters(path)
        assert parameters["profile"] == "demo"
        assert parameters["datasets"] == []
        assert parameters["seed"] == 0

    def test_its_cells_are_short(self, path: Path) -> None:
        for cell in cells_of(path, "code"):
            limit = IMPORTS if "setup()" in cell.source else LINES
            assert len(cell.source.splitlines()) <= limit, cell.source

    def test_at_least_two_cells_are_compared(self, path: Path) -> None:
        assert len(compared(path)) >= 2
        assert not [cell for cell in cells_of(path, "code") if "NBVAL" in cell.source]

    def test_checks_leave_the_readers_view(self, path: Path) -> None:
        for cell in cells_of(path, "code"):
            assert "assert " not in cell.source or cell.metadata["jupyter"]["source_hidden"]

    def test_standard_error_stayed_silent(self, path: Path) -> None:
        outputs = [out for cell in cells_of(path, "code") for out in cell.outputs]
        assert not [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]

    def test_tables_are_text_without_quotation_marks(self, path: Path) -> None:
        outputs = [out for cell in cells_of(path, "code") for out in cell.outputs]
        assert not [
            out for out in outputs if "text/html" in out.get("data", {}) and "dataframe" in out.data["text/html"]
        ]

    def test_it_names_no_place_on_anybodys_machine(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|tmp|work|Users)/\w", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_outputs_are_those_of_the_run_demo_from_first_to_last(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata[RUN] == "demo"  # a run on real data has the data's name in its own
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert sum(bool(re.search(r"\d", "".join(map(text_of, cell.outputs)))) for cell in compared(path)) >= 2

"""What every notebook promises: one parameters cell, short cells, checked figures, a silent standard error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lrrecsys_core import paths
from lrrecsys_core.app.runner import notebook_parameters

NOTEBOOKS = sorted((paths.repository() / "notebooks").glob("*.ipynb"))
LINES = 15
IMPORTS = 24


def cells_of(path: Path, kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_the_seven_chapters_are_there() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_it_opens_with_a_title_and_what_it_reproduces(self, path: Path) -> None:
        first = nbformat.read(path, as_version=4).cells[0]
        assert first.cell_type == "markdown"
        assert re.match(r"# \d\. ", first.source)
        assert re.search(r"Section|Appendix|Figure|Table", first.source)

    def test_its_defaults_are_the_smoke_profile_on_simulated_markets(self, path: Path) -> None:
        parameters = notebook_parameters(path)
        assert parameters["profile"] == "smoke"
        assert parameters["datasets"] == []
        assert parameters["seed"] == 0

    def test_its_cells_are_short(self, path: Path) -> None:
        for cell in cells_of(path, "code"):
            limit = IMPORTS if "setup()" in cell.source else LINES
            assert len(cell.source.splitlines()) <= limit, cell.source

    def test_at_least_two_cells_are_compared(self, path: Path) -> None:
        checked = [cell for cell in cells_of(path, "code") if "NBVAL_CHECK_OUTPUT" in cell.source]
        assert len(checked) >= 2
        assert all(cell.outputs for cell in checked)

    def test_it_was_run_and_kept_standard_error_silent(self, path: Path) -> None:
        for cell in cells_of(path, "code"):
            assert cell.execution_count
            assert not [out for out in cell.outputs if out.output_type == "error" or out.get("name") == "stderr"]

    def test_it_names_no_place_on_anybodys_machine(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|tmp|work|Users)/\w", text)

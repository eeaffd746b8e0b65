"""Outputs of a finished run go into the notebooks, and what is of a machine or of real records stays out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import polars as pl
import pytest
from IPython.core.interactiveshell import InteractiveShell

from lrrecsys_core.app import notebook as shown
from lrrecsys_core.app.runner import run_notebooks
from lrrecsys_core.app.stored import RUN, store
from lrrecsys_core.errors import InputError

PARAMETERS = 'profile: str = "demo"\ndatasets: list = []\nseed: int = 0'
SHOW = "from IPython.display import display\nfrom lrrecsys_core import paths\nprint(paths.root())\ndisplay(profile)"


def write_notebook(root: Path, *cells: str) -> Path:
    first = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    tagged = [nbformat.v4.new_code_cell(cell, metadata={"tags": ["nbval-check-output"]}) for cell in cells]
    path = root / "notebooks" / "01_first.ipynb"
    path.parent.mkdir(exist_ok=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    title = nbformat.v4.new_markdown_cell("# 1")
    nbformat.write(nbformat.v4.new_notebook(cells=[title, first, *tagged], metadata=kernel), path)
    return path


def test_a_finished_run_is_stored_without_its_machine(root: Path) -> None:
    path = write_notebook(root, SHOW, "6 * 7")
    run_notebooks("smoke", progress=False)
    assert list(store("smoke")) == [path]
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata[RUN] == "smoke"
    parameters, first, second = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert (parameters.source, parameters.outputs) == (PARAMETERS, [])  # not the parameters that were injected
    assert first.outputs[0].text == ".\n" and first.outputs[1].data["text/plain"] == "'smoke'"
    assert second.outputs[0].data["text/plain"] == "42"
    assert [cell.execution_count for cell in (parameters, first, second)] == [1, 2, 3]
    assert second.outputs[0].execution_count == 3
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    assert str(root) not in path.read_text()
    before = path.read_bytes()
    assert list(store("smoke")) == [path] and path.read_bytes() == before
    notebook.cells.append(nbformat.v4.new_markdown_cell("Mended since."))
    nbformat.write(notebook, path)
    assert list(store("smoke")) == [path] and "Mended since." in path.read_text()


def test_what_may_not_be_stored_is_refused_and_nothing_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lrrecsys_core.cli import main

    path = write_notebook(root, "1")
    with pytest.raises(InputError, match="run 'smoke' is not finished"):
        list(store("smoke"))
    manifest = run_notebooks("smoke", progress=False)
    write_notebook(root, "2")
    changed = path.read_bytes()
    with pytest.raises(SystemExit):
        main(["notebooks", "--run", "smoke"])
    assert "01_first.ipynb has changed since run 'smoke' executed it" in capsys.readouterr().err
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"inputs": {"yelp": {}}}))
    with pytest.raises(InputError, match="records of real data"):
        list(store("smoke"))
    assert path.read_bytes() == changed


def test_a_number_that_comes_out_otherwise_the_second_time_is_found(root: Path) -> None:
    """As `make smoke` does it: nbval on the copies a run left, where one tagged cell changes from run to run."""
    write_notebook(root, "from IPython.display import Markdown\nMarkdown('42')", "import os\nprint(os.getpid())")
    run_notebooks("smoke", progress=False)
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, root / "results/smoke/notebooks"], capture_output=True, text=True)
    assert "1 failed, 3 passed" in done.stdout, done.stdout[-2000:]


def test_a_table_is_left_aligned_without_quotation_marks_and_with_proper_digits() -> None:
    frame = pl.DataFrame(
        {
            "name": ['"a|b"', None],
            "n": [12345, None],
            "x_y": [-0.04, -1234.5],
            "p": [0.12345, float("nan")],
            "z": [0.0, 0.0],
        }
    )
    header, rule, *body = str(shown.table(frame).data).splitlines()
    assert (header, rule) == ("| name | n | x y | p | z |", "| :--- | :--- | :--- | :--- | :--- |")
    assert body == ['| "a\\|b" | 12,345 | −0.04 | 0.123 | 0 |', "|  |  | −1,234 |  | 0 |"]
    small = shown.table(pl.DataFrame({"x": [4.6499, 0.0001]}))
    assert str(small.data).splitlines()[2:] == ["| 4.65 |", "| 0.0001 |"]


def test_cells_below_do_nothing_once_they_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = InteractiveShell()
    monkeypatch.setattr(shown, "get_ipython", lambda: shell)
    said: list[Any] = []
    monkeypatch.setattr(shown, "display", said.append)
    shell.run_cell("before = 1")
    shown.skip_rest()
    shell.run_cell("after = 1\nraise ValueError")
    assert "before" in shell.user_ns and "after" not in shell.user_ns
    assert "skipped" in said[0].data


def test_verdicts_are_told_a_claim_at_a_time() -> None:
    verdicts = pl.DataFrame(
        {"claim": ["C1", "C1", "C2"], "statement": ["wins", "wins", "by much"], "dataset": ["yelp", "b", "yelp"],
         "verdict": ["supported", "supported", "not tested"]}
    )  # fmt: skip
    assert shown.verdict_lines(verdicts) == ["C1, wins: supported (Yelp, b)", "C2, by much: not tested (Yelp)"]

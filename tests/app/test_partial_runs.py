"""What the manifest of a run says when its notebooks were not all run at once."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from lrrecsys_core.app import verify
from lrrecsys_core.app.runner import NotebookError, run_notebooks
from tests.app.test_runner import manifest_of, write_notebook


def test_one_notebook_alone_keeps_what_the_manifest_tells_of_the_others(root: Path) -> None:
    for name in ("01_first", "02_second"):
        write_notebook(root, name, "seed")
    run_notebooks("smoke", progress=False)
    manifest = root / "results" / "smoke" / "manifest.json"
    before = manifest_of(root)
    for told in before["notebooks"].values():
        told["seconds"] = 99.0  # two runs may well take the same time
    manifest.write_text(json.dumps(before))
    run_notebooks("smoke", only=["01"], progress=False)
    record = manifest_of(root)
    assert record["status"] == "complete"
    assert record["notebooks"]["02_second"] == before["notebooks"]["02_second"]
    assert record["notebooks"]["01_first"]["seconds"] < 99
    path = root / "notebooks" / "02_second.ipynb"
    shown = nbformat.read(path, as_version=4)
    shown.cells[-1].outputs = [nbformat.v4.new_output("stream", text="0")]
    shown.cells.append(nbformat.v4.new_markdown_cell("What came out."))
    nbformat.write(shown, path)
    run_notebooks("smoke", only=["01"], progress=False)
    assert manifest_of(root)["status"] == "complete", "neither outputs stored in a notebook nor prose are what it does"
    write_notebook(root, "02_second", "seed + 1")
    run_notebooks("smoke", only=["01"], progress=False)
    assert manifest_of(root)["status"] == "partial"
    whole = path.read_text()
    path.write_text(whole[:50])
    run_notebooks("smoke", only=["01"], progress=False)
    assert manifest_of(root)["status"] == "partial", "a notebook that cannot be read is none that was run"
    path.write_text(whole)
    run_notebooks("smoke", parameters={"seed": 1}, only=["02"], progress=False)
    record = manifest_of(root)
    assert record["status"] == "partial" and list(record["notebooks"]) == ["02_second"], "made with other parameters"


def test_an_interrupted_run_is_complete_only_when_all_of_it_was_run(root: Path) -> None:
    for name in ("01_first", "03_third"):
        write_notebook(root, name, "seed")
    write_notebook(root, "02_second", "1 / 0")
    with pytest.raises(NotebookError):
        run_notebooks("smoke", progress=False)
    assert manifest_of(root)["status"] == "running"
    run_notebooks("smoke", only=["01"], progress=False)
    assert manifest_of(root)["status"] == "partial"
    write_notebook(root, "02_second", "1")
    run_notebooks("smoke", only=["02", "03"], progress=False)
    record = manifest_of(root)
    assert record["status"] == "complete" and list(record["notebooks"]) == ["01_first", "02_second", "03_third"]


def test_what_is_drawn_of_several_runs_is_drawn_anew_after_those_that_it_shows(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(verify, "draw_above", lambda: drawn.append("drawn"))
    write_notebook(root, "01_first", "seed")
    run_notebooks("smoke", progress=False)
    assert drawn == []
    run_notebooks("demo", progress=False)
    assert drawn == ["drawn"] and manifest_of(root, "demo")["status"] == "complete"

"""The outputs of a finished run, stored in the notebooks that a reader opens first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import nbformat

from lrrecsys_core import paths
from lrrecsys_core.app.runner import find_notebooks
from lrrecsys_core.errors import InputError

RUN: Final = "lrrecsys_run"  # key of a notebook's metadata: the run whose outputs it holds


def store(run: str) -> Iterator[Path]:
    """Put what a run's copies of the notebooks show into the notebooks themselves; yields each.

    Times and folders of the machine that ran them stay out. Prose may have been mended since.

    Raises
    ------
    InputError
        The run is unfinished or on real data, whose records may not be committed; the code of a notebook has changed
        since.
    """
    manifest = paths.root() / "results" / paths.checked_run(run) / "manifest.json"
    told = json.loads(manifest.read_text(encoding="utf-8")) if paths.sound(manifest) else {}
    if told.get("status") != "complete":
        raise InputError(f"run {run!r} is not finished: run `lrrecsys reproduce` with its profile first.")
    if told["inputs"]:
        raise InputError(f"run {run!r} shows records of real data, which no committed notebook may: store another run.")
    filled = {path: _filled(path, manifest.parent / "notebooks" / path.name, run) for path in find_notebooks()}
    for path, text in filled.items():
        with paths.replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
        yield path


def _filled(path: Path, copy: Path, run: str) -> str:
    """A notebook with the outputs of its executed copy."""
    notebook = nbformat.read(path, as_version=4)
    made = {cell.id: cell for cell in nbformat.read(copy, as_version=4).cells} if copy.is_file() else {}
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        if cell.id not in made or made[cell.id].source != cell.source:
            raise InputError(f"{path.name} has changed since run {run!r} executed it: run `lrrecsys reproduce` again.")
        cell.outputs, cell.execution_count = made[cell.id].outputs, number
        for output in cell.outputs:
            if "execution_count" in output:  # the copy's counts its injected parameters too
                output.execution_count = number
    notebook.metadata[RUN] = run
    # A folder may stand anywhere in what was printed, as JSON writes it.
    return nbformat.writes(notebook).replace(json.dumps(str(paths.root()))[1:-1], ".") + "\n"

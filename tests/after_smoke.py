"""Numbers of the smoke run that no processor changes, against the committed ones; `make smoke` runs this after the run.

``python tests/after_smoke.py`` writes them anew, after a change that is meant to move them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat

from lrrecsys_core import paths

COMMITTED = Path(__file__).with_name("smoke_numbers.json")
TAG = "same-everywhere"


def shown(notebook: Path) -> dict[str, Any]:
    """What the cells tagged so show, by the cell's id."""
    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if TAG in cell.metadata.get("tags", ())]
    return {cell.id: [out.data["text/markdown"].splitlines() for out in cell.outputs] for cell in tagged}


def copies() -> dict[str, dict[str, Any]]:
    folder = paths.repository() / "results" / "smoke" / "notebooks"
    return {path.stem: found for path in sorted(folder.glob("[0-9]*.ipynb")) if (found := shown(path))}


def test_the_smoke_run_shows_the_committed_numbers() -> None:
    assert copies() == json.loads(COMMITTED.read_text("utf-8"))


if __name__ == "__main__":
    COMMITTED.write_text(json.dumps(copies(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

"""What a kept result is filed under: hashes of parameters and of the code that decides it."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

from lrrecsys_core import paths

PACKAGE = Path(__file__).parent.parent
# What decides the sentences and their codes; clients and the store decide where answers come from, not what they say.
TEXT_CODE = (
    *("data/*.py", "explain/prompts/**/*.txt", "study/texts.py", "models/autoencoder.py"),
    *("theory/markets.py", "theory/selection.py", "theory/lasso.py", "theory/eills.py", "theory/invariance.py"),
    *(
        f"explain/{name}.py"
        for name in ("sources", "prompts", "reasoners", "generate", "checks", "imported", "extractive")
    ),
)
CELL_CODE = (
    *("training/fit.py", "training/stack.py", "study/train_row.py", "metrics.py"),
    *("models/base.py", "models/layers.py", "models/biases.py"),
)


@cache
def code_hash(model: type[Any] | str | None) -> str:
    """Hash of the code behind a cell: that of its texts, of training, and of its model with what this one imports.

    `model` is a class, the name of a row's `floor`, or None for texts alone.
    """
    patterns = TEXT_CODE if model is None else (*TEXT_CODE, *CELL_CODE)
    files = {file for pattern in patterns for file in PACKAGE.glob(pattern)}
    if model == "boosting":
        files.add(PACKAGE / "models" / "boosting.py")
    elif isinstance(model, type):
        files |= _model_files(Path(inspect.getfile(model)))
    return paths.digest_of_files(sorted(files), PACKAGE)


@cache
def _model_files(file: Path) -> frozenset[Path]:
    """A model's file and the files below models/ that it imports, directly or not."""
    found = {file}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lrrecsys_core.models."):
            named = PACKAGE.joinpath(*str(node.module).split(".")[1:]).with_suffix(".py")
            found |= _model_files(named)
    return frozenset(found)


def plain(value: Any) -> Any:
    """A value as JSON-able content, classes by name."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.__name__ if isinstance(value, type) else value


def content_hash(parts: Any) -> str:
    """Hash of JSON-able content, as a file name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]

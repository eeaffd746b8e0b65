"""What a kept result is filed under: the content it was computed from, and the code that computed it."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lrrecsys_core.data.split import Split

PACKAGE = Path(__file__).parent.parent
# How far imports are followed. A cell reads arrays, whose content is in its key, so of data/ and explain/ its code has
# only what it calls on them (`Cell.key` names it): a refactor elsewhere that yields the same arrays keeps every cell.
CELL_CODE = ("models", "training", "metrics.py")
TEXT_CODE = ("data", "theory", "explain", "models")


@cache
def code_hash(roots: tuple[str, ...], within: tuple[str, ...]) -> str:
    """Hash of these modules (``study.train_row``) and of all they import, directly or not, inside `within`.

    Comments, layout and docstrings do not enter it; prompt sets beside the code do.
    """
    files: set[Path] = set()
    waiting = [_file(f"lrrecsys_core.{root}") for root in roots]
    while waiting:
        file = waiting.pop()
        if file is None or file in files:
            continue
        files.add(file)
        waiting += [found for found in map(_file, _imports(file)) if found and _inside(found, within)]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(PACKAGE).as_posix()}\0{_code(file)}\0".encode())
    if "explain" in within:
        sets = PACKAGE / "explain" / "prompts"
        for file in sorted([*sets.rglob("*.txt"), *sets.rglob("*.toml")]):
            digest.update(f"{file.relative_to(sets).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _inside(file: Path, within: tuple[str, ...]) -> bool:
    return file.relative_to(PACKAGE).parts[0] in within


def _file(module: str) -> Path | None:
    """The file of a module of this package, or None where the name is something else."""
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return None
    file = PACKAGE.joinpath(*parts[1:]).with_suffix(".py")
    return file if file.is_file() else None


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _imports(file: Path) -> Iterable[str]:
    """Names of what a file imports at run time, wherever in it; a package's members are tried as modules too."""
    typing = {
        node
        for block in ast.walk(_tree(file))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(_tree(file)):
        if node in typing:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@cache
def _code(file: Path) -> str:
    """A file's syntax tree without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def plain(value: Any) -> Any:
    """A value as JSON-able content, classes by name."""
    if hasattr(value, "__dataclass_fields__"):
        return {"kind": type(value).__name__} | {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.__name__ if isinstance(value, type) else value


def content_hash(parts: Any) -> str:
    """Hash of JSON-able content, as a file name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def array_hash(arrays: Mapping[str, Any]) -> str:
    """Hash of named arrays: names, types, shapes and bytes; anything else by its text."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = arrays[name]
        digest.update(name.encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).view(np.uint8).data if value.size else b"")
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


@lru_cache(maxsize=512)
def split_hash(split: Split) -> str:
    """Content of a split: its data set and every array a model may be given, the windows of earlier records too."""
    arrays = {f.name: getattr(split, f.name) for f in fields(split) if f.name not in ("dataset", "shares")}
    arrays["user_ids"] = split.user_ids
    for of in ("user", "item"):
        windows = getattr(split, f"earlier_of_{of}")
        arrays |= {f"earlier of {of}: {f.name}": getattr(windows, f.name) for f in fields(windows)}
    return content_hash([split.dataset.fingerprint, array_hash(arrays)])

"""The code that computed a kept result, as a hash: part of what the result is filed under."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from lrrecsys_core import paths

PACKAGE = Path(__file__).parent


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


def package_hash() -> str:
    """Hash of all code of the package as it stands, comments and layout included."""
    return paths.digest_of_files(sorted(PACKAGE.rglob("*.py")))


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


@cache
def _imports(file: Path) -> tuple[str, ...]:
    """Names of what a file imports at run time, wherever in it; a package's members are tried as modules too."""
    typing = {
        node
        for block in ast.walk(_tree(file))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names: list[str] = []
    for node in ast.walk(_tree(file)):
        if node in typing:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return tuple(names)


@cache
def _code(file: Path) -> str:
    """A file's syntax tree without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)

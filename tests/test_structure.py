"""Data flows one way: no module imports from a later layer, and none imports itself through others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import lrrecsys_core

PACKAGE = Path(lrrecsys_core.__file__).parent
# From the first to the last; a module may import from its own layer and earlier ones.
LAYERS = (
    ("errors", "paths", "source_code", "terminal", "metrics", "stats", "profiles", "workers", "__init__"),
    ("data",), ("theory",), ("explain",), ("models",), ("training",), ("row", "rows"), ("study",), ("report",),
    ("app",), ("cli",),
)  # fmt: skip
PLACE = {name: k for k, layer in enumerate(LAYERS) for name in layer}


def module(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(tree: ast.AST, *, types: bool) -> Iterator[str]:
    """Modules of this package that a file imports, wherever in it; with or without those for its annotations alone."""
    for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in for_types and not types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lrrecsys_core":
            base = node.module.partition(".")[2]
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                there = (PACKAGE / inner.replace(".", "/")).with_suffix(".py")
                yield inner if there.is_file() else base or "__init__"


def arrows(*, types: bool = True) -> dict[str, set[str]]:
    files = {module(file): ast.parse(file.read_text()) for file in PACKAGE.rglob("*.py")}
    return {name: set(imports(tree, types=types)) - {name} for name, tree in files.items()}


def backward(found: dict[str, set[str]]) -> list[str]:
    """Imports from a later layer."""
    layer = {name: PLACE[name.split(".")[0]] for name in found}
    return sorted(f"{a} imports {b}" for a, named in found.items() for b in named if layer.get(b, 0) > layer[a])


def circles(found: dict[str, set[str]]) -> list[str]:
    """Modules that reach themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for other in found.get(waiting.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return seen

    return sorted(name for name in found if name in reached(name))


def test_the_checks_see_what_they_forbid() -> None:
    wrong = {"data.split": {"report.tables"}, "report.tables": {"data.split"}, "models.base": {"data.split"}}
    assert backward(wrong) == ["data.split imports report.tables"]
    assert circles(wrong) == ["data.split", "report.tables"]


def test_no_module_imports_from_a_later_layer() -> None:
    assert {name.split(".")[0] for name in arrows()} <= set(PLACE)
    assert backward(arrows()) == []


def test_no_module_imports_itself_through_others() -> None:
    assert circles(arrows(types=False)) == []


def test_the_report_reads_results_only() -> None:
    told = {f"{a} imports {b}" for a, named in arrows().items() if a.startswith("report.") for b in named}
    assert not [line for line in told if line.split(" imports ")[1].split(".")[0] in ("study", "training")]


def test_files_fit_in_a_head() -> None:
    """The limits of the structure: lines of a file, of a function's body, files at the top of the package."""
    long = {module(file): len(file.read_text().splitlines()) for file in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > 350} == {}
    assert len(list(PACKAGE.glob("*.py"))) <= 12
    bodies = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                start = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                bodies[f"{module(file)}.{node.name}"] = (node.end_lineno or 0) - start.lineno + 1
    assert {name: lines for name, lines in bodies.items() if lines > 60} == {}

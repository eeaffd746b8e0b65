"""Whatever the documents, docstrings and comments refer to exists: files, modules, links, rules, equations."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lrrecsys_core"
EQUATIONS = range(1, 29)  # those the paper numbers
# Last subsection of each section of the paper, whose appendices 8 to 10 go on counting.
PARTS = {"2": 4, "3": 7, "3.4": 2, "3.5": 3, "4": 2, "5": 6, "5.4": 2, "5.5": 3, "8": 3, "9": 3, "10": 5, "10.2": 4}
SECTIONS = {str(n) for n in range(1, 11)} | {f"{whole}.{n + 1}" for whole, last in PARTS.items() for n in range(last)}
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [*sorted(PACKAGE.rglob("*.py")), *sorted((ROOT / "notebooks").glob("*.ipynb"))]
NUMBERS = r"\d+(?:-\d+)?(?:(?:, | and |, and )\d+(?:-\d+)?(?![\w.%]))*"
# A file or folder of the repository: `models/base.py`, `docs/own_llm.md`, `lrrecsys_core/models/`.
PATH = re.compile(
    r"(?<![\w./~<>-])((?:[\w-]+/)*[\w-]+\.(?:py|ipynb)|(?:[\w-]+/)+[\w-]+\.(?:md|json|csv)|lrrecsys_core/(?:[\w-]+/)*)(?![\w/<])"
)
DOTTED = re.compile(r"`(?:lrrecsys_core\.)?((?:data|theory|explain|models|training|study|report|app)(?:\.\w+)+)`")
IMPORTED = re.compile(r"^ *(?:from|import) lrrecsys_core\.?([\w.]*)", re.MULTILINE)


def equations(numbers: str) -> set[int]:
    """The equations that "6-9 and 26-28" names."""
    found = set()
    for part in re.findall(r"\d+(?:-\d+)?", numbers):
        low, _, high = part.partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    return found


def cited(text: str) -> set[int]:
    """All equations that a text cites."""
    return set().union(*(equations(numbers) for numbers in re.findall(rf"\bEqs? ({NUMBERS})", text)))


def sections(text: str) -> set[str]:
    """All sections and appendices of the paper that a text cites."""
    lists = re.findall(r"\b(?:Sec|App|Sections?|Appendix) (\d+(?:\.\d+)*(?:(?:, | and )\d+\.\d+(?:\.\d+)*)*)", text)
    return {number for numbers in lists for number in re.findall(r"\d+(?:\.\d+)*", numbers)}


@cache
def rules() -> frozenset[str]:
    """The rules that docs/protocol.md defines, a line of its table each."""
    return frozenset(re.findall(r"^\| (P\d) \|", (ROOT / "docs/protocol.md").read_text("utf-8"), re.MULTILINE))


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as they are made on the web."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(name: str, beside: Path) -> bool:
    """Whether a file or folder is in the repository, the package or beside the one that names it, or has that name."""
    if any((folder / name).exists() for folder in (ROOT, PACKAGE, beside)):
        return True
    return "/" not in name and any(PACKAGE.rglob(name))


def is_module(dotted: str) -> bool:
    """Whether a dotted name begins with a module of the package; names inside it are left to the imports."""
    place = PACKAGE
    for part in dotted.split("."):
        if (place / f"{part}.py").is_file():
            return True
        place /= part
        if not place.is_dir():
            return False
    return True


def broken(text: str, beside: Path = ROOT) -> list[str]:
    """References of a text that lead nowhere."""
    found = [f"file {name}" for name in PATH.findall(text) if not exists(name, beside)]
    found += [f"module {name}" for name in DOTTED.findall(text) if not is_module(name)]
    found += [f"import {name}" for name in IMPORTED.findall(text) if name and not is_module(name)]
    found += [f"rule {rule}" for rule in re.findall(r"\bP\d\b", text) if rule not in rules()]
    found += [f"equation {number}" for number in cited(text) if number not in EQUATIONS]
    found += [f"section {number}" for number in sections(text) - SECTIONS]
    # Names of documents that are not part of the repository.
    return found + re.findall(r"\bspec(?:ification)? section \d+|\bbaseline protocol\b", text)


def broken_links(text: str, beside: Path) -> list[str]:
    """Links of a document to files or headings that do not exist."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        place = beside / path
        known = anchors(place.read_text("utf-8") if path and anchor and place.is_file() else text)
        if not place.exists() or (anchor and anchor not in known):
            found.append(target)
    return found


def broken_imports(text: str) -> list[str]:
    """Names that the code in a document or notebook imports and that the module does not have."""
    found = []
    for place, names in re.findall(r"^ *from lrrecsys_core\.?([\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        folder = PACKAGE.joinpath(*filter(None, place.split(".")))
        module = folder / "__init__.py" if not place else folder.with_suffix(".py")
        known = defined(module) if module.is_file() else set()
        for name in (part.split()[0] for part in names.split(",")):
            if name not in known and not (folder / f"{name}.py").is_file() and not (folder / name).is_dir():
                found.append(f"{place} has no {name}")
    return found


def words(source: Path) -> str:
    """The text of a module, or the cells of a notebook without what they printed."""
    text = source.read_text("utf-8")
    if source.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def equation_table(text: str) -> list[tuple[set[int], Path, list[str]]]:
    """The lines of the table of equations: numbers, file, and the classes or functions named."""
    lines = re.findall(rf"^\| Eq ({NUMBERS}) \|[^|]*\| `([\w/.]+)` \| ([^|]*) \|$", text, re.MULTILINE)
    return [(equations(a), PACKAGE / b, re.findall(r"`([A-Za-z_.]+)`", c)) for a, b, c in lines]


def defined(module: Path) -> set[str]:
    """Names of a module: classes, functions, constants, imports, and methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(module.read_text("utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_references_of_documents_resolve(document: Path) -> None:
    text = document.read_text("utf-8")
    assert broken(text, document.parent) + broken_links(text, document.parent) + broken_imports(text) == []


def test_references_of_docstrings_comments_and_notebooks_resolve() -> None:
    assert {path.name: found for path in SOURCES if (found := broken(words(path), path.parent))} == {}


def test_imports_of_notebooks_resolve() -> None:
    notebooks = [path for path in SOURCES if path.suffix == ".ipynb"]
    assert len(notebooks) == 7
    assert {path.name: found for path in notebooks if (found := broken_imports(words(path)))} == {}


def test_layers_of_the_readme_are_the_folders_of_the_package() -> None:
    tree = re.search(r"^lrrecsys_core/ +(.*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert tree is not None
    named = re.findall(r"[\w.]+/|\w+\.py", tree[1])
    assert [name for name in named if not (PACKAGE / name).exists()] == []
    folders = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert folders == {name for name in named if name.endswith("/")}


def test_every_equation_has_its_code_in_the_documents() -> None:
    table = equation_table((ROOT / "docs/equations.md").read_text("utf-8"))
    assert sorted(number for numbers, _, _ in table for number in numbers) == list(EQUATIONS)
    for numbers, module, names in table:
        assert module.is_file(), module
        assert names and set(names) <= defined(module), (module.name, names)
        assert numbers <= cited(module.read_text("utf-8")), (module.name, numbers)


@pytest.mark.parametrize(
    "text",
    [
        "see `models/nowhere.py`", "in lrrecsys_core/trainer/", "as `training.loops` says", "docs/nothing.md",
        "rule P9", "rules P1, P0", "(Eq 29)", "(Sec 3.9)", "App 8.1, 10.7",
        "Eq 6-9 and 26-30", "spec section 3", "baseline protocol",
        "    from lrrecsys_core.experiments import run",
    ],
)  # fmt: skip
def test_a_reference_that_leads_nowhere_is_found(text: str) -> None:
    assert broken(text)


@pytest.mark.parametrize("link", ["docs/none.md", "docs/protocol.md#nothing", "#nowhere"])
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert broken_links(f"[text]({link})", ROOT) == [link]


def test_an_import_that_leads_nowhere_is_found() -> None:
    assert broken_imports("from lrrecsys_core.study.study import Study, Nothing") == ["study.study has no Nothing"]
    assert broken_imports("from lrrecsys_core.experiments import Study") == ["experiments has no Study"]
    assert broken_imports("from lrrecsys_core import rows\nfrom lrrecsys_core.study.study import Study as System") == []


def test_good_references_pass() -> None:
    text = "`models/base.py`, `training.fit.fit`, rule P2, Eq 6-9 and 26-28, docs/protocol.md"
    assert broken(text) == []
    assert broken_links("[a](docs/protocol.md#rules) [b](https://example.org#x)", ROOT) == []
    assert cited("(Eq 2 and 25), 12 things, Eq 18-19") == {2, 25, 18, 19}

"""The record of what was collected: as committed, as the manifests say, and true of the files at hand."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from lrrecsys_core import paths
from lrrecsys_core.report.as_collected import as_collected, write_as_collected

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "as_collected.md"
DATA = Path(__file__).parents[3] / "shared" / "data"
FILE = re.compile(r"^\| `([\w.-]+)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def files(page: str) -> dict[str, tuple[int, str]]:
    """Bytes and checksum of each file the page lists, by its record's title and its name."""
    records = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    return {
        f"{record.splitlines()[0]}/{name}": (int(size.replace(",", "")), digest)
        for record in records
        for name, size, digest in FILE.findall(record)
    }


@pytest.fixture
def copy(root: Path) -> Path:
    """What the page is written from, in a folder that stands for the repository."""
    for name in ("docs/as_collected.toml", "results/demo/manifest.json", "results/texts"):
        source, target = REPOSITORY / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    return root


def test_the_committed_page_is_what_its_sources_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_collected(REPOSITORY), "run `lrrecsys report`"


def test_a_manifest_that_changes_changes_the_page(copy: Path) -> None:
    write_as_collected()
    before, manifest = (copy / "docs/as_collected.md").read_text(), copy / "results/demo/manifest.json"
    told = json.loads(manifest.read_text())
    said = f"seeds {told['seeds'][0]} to {told['seeds'][-1]}"
    assert before == PAGE.read_text() and said in before
    manifest.write_text(json.dumps(told | {"seeds": [900, 901]}))
    write_as_collected()
    assert (copy / "docs/as_collected.md").read_text() == before.replace(said, "seeds 900 to 901")


def test_every_record_answers_what_is_asked() -> None:
    records = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for record in records:
        asked = set(re.findall(r"^- ([^:]+): \S", record, re.MULTILINE))
        assert {"Collected by, from whom, when", "Obtained", "Terms"} <= asked, record.splitlines()[0]
    assert any("SmolLM2-135M" in record and record.startswith("Store") for record in records)


def test_files_of_the_repository_are_those_listed() -> None:
    listed = {name: told for name, told in files(PAGE.read_text()).items() if name.startswith("Store of texts")}
    assert listed
    for name, (size, digest) in listed.items():
        file = REPOSITORY / name.removeprefix("Store of texts ").replace("//", "/")
        assert (file.stat().st_size, paths.digest(file)) == (size, digest)


def test_files_beside_the_repository_are_those_listed() -> None:
    if not DATA.is_dir():
        pytest.skip("the real data are not beside the repository")
    found = {(file.name, file.stat().st_size, paths.digest(file)) for file in DATA.glob("*/*") if file.is_file()}
    real = {name: told for name, told in files(PAGE.read_text()).items() if not name.startswith("Store of texts")}
    assert len(real) >= 25
    assert {name for name, told in real.items() if (name.rpartition("/")[2], *told) not in found} == set()


def test_without_documents_nothing_is_written(root: Path) -> None:
    write_as_collected()
    assert not (root / "docs").exists()

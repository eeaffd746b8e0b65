"""`lrrecsys verify`: one changed number anywhere is named.

That the committed runs are whole, it says itself at the end of `make test`.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from lrrecsys_core import paths
from lrrecsys_core.app import verify
from lrrecsys_core.cli import main

DEMO = ("figures/demo", "figures/theory", "paper_tables/demo", "results/demo", "results/theory", "results/bench")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with what is committed of the run demo."""
    folder = tmp_path_factory.mktemp("root")
    for place in DEMO:
        kept = [file for file in (paths.repository() / place).rglob("*") if file.is_file()]
        for file in (
            kept if place not in ("results/demo", "results/theory") else [f for f in kept if f.name in _COMMITTED]
        ):
            target = folder / file.relative_to(paths.repository())
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return folder


_COMMITTED = ("manifest.json", "sums.json", "costs.csv", "report.html")


@pytest.fixture
def changed(demo: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """The root, for one change that is undone afterwards."""
    monkeypatch.setenv("LRRECSYS_ROOT", str(demo))
    before = {file: file.read_bytes() for file in demo.rglob("*") if file.is_file()}
    yield demo
    for file in demo.rglob("*"):
        if file.is_file() and file not in before:
            file.unlink()
    for file, content in before.items():
        if not file.is_file() or file.read_bytes() != content:
            file.write_bytes(content)


def one_number(content: bytes) -> bytes:
    """The content with the last digit of it one higher."""
    [*_, last] = re.finditer(rb"\d", content)
    at = last.start()
    return content[:at] + str((int(content[at : at + 1]) + 1) % 10).encode() + content[at + 1 :]


CHANGED = (
    "paper_tables/demo/table2.csv", "paper_tables/demo/table4.md", "paper_tables/demo/claims.tex",
    "figures/demo/fig06.png", "figures/demo/fig06.pdf", "figures/demo/data/fig06.csv", "figures/demo/data/parts.csv",
    "results/demo/report.html", "results/demo/manifest.json", "results/demo/costs.csv",
)  # fmt: skip


@pytest.mark.parametrize("names", [CHANGED, ("figures/demo/data/metrics.parquet",), ("results/demo/sums.json",)])
def test_one_changed_number_is_named(changed: Path, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    for name in names:
        file = changed / name
        file.write_bytes(one_number(file.read_bytes()))
    with pytest.raises(SystemExit) as caught:
        main(["verify", "--run", "demo"])
    assert caught.value.code == 1
    told = capsys.readouterr().err
    if names != ("results/demo/sums.json",):  # a changed hash names the file that it is the hash of
        assert [name for name in names if f"{name}: " not in told] == []


def test_a_number_of_an_aggregate_is_missed_in_every_table_even_with_fresh_hashes(changed: Path) -> None:
    """Whoever edits an aggregate and records its hash anew still has tables that do not follow from it."""
    file = changed / "figures" / "demo" / "data" / "metrics.parquet"
    frame = pl.read_parquet(file)
    frame.with_columns(value=pl.col("value") * 1.01).write_parquet(file)
    verify.record("demo")
    told = verify.problems("demo")
    assert any(line.startswith("paper_tables/demo/table2.csv: not what its aggregates give") for line in told)
    assert any(line.startswith("results/demo/report.html: not what its aggregates give") for line in told)


def test_a_table_edited_together_with_its_hash_is_named(changed: Path) -> None:
    file = changed / "paper_tables" / "demo" / "table2.md"
    file.write_bytes(one_number(file.read_bytes()))
    verify.record("demo")
    [line] = verify.problems("demo")
    assert line.startswith("paper_tables/demo/table2.md: not what its aggregates give")


def test_files_missing_or_of_nobody_are_named_and_partial_ones_are_not_read(changed: Path) -> None:
    (changed / "paper_tables" / "demo" / "table5.tex").unlink()
    (changed / "paper_tables" / "demo" / "table9.csv").write_text("1\n")
    (changed / "figures" / "demo" / ".fig10.0123abcd.partial.png").write_bytes(b"half")
    (changed / "figures" / "demo" / ".fig06_x.0123abcd.partial.png").write_bytes(b"half")
    told = verify.problems("demo")
    assert [line.partition(":")[0] for line in told] == [f"paper_tables/demo/table{k}" for k in ("5.tex", "9.csv")]


def test_a_manifest_that_names_other_outputs_is_stale(changed: Path) -> None:
    file = changed / "results" / "demo" / "manifest.json"
    told = json.loads(file.read_text())
    told["outputs"]["figures/demo/fig06.png"] = "0" * 64
    paths.write_json(file, told)
    sums = changed / "results" / "demo" / "sums.json"
    paths.write_json(sums, json.loads(sums.read_text()) | {"results/demo/manifest.json": paths.digest(file)})
    [line] = verify.problems("demo")
    assert line.startswith("results/demo/manifest.json: stale")


def test_a_run_without_hashes_is_named(changed: Path) -> None:
    (changed / "results" / "demo" / "sums.json").write_text('{"cut')
    [line] = verify.problems("demo")
    assert "sums.json: missing or damaged" in line

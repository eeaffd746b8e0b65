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
from lrrecsys_core.errors import InputError

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


def reported(*runs: str) -> list[Path | InputError]:
    return list(verify.redraw(runs))


@pytest.fixture
def undrawn(changed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with reports that draw nothing: what is refused and recorded does not rest on it."""
    drawn = [(run, paths.figures(run)) for run in ("theory", "demo")]
    monkeypatch.setattr(verify, "write_reports", lambda runs: drawn if runs else ())
    monkeypatch.setattr(verify, "draw_above", lambda: None)
    return changed


@pytest.mark.parametrize(
    "name", ["figures/demo/data/fig06.csv", "figures/theory/data/fig02.csv", "results/demo/manifest.json"]
)
def test_no_report_certifies_what_was_edited_by_hand(undrawn: Path, name: str) -> None:
    sums = undrawn / "results" / "demo" / "sums.json"
    file, before = undrawn / name, sums.read_bytes()
    file.write_bytes(one_number(file.read_bytes()))
    [refused] = reported("demo")
    assert isinstance(refused, InputError) and f"({name}): restore it, or run the run again by" in str(refused)
    assert sums.read_bytes() == before
    run = name.split("/")[1]
    [line] = [line for line in verify.problems(run) if line.startswith(f"{name}: edited")]
    assert line.endswith("; restore it, or run the run again") and "report" not in line
    if name.startswith("figures"):
        file.unlink()
        [refused] = reported("demo")
        assert isinstance(refused, InputError) and name in str(refused)
        assert verify.edited(run) == [name]


def test_other_outputs_of_a_manifest_and_new_aggregates_are_redrawn(undrawn: Path) -> None:
    file, sums = (undrawn / "results" / "demo" / name for name in ("manifest.json", "sums.json"))
    before = file.read_bytes()
    told = json.loads(before)
    paths.write_json(file, told | {"outputs": told["outputs"] | {"figures/demo/fig06.png": "0" * 64}})
    assert verify.edited("demo") == [] and len(reported("demo")) == 2
    assert file.read_bytes() == before
    new = undrawn / "figures" / "demo" / "data" / "new.csv"
    new.write_text("x\n1\n")
    paths.write_json(file, told | {"outputs": {}})
    lines = verify.problems("demo")
    assert f"figures/demo/data/new.csv: nothing recorded made it; {verify.MEND}" in lines
    assert f"results/demo/manifest.json: edited by hand, or stale; {verify.MEND}" in lines
    assert len(reported("demo")) == 2 and new.relative_to(undrawn).as_posix() in json.loads(sums.read_text())
    sums.unlink()
    assert len(reported("demo")) == 2 and verify.problems("demo") == []


def test_a_run_may_change_what_it_keeps_and_records_it(changed: Path) -> None:
    file = changed / "results" / "demo" / "manifest.json"
    paths.write_json(file, json.loads(file.read_text()) | {"status": "partial"})
    assert verify.edited("demo") == ["results/demo/manifest.json"]
    verify.record("demo")
    assert verify.edited("demo") == []
    (changed / "results" / "demo" / "manifest.json").write_text('{"cut')
    assert verify.edited("demo") == ["results/demo/manifest.json"]


@pytest.fixture
def told(changed: Path) -> Path:
    """The same, with what the page about the data is made of."""
    (changed / "docs").mkdir(exist_ok=True)
    shutil.copy(paths.repository() / "docs" / "as_collected.toml", changed / "docs")
    return changed


def test_where_nothing_was_drawn_of_all_nothing_is_missed(changed: Path) -> None:
    assert verify.problems_above() == []


def test_what_lies_above_the_runs_is_verified(
    told: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "known_runs", lambda: [])  # only what lies above them
    verify.draw_above()
    assert verify.problems_above() == []
    names = [f"figures/claim_matrix.{suffix}" for suffix in ("pdf", "png", "svg")]
    left = json.loads((told / "results" / "sums.json").read_text())
    assert sorted(left["drawings"]) == names and list(left["sources"]) == ["paper_tables/demo/verdicts.csv"]
    (told / names[0]).unlink()
    (told / "figures" / "real_ratings.svg").write_text("<svg/>")
    for name in (names[2], "docs/as_collected.md", "paper_tables/demo/verdicts.csv"):
        (told / name).write_bytes(one_number((told / name).read_bytes()))
    with pytest.raises(SystemExit):
        main(["verify"])
    lines = capsys.readouterr().err.splitlines()
    for start in (
        f"{names[0]}: missing", f"{names[2]}: edited by hand", "figures/real_ratings.svg: nothing recorded made it",
        "docs/as_collected.md: not what docs/as_collected.toml", "results/sums.json: stale: drawn above the runs",
    ):  # fmt: skip
        [line] = [line for line in lines if line.startswith(start)]
        assert line.endswith("; run `lrrecsys report`")
    assert not any(line.startswith(names[1]) for line in lines)
    (told / "results" / "sums.json").unlink()
    assert verify.problems_above()[-1].startswith("results/sums.json: missing or damaged")


def test_the_page_about_the_data_needs_its_sources(told: Path) -> None:
    (told / "results" / "demo" / "manifest.json").unlink()
    [line] = verify.problems_above()
    assert line.startswith("docs/as_collected.md: docs/as_collected.toml or a manifest in results/ cannot be read")
    verify.draw_above()
    assert not (told / "docs" / "as_collected.md").exists()


def test_runs_of_the_demo_alone_are_shown_above() -> None:
    shown = [run for run in ("demo", "demo-yelp", "demo.global-time", "smoke", "theory") if verify.shown_above(run)]
    assert shown == ["demo", "demo-yelp"]

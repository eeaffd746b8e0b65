from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

import lrrecsys_core
from lrrecsys_core import paths
from lrrecsys_core.app.kernel import OwnKernel
from lrrecsys_core.app.runner import (
    NotebookError,
    check_parameters,
    find_notebooks,
    notebook_parameters,
    parse_value,
    run_notebooks,
)
from lrrecsys_core.errors import InputError

PARAMETERS = 'profile: str = "smoke"\ndatasets: list = []\nseed: int = 0'


def write_notebook(root: Path, name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
    """Write a notebook with a title, a parameters cell and further code cells."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Title"), first, *map(nbformat.v4.new_code_cell, cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    return path


def manifest_of(root: Path, run: str = "smoke") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "results" / run / "manifest.json").read_text())
    return content


WRITE = "from lrrecsys_core import paths\n(paths.tables(profile) / 'table1.csv').write_text(f'seed,{seed}\\n');"
# What `run_rows` and the simulations do; the runner reads it while the notebook runs.
TELL = """import os
from lrrecsys_core.terminal import PROGRESS_VARIABLE, track
list(track(range(2), 2, "rows", kept=1))
with open(os.environ[PROGRESS_VARIABLE]) as told:
    assert told.read() == "rows\\t3\\t3"
"""


def test_a_run_leaves_copies_outputs_and_a_manifest(root: Path) -> None:
    write_notebook(root, "01_first", WRITE, TELL)
    write_notebook(root, "02_second", "import os\nassert os.path.basename(os.getcwd()) == 'notebooks'\nseed")
    manifest = run_notebooks("smoke", parameters={"seed": 3}, progress=False)
    record = json.loads(manifest.read_text())
    assert (root / "paper_tables" / "smoke" / "table1.csv").read_text() == "seed,3\n"
    assert record["status"] == "complete"
    assert not (manifest.parent / ".progress").exists()
    assert record["outputs"] == {
        "paper_tables/smoke/table1.csv": paths.digest(root / "paper_tables" / "smoke" / "table1.csv")
    }
    assert record["parameters"] == {"profile": "smoke", "seed": 3}
    assert record["seeds"][0] == 200
    assert set(record["notebooks"]) == {"01_first", "02_second"}
    assert record["notebooks"]["01_first"]["peak_memory_mib"] > 1
    assert record["versions"]["papermill"] == "2.7.0"
    assert sorted(file.name for file in (root / "results" / "smoke" / "notebooks").iterdir()) == [
        "01_first.ipynb",
        "02_second.ipynb",
    ]


def test_stores_of_texts_are_found_from_the_callers_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lrrecsys_core.explain.store import ExplanationStore

    ExplanationStore(root / "mine.sqlite").close()
    (root / "encoder").mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("LRRECSYS_STORES", "gpt-2=mine.sqlite")
    monkeypatch.setenv("LRRECSYS_ENCODER", "encoder")
    names = "from pathlib import Path\nimport os\nfrom lrrecsys_core.explain.named_stores import stores\n"
    check = "assert Path(stores()['gpt-2'].path).is_file() and Path(os.environ['LRRECSYS_ENCODER']).is_dir()"
    write_notebook(root, "01_first", names + check)
    run_notebooks("smoke", progress=False)
    assert manifest_of(root)["texts"] == {"gpt-2": paths.digest(root / "mine.sqlite")}
    monkeypatch.setenv("LRRECSYS_STORES", "metadata,gpt-2=mine.sqlite")
    run_notebooks("smoke", progress=False)
    assert os.environ["LRRECSYS_STORES"] == f"metadata,gpt-2={root / 'mine.sqlite'}", "programmes still come first"
    monkeypatch.setenv("LRRECSYS_STORES", "gpt-2=other.sqlite")
    with pytest.raises(InputError, match="nothing is"):
        run_notebooks("smoke", progress=False)


WHERE = "import sys, lrrecsys_core\nfrom lrrecsys_core import paths\nplace = paths.tables(profile) / 'where.csv'"


def test_notebooks_run_under_this_interpreter_and_package_whatever_kernelspecs_exist(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    (other / "lrrecsys_core").mkdir(parents=True)
    (other / "lrrecsys_core" / "__init__.py").write_text("raise SystemExit('another package')")
    for kernel in ("python3", "lrrecsys"):
        spec = tmp_path / "jupyter" / "kernels" / kernel
        spec.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        told = {"argv": argv, "display_name": kernel, "language": "python", "env": {"PYTHONPATH": str(other)}}
        (spec / "kernel.json").write_text(json.dumps(told))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    write_notebook(
        root,
        "01_first",
        f"{WHERE}\nplace.write_text(f'{{sys.executable}},{{lrrecsys_core.__file__}}');",
    )
    run_notebooks("smoke", progress=False)
    told = (root / "paper_tables" / "smoke" / "where.csv").read_text()
    assert told == f"{sys.executable},{lrrecsys_core.__file__}"


@pytest.mark.parametrize(
    "name", ["{profile}", "{seed} and {0}", "{", "a}b", "{connection_file}", "100% $HOME; 'it\"s'", "ü 漢"]
)
def test_any_folder_can_be_root_and_hold_the_notebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = tmp_path / name
    root.mkdir()
    monkeypatch.setenv("LRRECSYS_ROOT", str(root))
    monkeypatch.syspath_prepend(str(root))
    write_notebook(root, "01_first", WRITE)
    run_notebooks("smoke", parameters={"seed": 3}, progress=False)
    assert (root / "paper_tables" / "smoke" / "table1.csv").read_text() == "seed,3\n"
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert [file.name for file in (root / "results" / "smoke" / "notebooks").iterdir()] == ["01_first.ipynb"]


@pytest.mark.slow
def test_of_two_runs_of_one_name_the_second_ends_with_a_sentence(root: Path) -> None:
    write_notebook(root, "01_first", "import time\ntime.sleep(60)")
    command = [sys.executable, "-m", "lrrecsys_core.cli", "reproduce", "--profile", "smoke"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list((root / "results").rglob("*.partial.ipynb")) and time.monotonic() < deadline:
            time.sleep(0.1)
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 2
        assert "is being written by another process" in second.stderr
        assert second.stderr.count("\n") == 1
    finally:
        first.kill()
        first.wait()
    write_notebook(root, "01_first", "1")
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert sorted(file.name for file in (root / "results" / "smoke" / "notebooks").iterdir()) == ["01_first.ipynb"]


def test_the_next_kernel_waits_with_its_imports_done_and_none_is_left(root: Path) -> None:
    """The second was started beside the first, and what its second cell imports is there before its first cell runs."""
    first = "import os, psutil, time\nfrom lrrecsys_core import paths\ntime.sleep(1)\n"
    first += "beside = [child.pid for child in psutil.Process(os.getppid()).children()]\n"
    write_notebook(root, "01_first", first + "(paths.tables(profile) / 'beside.json').write_text(str(beside));")
    second = "import json, os, sys\nfrom lrrecsys_core import paths\n"
    second += "about = [os.getpid(), 'lrrecsys_core.theory.rates' in sys.modules]\n"
    second += "(paths.tables(profile) / 'second.json').write_text(json.dumps(about));"
    write_notebook(root, "02_second", second, "from lrrecsys_core.theory.rates import lasso_rate")
    before = {child.pid for child in psutil.Process().children()}
    run_notebooks("smoke", progress=False)
    tables = root / "paper_tables" / "smoke"
    process, imported = json.loads((tables / "second.json").read_text())
    assert imported and process in json.loads((tables / "beside.json").read_text())
    assert {child.pid for child in psutil.Process().children()} <= before and not OwnKernel.waiting


def test_a_waiting_kernel_that_died_is_replaced_and_one_that_is_not_needed_ends(root: Path) -> None:
    kill = "import os, psutil, signal\nfor child in psutil.Process(os.getppid()).children():\n"
    kill += "    child.pid == os.getpid() or child.send_signal(signal.SIGKILL)"
    write_notebook(root, "01_first", kill)
    write_notebook(root, "02_second", "1 / 0")
    third = write_notebook(root, "03_third", WRITE)
    with pytest.raises(NotebookError, match="ZeroDivisionError"):
        run_notebooks("smoke", progress=False)
    assert not OwnKernel.waiting
    OwnKernel.prepare(third)
    waiting = OwnKernel.waiting.pop()
    waiting.communicate()  # closes its standard input, as the end of this process would
    assert waiting.returncode == 0


def test_the_first_failing_cell_stops_the_run_and_is_named(root: Path) -> None:
    write_notebook(root, "01_bad", "1 + 1", "# why\nvalue = 1 / 0\n")
    write_notebook(root, "02_never", WRITE)
    with pytest.raises(NotebookError) as caught:
        run_notebooks("smoke", progress=False)
    message = str(caught.value)
    assert "01_bad stopped in cell 4 (value = 1 / 0): ZeroDivisionError: division by zero" in message
    assert "\n" not in message
    assert not (root / "paper_tables" / "smoke" / "table1.csv").exists()
    assert [file.name for file in (root / "results" / "smoke" / "notebooks").iterdir()] == ["01_bad.failed.ipynb"]
    assert not (root / "results" / "smoke" / "manifest.json").exists() or manifest_of(root)["status"] == "running"


def test_a_dead_kernel_is_reported(root: Path) -> None:
    write_notebook(root, "01_dead", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(NotebookError, match="01_dead stopped with its kernel"):
        run_notebooks("smoke", progress=False)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sede": 1}, "no parameter 'sede': choose among profile, datasets, seed"),
        ({"seed": "1"}, r"must be int, not '1' \(str\)"),
        ({"seed": True}, "must be int, not True"),
        ({"seed": 1.0}, "must be int, not 1.0"),
        ({"datasets": ["x"]}, "give 'datasets' by --datasets"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_written(
    root: Path, parameters: dict[str, Any], message: str
) -> None:
    write_notebook(root, "01_first", WRITE)
    with pytest.raises(InputError, match=message):
        run_notebooks("smoke", parameters=parameters, progress=False)
    assert [entry.name for entry in root.iterdir()] == ["notebooks"]


def test_a_list_with_something_papermill_would_turn_into_text_is_refused() -> None:
    with pytest.raises(InputError, match="must be list"):
        check_parameters({"grid": [Path("x")]}, {"grid": []}, "01")
    check_parameters({"grid": [1, "a", {"b": None}], "rate": 1}, {"grid": [], "rate": 0.5}, "01")


@pytest.mark.parametrize(
    ("profile", "datasets", "message"),
    [
        ("huge", [], "no profile 'huge'"),
        ("smoke", ["movielens"], "must be written kind:path"),
        ("smoke", ["movielens:nowhere"], "there is no file or folder 'nowhere'"),
    ],
)
def test_bad_profile_and_data(root: Path, profile: str, datasets: list[str], message: str) -> None:
    write_notebook(root, "01_first")
    with pytest.raises(InputError, match=message):
        run_notebooks(profile, datasets, progress=False)


def test_data_sets_name_the_run_and_reach_the_notebooks_by_absolute_path(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "ml").mkdir()
    (root / "ml" / "ratings.csv").write_text("1,2,3\n")
    monkeypatch.chdir(root)
    write_notebook(
        root, "01_first", "from pathlib import Path\nassert Path(datasets[0].partition(':')[2]).is_absolute()"
    )
    run_notebooks("smoke", ["movielens:ml"], progress=False)
    record = manifest_of(root, "smoke-movielens")
    assert record["inputs"] == {"movielens": {"ml": paths.digest(root / "ml")}}
    assert str(root) not in json.dumps(record)


def test_a_table_with_options_and_a_second_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine.csv", "texts.json"):
        (root / name).write_text("x\n")
    monkeypatch.chdir(root)
    wanted = (
        f"assert datasets == ['table:{root / 'mine.csv'}?user=u', 'other:{root / 'mine.csv'},{root / 'texts.json'}']"
    )
    write_notebook(root, "01_first", wanted)
    run_notebooks("smoke", ["table:mine.csv?user=u", "other:mine.csv,texts.json"], progress=False)
    assert set(manifest_of(root, "smoke-mine-other")["inputs"]["other"]) == {"mine.csv", "texts.json"}


@pytest.mark.parametrize("cell", ["seed: int = 1 + 1 + int()", "import os", "seed: int", "seed ="])
def test_a_parameters_cell_holds_literals_only(root: Path, cell: str) -> None:
    path = write_notebook(root, "01_first", parameters=cell)
    with pytest.raises(InputError, match="only 'name = literal' lines"):
        notebook_parameters(path)


def test_parameters_are_read_with_their_defaults(root: Path) -> None:
    path = write_notebook(root, "01_first", parameters='profile: str = "smoke"  # size\nrate = -0.5\ngrid = [1, 2]')
    assert notebook_parameters(path) == {"profile": "smoke", "rate": -0.5, "grid": [1, 2]}


@pytest.mark.parametrize(
    ("text", "default", "value"), [("1", "", "1"), ("1", 0, 1), ("[1]", [], [1]), ("1e-3", 0.1, 1e-3)]
)
def test_text_is_read_by_the_type_of_the_default(text: str, default: Any, value: Any) -> None:
    assert parse_value(text, default, "x") == value


def test_text_of_another_type_is_refused() -> None:
    with pytest.raises(InputError, match="must be int written as JSON, not 'three'"):
        parse_value("three", 0, "seed")


def test_notebooks_come_in_order_and_can_be_chosen(root: Path) -> None:
    for name in ("02_b", "01_a", "10_c"):
        write_notebook(root, name)
    assert [path.stem for path in find_notebooks()] == ["01_a", "02_b", "10_c"]
    assert [path.stem for path in find_notebooks(["10", "01_a"])] == ["01_a", "10_c"]
    with pytest.raises(InputError, match="no notebook '03': choose among 01_a, 02_b, 10_c"):
        find_notebooks(["03"])


# Each notebook does its work in small steps, each kept in a file of its own as the study keeps its cells.
STEPS = """
import time
from lrrecsys_core import paths
done = paths.results(profile) / "cells"
for step in range(4):
    cell = done / f"NAME{step}.txt"
    if not cell.exists():
        time.sleep(0.1)
        with (done.parent / "log.txt").open("a") as log:
            log.write(cell.name + "\\n")
        with paths.replacing(cell) as partial:
            partial.write_text(f"{step * 7}\\n")
table = "".join(f.read_text() for f in sorted(done.glob("NAME*.txt")))
with paths.replacing(paths.tables(profile) / "NAME.csv") as partial:
    partial.write_text(table);
"""


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_the_tables_are_the_same(root: Path) -> None:
    for name in ("a", "b"):
        write_notebook(root, f"0{ord(name) - 96}_{name}", STEPS.replace("NAME", name))
    command = [sys.executable, "-m", "lrrecsys_core.cli", "reproduce", "--profile", "smoke"]
    rng = random.Random(0)
    kills = 0
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(1.0, 6.0))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            time.sleep(1.2)  # an orphaned kernel notices within a second
        for file in (root / "results").rglob("*.json"):
            json.loads(file.read_text())
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert manifest_of(root)["status"] == "complete"
    for name in ("a", "b"):
        assert (root / "paper_tables" / "smoke" / f"{name}.csv").read_text() == "0\n7\n14\n21\n"
    started = (root / "results" / "smoke" / "log.txt").read_text().splitlines()
    assert len(started) - len(set(started)) <= kills
    leftovers = [file.name for file in (root / "results" / "smoke" / "notebooks").iterdir()]
    assert sorted(leftovers) == ["01_a.ipynb", "02_b.ipynb"]

"""The command line on bad numbers, wrong places and full disks: one sentence with path and reason, status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from odd_server import completion, odd_server, prompt

from lrrecsys_core.cli import main
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.recorded import Recorded
from lrrecsys_core.explain.store import ExplanationStore

TABLE = "user_id,item_id,rating,timestamp,name\nu,a,5,1,Tea\nu,b,4,2,Sea\nu,c,1,3,Pea\nv,a,3,4,Tea\n"
RUN = ["run", "--llm", "metadata", "--store", "STORE"]
EXPORT = ["export", "--llm", "endpoint:m", "--store", "STORE", "--variant", "no_profile"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("own.csv").write_text(TABLE)
    Path("folder").mkdir()
    Path("file").write_text("a file")
    Path("loop").symlink_to("loop")
    with ExplanationStore("good") as store:
        one = Request((("user", "x"),), template="t\x1b[2J@1")
        store.add(one, Result(one.key("m@1"), "a text"), Recorded("M\x1b]0;x\x07", "m@1"))
        other = Request((("user", "y"),), template="t@1")
        store.add(other, Result(other.key("m@1"), None, error="said \x1b[31m\x9b2J"), Recorded("M", "m@1"))
    return tmp_path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["explain", *arguments])
    said = capsys.readouterr().err.rpartition("\r")[2]  # behind the bars of a run
    said = said.partition("prompt/s")[2].partition("\n")[2] or said
    assert caught.value.code == 2 and said.startswith("lrrecsys: ") and said.count("\n") == 1, said
    assert len(said) < 450
    return said


def asking(*arguments: str) -> list[str]:
    return [*arguments, "--data", "table:own.csv?timestamp=timestamp&name=name&domain=movie"]


@pytest.mark.parametrize(
    "option",
    [
        ("run", "--concurrency", "0"), ("run", "--concurrency", "-1"), ("run", "--batch-size", "0"),
        ("run", "--limit", "0"), ("run", "--timeout", "0"), ("run", "--timeout", "nan"), ("run", "--fraction", "0"),
        ("run", "--fraction", "nan"),
        ("plan", "--rate", "0"), ("plan", "--rate", "-2"), ("plan", "--rate", "nan"), ("plan", "--rate", "inf"),
        ("plan", "--price-in", "-1"), ("plan", "--price-out", "nan"), ("export", "--lines", "0"),
    ],
)  # fmt: skip
def test_numbers_that_mean_nothing_are_refused_with_their_option(
    option: tuple[str, str, str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, name, number = option
    common = {"run": RUN, "export": [*EXPORT, "--folder", "out"], "plan": ["plan"]}[command]
    assert name in refused(asking(*common, name, number), capsys)
    assert not Path("STORE").exists() and not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "names", "reason"),
    [
        (["status", "--store", "folder"], "folder", "is no file"),
        (["status", "--store", "none"], "none", "does not exist"),
        (["status", "--store", "file"], "file", "not an explanation store"),
        (["status", "--store", "file/s"], "file/s", "does not exist"),
        (["status", "--store", "loop"], "loop", "does not exist"),
        (["status", "--store", "/dev/full"], "/dev/full", "is no file"),
        (["merge", "--store", "folder", "good"], "folder", "is no file"),
        (["merge", "--store", "file/s", "good"], "file", "File exists"),
        (["merge", "--store", "loop", "good"], "loop", "cannot be opened"),
        (["merge", "--store", "good", "folder"], "folder", "is no file"),
        (["merge", "--store", "good", "file"], "file", "not an explanation store"),
        (["merge", "--store", "x" * 300, "good"], "x" * 9, "File name too long"),
        (["freeze", "--store", "good", "--folder", "file"], "file", "File exists"),
        (["freeze", "--store", "good", "--folder", "file/f"], "file", "Not a directory"),
        (["import", "--store", "good", "folder"], "folder", "Is a directory"),
        (["import", "--store", "good", "none"], "none", "No such file"),
        ([*EXPORT[:3], "--store", "file", "--folder", "out", "--data", "market:movies@smoke"], "file", "not an explan"),
        (["prompts", "--copy", "house", "file"], "file", ""),
    ],
)  # fmt: skip
def test_wrong_places_are_one_sentence_with_path_and_reason(
    arguments: list[str], names: str, reason: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(arguments, capsys)
    assert names in said and reason in said, said
    assert len(ExplanationStore("good", write=False)) == 2 and Path("file").read_text() == "a file"


def test_a_full_disk_names_the_file_of_a_frozen_store(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/answers-0000.parquet").symlink_to("/dev/full")
    said = refused(["freeze", "--store", "good", "--folder", "out"], capsys)
    assert "out/answers-0000.parquet cannot be used (No space left on device)" in said
    assert not Path("out/manifest.json").exists()


LIMITED = """
import contextlib, resource
from lrrecsys_core.explain.clients.batch_files import export_batch
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.llm import Request

class Store:
    def texts(self, keys): return {}
    def add(self, *_): pass
    def together(self): return contextlib.nullcontext()

resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    export_batch([Request((("user", str(k)),)) for k in range(99)], Endpoint("m"), Store(), "out")
except OSError as error:
    print(error.filename, error.strerror)
"""


def test_a_full_disk_names_the_request_file(place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=120)
    assert done.stdout == "out/requests-0000.jsonl File too large\n", done.stderr


def test_output_that_cannot_be_written_is_one_sentence(place: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lrrecsys_core.cli", "explain", "status", "--store", "good"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("lrrecsys: standard output cannot be used (No space left on device): ")
    assert done.stderr.count("\n") == 1


def test_no_text_of_a_store_commands_the_terminal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "status", "--store", "good"])
    said = capsys.readouterr().out
    assert r"said \x1b[31m\x9b2J" in said and r"(M\x1b]0;x\x07), t\x1b[2J@1" in said
    assert not set(said) & set("\x1b\x9b\x07")
    Path("own.csv").write_text("user_id,item_id,rating\nu,i,\x1b[2J\n")
    assert "\x1b" not in refused(["run", "--llm", "metadata", "--store", "STORE", "--data", "table:own.csv"], capsys)


def test_a_run_stops_after_failed_profiles_until_told_to_go_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts about records hold the profiles: asked with names in their place they would all be asked again."""

    def answer(body: dict[str, object]) -> tuple[int, object]:
        return (400, "no") if "Pea" in prompt(body) else (200, completion("A fine tea."))

    def failed() -> tuple[int, int]:
        with ExplanationStore("STORE", write=False) as store:
            return len(store), sum(count for _, count in store.failures())

    with odd_server(answer) as (url, asked), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRRECSYS_BASE_URL", url)
        for _ in range(2):
            said = refused(asking("run", "--llm", "endpoint:m", "--store", "STORE"), capsys)
            assert "1 of 3 profiles have no answer" in said and "--go-on" in said
            assert failed() == (3, 1)
        assert len(asked.bodies) == 3 + 1
        main(["explain", *asking("run", "--llm", "endpoint:m", "--store", "STORE", "--go-on")])
        assert failed()[0] > 3

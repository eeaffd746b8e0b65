"""No text that a command prints can command the terminal, and what is done of all is shown where it is watched."""

from __future__ import annotations

import ast
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import IPython
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrrecsys_core
from lrrecsys_core.terminal import PROGRESS_VARIABLE, Watched, harmless, say, track

PACKAGE = Path(lrrecsys_core.__file__).parent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"), ("\x9b2J", r"\x9b2J"), ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\rb\x08\x00\x7f", r"a\rb\x08\x00\x7f"), ("\u202eback\u2066", r"\u202eback\u2066"), ("\ud800", r"\ud800"),
        ("a\u2028b\u0085c", r"a\u2028b\x85c"), ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("日本 ünï 👩‍👧 a\u00a0b", "日本 ünï 👩‍👧 a\u00a0b"),
    ],
)  # fmt: skip
def test_what_commands_a_terminal_is_written_out(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert harmless(text) == shown
    say(text)
    say(text, err=True)
    assert capsys.readouterr() == (shown + "\n", shown + "\n")


@given(
    st.text(
        st.characters(categories=["Cc", "Zl", "Zp", "Cs", "Lu", "Po"]) | st.sampled_from("\u202a\u202e\u2069\u200f")
    )
)
def test_nothing_of_the_kind_is_left(text: str) -> None:
    left = {unicodedata.category(sign) for sign in harmless(text)} if not set(text) <= {"\n", "\t"} else set()
    assert not left & {"Zl", "Zp", "Cs", "Cf"}
    assert not [sign for sign in harmless(text) if unicodedata.category(sign) == "Cc" and sign not in "\n\t"]


def test_commands_print_in_no_other_way() -> None:
    for file in [PACKAGE / "cli.py", PACKAGE / "explain" / "cli.py"]:
        for node in ast.walk(ast.parse(file.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called not in ("print", "click.echo", "click.secho", "echo", "sys.stdout.write"), f"{file}: {called}"


def test_a_bar_says_what_is_done_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), 3, "rows")) == ["a", "b", "c"]
    said = capsys.readouterr()
    assert "rows: 100%" in said.err and "3/3" in said.err
    assert list(track(range(2), 2, "rows", shown=False)) == [0, 1]
    assert capsys.readouterr() == ("", "")


def test_a_runner_is_told_the_cells_of_the_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    now = [100.0]
    monkeypatch.setattr("lrrecsys_core.terminal.time.time", lambda: now[0])
    with Watched("run demo", tmp_path / "told") as watched:
        watched.look(2**20)
        assert watched.bar.total is None
        watched.bar._time = lambda: now[0]
        work = track(range(4), 4, "rows", kept=10, later=6)
        for done, _ in enumerate(work, 11):
            watched.look(2**20)
            assert (watched.bar.n, watched.bar.total, watched.bar.desc) == (done, 20, "run demo, rows")
            now[0] += 3.0
        # Three done in twelve seconds since the bar began to count, and six left: what was kept took no time.
        assert "14/20 [00:12<00:24" in str(watched.bar)
        list(track(range(1), 1, "texts"))
        watched.look(2**20)
        assert (watched.bar.n, watched.bar.total, watched.bar.initial) == (1, 1, 1)
    assert not (tmp_path / "told").exists()
    said = capsys.readouterr()
    assert said.out == "" and ": done" not in said.err


def test_where_nobody_looks_a_run_is_a_line_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Watched("run demo, 01_data", tmp_path / "told") as watched:
        list(track(range(3), 3, "rows"))
        watched.look(2**20)
    assert capsys.readouterr().err == "run demo, 01_data: done\n"
    with pytest.raises(ValueError), Watched("run demo, 02", tmp_path / "told"):
        raise ValueError
    with Watched("run demo, 03", tmp_path / "told", shown=False):
        pass
    assert capsys.readouterr().err == ""


def test_in_a_notebook_the_bar_is_below_the_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(PROGRESS_VARIABLE, raising=False)
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=True))
    lines: list[str] = []

    def display(line: dict[str, str], **_: object) -> SimpleNamespace:
        lines.append(line["text/plain"])
        return SimpleNamespace(update=lambda line, **_: lines.append(line["text/plain"]))

    monkeypatch.setattr("IPython.display.display", display)

    def slowly() -> Iterator[int]:
        yield 1
        assert "0/2" in lines[0]
        yield 2

    assert list(track(slowly(), 2, "texts")) == [1, 2]
    assert "2/2" in lines[-1]
    assert capsys.readouterr() == ("", "")

"""No text that a command prints can command the terminal."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrrecsys_core
from lrrecsys_core.terminal import harmless, say

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

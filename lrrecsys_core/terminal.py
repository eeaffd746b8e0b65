"""What commands print: texts of LLMs, files and servers go to a terminal, and none of them may command it."""

from __future__ import annotations

import re
from pathlib import Path

import click

from lrrecsys_core.paths import naming

# C0 and C1 controls other than tab and line feed, marks that turn the direction of writing, and lone surrogates.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    r"""The text with whatever could command a terminal written out, such as ``\x1b``."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: object = "", *, err: bool = False) -> None:
    """Print a line of a command, on standard error if so wished.

    Raises
    ------
    OSError
        When it cannot be written: a full disk, or nobody reads any more.
    """
    with naming(Path("standard error" if err else "standard output")):
        click.echo(harmless(str(text)), err=err)

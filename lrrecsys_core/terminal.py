"""What a command or notebook shows while it works: lines that cannot command a terminal, and how far it is."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from tqdm import tqdm

from lrrecsys_core.paths import naming

T = TypeVar("T")
PROGRESS_VARIABLE: Final = "LRRECSYS_PROGRESS"  # a file in which a runner reads how far its notebook is
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


class _BelowCell(tqdm):
    """A bar below the cell of a notebook that draws it, where standard error stays silent."""

    shown: Any = None

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        from IPython.display import display

        line = {"text/plain": msg or str(self)}
        if self.shown is None:
            self.shown = display(line, raw=True, display_id=True)
        else:
            self.shown.update(line, raw=True)


def track(
    work: Iterable[T], total: int, what: str, *, kept: int = 0, later: int = 0, shown: bool = True
) -> Iterator[T]:
    """Yield what `work` yields as it gets done, and show how much that is and how long the rest will take.

    Shown is a bar, on standard error or below the cell of a notebook. Under a runner, which names a file in the
    environment, it is the runner's to draw.

    Parameters
    ----------
    total : how many there will be.
    kept, later : how many of the whole run were done before, and will be due afterwards: the runner counts them too.
    """
    told = os.environ.get(PROGRESS_VARIABLE)
    kernel = "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel")
    kind, file = (_BelowCell, io.StringIO()) if kernel else (tqdm, sys.stderr)
    with kind(total=total, desc=what, unit="", file=file, disable=not shown or bool(told), ncols=100) as bar:
        for done, item in enumerate(work, 1):
            if told:
                Path(told).write_text(f"{what}\t{kept + done}\t{kept + total + later}", encoding="utf-8")
            bar.update()
            yield item


class Watched:
    """The bar of a runner: what `track` tells in `file` while the block runs, of all, with the time left.

    Not on a terminal it is one line, when the block has ended well.
    """

    def __init__(self, about: str, file: Path, shown: bool = True) -> None:
        self._about, self._file, self._shown = about, file, shown
        self.bar = tqdm(desc=about, unit="", smoothing=0, disable=not (shown and sys.stderr.isatty()))

    def __enter__(self) -> Watched:
        os.environ[PROGRESS_VARIABLE] = str(self._file)  # kernels inherit it
        return self

    def __exit__(self, *exception: object) -> None:
        del os.environ[PROGRESS_VARIABLE]
        self._file.unlink(missing_ok=True)
        drawn = not self.bar.disable
        self.bar.close()
        if self._shown and not drawn and exception[0] is None:
            say(f"{self._about}: done", err=True)

    def look(self, memory: int) -> None:
        """Read what was told, and redraw; `memory` in bytes."""
        bar = self.bar
        if bar.disable:
            return
        with suppress(OSError, ValueError):  # nothing told yet, or just being written
            what, done, total = self._file.read_text(encoding="utf-8").split("\t")
            about = f"{self._about}, {what}"
            if (bar.desc, bar.total) != (about, int(total)):  # another stage: a rate and time left of its own
                bar.desc, bar.total, bar.initial, bar.start_t = about, int(total), int(done), time.time()
            bar.n = int(done)
        bar.set_postfix_str(f"{memory / 2**20:,.0f} MiB")

"""SQLite files: one writer at a time, readers who need write nothing, and one sentence for whatever goes wrong."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from lrrecsys_core.errors import InputError

REASONS = {  # primary result codes
    sqlite3.SQLITE_BUSY: "is in use by another process: wait for it or stop it",
    sqlite3.SQLITE_LOCKED: "is in use by another process: wait for it or stop it",
    sqlite3.SQLITE_FULL: "has no room left on its disk: free some and run the same command again",
    sqlite3.SQLITE_IOERR: "cannot be read or written: see to its disk and run the same command again",
    sqlite3.SQLITE_READONLY: "may only be read: free the file and its folder, or copy it to where you may write",
    sqlite3.SQLITE_PERM: "may not be opened: ask for the right to, or name another file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: see that it is a file, and that you may write to its folder",
    sqlite3.SQLITE_CORRUPT: "is damaged: take up a copy of it, or begin another store",
    sqlite3.SQLITE_NOTADB: "is not an explanation store: name another file",
    sqlite3.SQLITE_ERROR: "is not an explanation store: name another file",
}


def told(path: Path, error: sqlite3.Error) -> InputError:
    """What went wrong with a file, in one sentence."""
    said = REASONS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "cannot be used: name another file")
    what, colon, way = said.partition(":")
    return InputError(f"{path} {what} ({error}){colon}{way}")


def _in_a_sentence(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(cursor: Cursor, *arguments: Any) -> Any:
        try:
            return method(cursor, *arguments)
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError):  # defects of ours, not of the file
            raise
        except sqlite3.DatabaseError as error:
            raise told(cursor.connection.path, error) from error

    return call


class Cursor(sqlite3.Cursor):
    """A cursor whose errors are an InputError that names file and reason."""

    connection: Connection
    execute = _in_a_sentence(sqlite3.Cursor.execute)
    executescript = _in_a_sentence(sqlite3.Cursor.executescript)
    fetchone = _in_a_sentence(sqlite3.Cursor.fetchone)
    __next__ = _in_a_sentence(sqlite3.Cursor.__next__)


class Connection(sqlite3.Connection):
    """A connection that knows its file; whatever it does goes through a :class:`Cursor`."""

    path: Path

    def execute(self, *arguments: Any) -> Any:
        """As `sqlite3.Connection.execute`."""
        return self.cursor(Cursor).execute(*arguments)

    def executescript(self, *arguments: Any) -> Any:
        """As `sqlite3.Connection.executescript`."""
        return self.cursor(Cursor).executescript(*arguments)


def uri(path: Path, *, write: bool = False) -> str:
    """How SQLite is told to open a file.

    Parameters
    ----------
    path
        The file, without symbolic links.
    write
        Otherwise nothing is written, neither to it nor, in a folder that may only be read, beside it.
    """
    left = unsettled(path)
    if write:
        how = "rwc"
    elif not left and not os.access(path.parent, os.W_OK):
        how = "ro&immutable=1"
    else:  # what a journal holds must be taken back before anything is read
        how = "rw" if beside(path, "-journal") in left and os.access(path, os.W_OK) else "ro"
    return f"{path.as_uri()}?mode={how}"


def beside(path: Path, ending: str) -> Path:
    """A side file: ``-wal`` and ``-journal`` belong to what is in a file, ``.lock`` does not."""
    return path.with_name(path.name + ending)


def unsettled(path: Path) -> list[Path]:
    """The files that a killed process left beside a file and without which that is not whole."""
    sides = (beside(path, ending) for ending in ("-wal", "-journal"))
    return [side for side in sides if side.is_file() and side.stat().st_size]


def application_id(path: Path) -> int:
    """The mark in a file's own header; SQLite opens no file without its -wal whose checkpoint was cut short.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return int.from_bytes(file.read(72)[68:], "big")  # where the file format has it
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}): free the file for reading") from error


def connect(path: Path, *, write: bool = False, timeout: float = 60) -> Connection:
    """Open a file; parameters as for :func:`uri`, and the seconds to wait where another process holds it.

    Raises
    ------
    InputError
        When it cannot be opened; later, by whatever is done with it, when that fails.
    """
    try:
        db = sqlite3.connect(
            uri(path, write=write), uri=True, isolation_level=None, timeout=timeout, factory=Connection
        )
    except sqlite3.Error as error:
        raise told(path, error) from error
    db.path = path
    return db


def lock(path: Path) -> sqlite3.Connection:
    """A transaction held open on a side file: freed by the system however the process ends, on every platform.

    Raises
    ------
    InputError
        When another process holds it, or the side file cannot be written.
    """
    side = beside(path, ".lock")
    held = connect(side, write=True, timeout=0)
    try:
        held.cursor().execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        held.close()
        raise told(path if error.sqlite_errorcode == sqlite3.SQLITE_BUSY else side, error) from error
    return held

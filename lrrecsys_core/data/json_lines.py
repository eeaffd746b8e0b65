"""JSON Lines as releases publish them, gzipped or plain: the keys that are needed, read by streaming."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import polars as pl

from lrrecsys_core.errors import InputError

# The types of what is read.
TEXT, NUMBER, WHOLE, TEXTS = pl.String(), pl.Float64(), pl.Int64(), pl.List(pl.String())
Schema = Mapping[str, pl.DataType]
_GZIP = b"\x1f\x8b"
_LINES = 5_000
_SHOWN = 200
_BROKEN = (OSError, EOFError, zlib.error)
_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def read_json_lines(path: Path, schema: Schema, required: tuple[str, ...] = ()) -> pl.DataFrame:
    """Read these keys of every object of a file, one a line; other keys are never held in memory.

    Parameters
    ----------
    schema
        Type of each key to read; an object without the key has null there.
    required
        Keys that the first object must have, so that a changed schema does not pass for empty values.

    Raises
    ------
    InputError
        If the file is missing, empty, cut short or lacks a required key, or a line is no such object: with its number.
    """
    found = first_keys(path)
    for key in required:
        if key not in found:
            named = ", ".join(found)[:_SHOWN]
            raise InputError(f"{path}: line 1 has no '{key}'; expected {', '.join(required)}, found {named}.")
    try:
        return pl.scan_ndjson(path, schema=dict(schema)).collect(engine="streaming")
    except _FAULTS as error:
        raise _first_fault(path, dict(schema), error) from error


def first_keys(path: Path) -> tuple[str, ...]:
    """The keys of the first object of the file, by which releases are told apart."""
    try:
        line = next((line for line in _lines(path) if line.strip()), b"")
    except _BROKEN as error:
        raise InputError(_unreadable(path, error)) from error
    if not line:
        raise InputError(f"{path}: the file holds no records; expected a JSON object on each line.")
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(_no_object(path, 1, line)) from error
    if not isinstance(entry, dict):
        raise InputError(_no_object(path, 1, line))
    return tuple(entry)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    with gzip.open(path) if packed else path.open("rb") as stream:
        yield from stream


def _first_fault(path: Path, schema: dict[str, pl.DataType], error: BaseException) -> InputError:
    """The first line the reader cannot take, found by giving it some lines at a time, then one."""
    lines, done = _lines(path), 0
    try:
        while block := list(islice(lines, _LINES)):
            if _reason(b"".join(block), schema):
                for number, line in enumerate(block, done + 1):
                    if reason := _reason(line, schema):
                        return InputError(_no_object(path, number, line, reason))
            done += len(block)
    except _BROKEN as broken:
        return InputError(_unreadable(path, broken, done))
    return InputError(_unreadable(path, error))


def _reason(lines: bytes, schema: dict[str, pl.DataType]) -> str:
    try:
        pl.scan_ndjson(io.BytesIO(lines), schema=schema).collect()
    except _FAULTS as error:
        return str(error).split("\n")[0]
    return ""


def _no_object(path: Path, number: int, line: bytes, reason: str = "") -> str:
    where = f"{path}: line {number}"
    if line.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return f"{where} starts with a byte order mark; save the file as UTF-8 without one."
    try:
        line.decode()
    except UnicodeDecodeError:
        return f"{where} is not UTF-8 text; save the file as UTF-8."
    if line.lstrip().startswith(b"["):
        return f"{where} is a JSON list; write one object on each line."
    if reason.startswith("cannot parse"):
        return f"{where}: {reason[:_SHOWN]}; mend or remove the line."
    shown = line.decode().strip()[:40]
    return f"{where} is no complete JSON object ('{shown}' ...); mend or remove it, or fetch the file again."


def _unreadable(path: Path, error: BaseException, lines: int = 0) -> str:
    after = f" after line {lines:,}" if lines else ""
    if isinstance(error, OSError) and error.strerror:
        return f"{path}: cannot be read ({error.strerror}); expected a file of JSON Lines there."
    return f"{path}: cut short or damaged{after} ({str(error)[:_SHOWN].rstrip('.')}); fetch the file again."

"""Foreign files as frames: delimited text and JSON Lines (both also gzipped) as text, Parquet with its types."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from pathlib import Path
from typing import Any

import polars as pl

from lrrecsys_core.data.columns import clipped, require_columns
from lrrecsys_core.errors import InputError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
BROKEN = "broken"  # Boolean column, where asked for: rows with too many fields, lines that are no JSON object
_HEAD = 1 << 18  # bytes looked at to tell what a file is
_JSON = (".jsonl", ".ndjson", ".json")
_GZIP = b"\x1f\x8b"


def read_table(
    path: str | Path,
    separator: str | None = None,
    *,
    header: bool = True,
    columns: tuple[str, ...] | None = None,
    lenient: bool = False,
) -> pl.DataFrame:
    """Read a delimited text, JSON Lines (both also gzipped) or Parquet file; text formats come back as text, unparsed.

    Parameters
    ----------
    path
        ``.parquet`` is read as Parquet, ``.jsonl``, ``.ndjson`` and ``.json`` as one JSON object a line, all else as
        delimited text.
    separator
        Of the fields of a text; by default a tab for ``.tsv`` and a comma otherwise. Between quotation marks it is an
        ordinary character, except that tabs, and separators of several characters, are taken literally; in a text with
        tabs quotation marks count if every name of the header wears them.
    header
        Whether the first line of a text names the columns; otherwise they are called by their numbers, from "1".
    columns
        Those needed: only they are kept in memory, and a missing one is refused. By default all.
    lenient
        Mark rows with too many fields, and lines that are no JSON object, in a column `BROKEN` instead of refusing.

    Raises
    ------
    InputError
        If the file is missing, empty, not what its name says, not UTF-8, cut short, or has a row with too many fields.
    """
    path = Path(path)
    head = _head(path)
    if head[:4] == b"PAR1" or path.suffix in (".parquet", ".pq"):
        frame = _parquet(path, columns)
    elif _kind(path) in _JSON:
        frame = _json_lines(path, head, columns)
    else:
        frame = _delimited(path, _text(head, path), separator, header, columns)
    if frame.is_empty():
        raise InputError(f"{path}: the file holds no records; expected at least one row below the header.")
    if BROKEN in frame.columns and not lenient:
        for row in frame[BROKEN].arg_true().head(1):
            raise InputError(f"{path}: cannot be read as a table: data row {row + 1} {broken(path)}.")
        frame = frame.drop(BROKEN)
    return frame


def broken(path: Path) -> str:
    """What is wrong with the rows marked `BROKEN`."""
    return "is no JSON object, or nested too deep" if _kind(path) in _JSON else "has more fields than the first line"


def read_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 text, cut at line feeds alone: other breaks (U+2028, U+0085, ...) are part of a name.

    Raises
    ------
    InputError
        If it cannot be read or is in another encoding.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(_encoding(Path(path))) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _kind(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _head(path: Path) -> bytes:
    """The first bytes, unpacked."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a CSV, TSV, JSON Lines or Parquet table there.")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as stream:
            head = stream.read(_HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({clipped(str(error), 120)}); is it cut short?") from error
    if not head.strip():
        raise InputError(f"{path}: the file is empty; expected a header line and at least one record.")
    if head[:2] == b"PK":
        raise InputError(f"{path}: a zip archive or a spreadsheet; unpack it, or save the sheet as CSV.")
    return head


def _text(head: bytes, path: Path) -> str:
    """The head as text; it may end inside a character."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(_encoding(path))
    try:
        text = head.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        if len(head) - error.start >= 4:
            raise InputError(_encoding(path)) from error
        text = head[: error.start].decode("utf-8-sig")
    if "\r" in text and "\n" not in text:
        raise InputError(f"{path}: its lines end in a carriage return alone; save it with ordinary line ends.")
    return text


def _encoding(path: Path) -> str:
    return f"{path}: not UTF-8 text; save it as UTF-8 (iconv -f ITS_ENCODING -t utf-8)."


def _collected(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """The frame, read without ever holding the columns that were not asked for."""
    try:
        return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = clipped(str(error).strip().split("\n")[0].rstrip("."), 150)
        if "utf-8" in reason.lower() or "utf8" in reason.lower():
            raise InputError(_encoding(path)) from error
        if "unexpected end of file" in reason:
            raise InputError(f"{path}: the compressed file is cut short; fetch it again.") from error
        raise InputError(f"{path}: cannot be read as a table ({reason}).") from error


def _parquet(path: Path, columns: tuple[str, ...] | None) -> pl.DataFrame:
    try:
        frame = pl.scan_parquet(path)
        found = frame.collect_schema().names()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = clipped(str(error).strip().split("\n")[0].rstrip("."), 150)
        raise InputError(f"{path}: cannot be read as a table ({reason}).") from error
    if columns is not None:
        require_columns(found, columns, str(path))
        frame = frame.select(columns)
    return _collected(frame, path)


def _delimited(
    path: Path, head: str, separator: str | None, header: bool, columns: tuple[str, ...] | None
) -> pl.DataFrame:
    separator = separator or ("\t" if ".tsv" in path.suffixes else ",")
    if set(separator) & set('"\r\n'):
        raise InputError(f"{path}: fields cannot be separated by {separator!r}; expected such as sep=semicolon.")
    single = len(separator.encode()) == 1  # all that the reader takes; others are split here
    literal = not single or separator == "\t"
    lines = head.lstrip("\r\n")
    first = lines.split("\n", 1)[0].rstrip("\r")
    if separator == "\t" and all(len(n) > 1 and n[0] == n[-1] == '"' for n in first.split("\t")):
        literal = False
    fields = first.split(separator) if literal else _first_record(lines, separator)
    names = [name.strip() for name in fields] if header else [str(k + 1) for k in range(len(fields))]
    wanted = tuple(dict.fromkeys(name for name in names if name)) if columns is None else columns
    require_columns(names, wanted, str(path), fields)
    for name in wanted:
        if names.count(name) > 1:
            raise InputError(f"{path}: {names.count(name)} columns are called '{clipped(name)}'; rename all but one.")
    width = len(fields)
    cells = [pl.col(f"column_{k + 1}") for k in range(width + 1)]
    if not single:
        frame = _scan(path, "\x1f", 1, literal)
        parts = pl.col("column_1").str.split_exact(separator, width)
        parts = parts.struct.rename_fields([f"column_{k + 1}" for k in range(width + 1)])
        frame = frame.filter(pl.col("column_1").is_not_null()).select(parts).unnest("column_1")
    else:
        frame = _scan(path, separator, width + 1, literal)
    frame = frame.filter(~pl.all_horizontal(cell.is_null() for cell in cells))  # blank lines
    chosen = [cells[names.index(name)].alias(name) for name in wanted]
    frame = frame.slice(1 if header else 0).select(*chosen, cells[-1].is_not_null().alias(BROKEN))
    return _collected(frame, path)


def _scan(path: Path, separator: str, width: int, literal: bool) -> pl.LazyFrame:
    """So many text columns, whatever the first line says."""
    try:
        return pl.scan_csv(
            path,
            has_header=False,
            separator=separator,
            quote_char=None if literal else '"',
            schema={f"column_{k + 1}": pl.String for k in range(width)},
            truncate_ragged_lines=True,
            missing_columns="insert",
            extra_columns="ignore",
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a table ({clipped(str(error).strip(), 150)}).") from error


def _first_record(text: str, separator: str) -> list[str]:
    """The first record of a text; a lone quotation mark in it makes it one field, which is refused later."""
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except (csv.Error, StopIteration):
        return [text.split("\n", 1)[0]]


def _json_lines(path: Path, head: bytes, columns: tuple[str, ...] | None) -> pl.DataFrame:
    """The wanted keys of each object, as text; lists as lists."""
    told: dict[str, Any] = {}
    text = _text(head, path).lstrip()
    if text.startswith("["):
        raise InputError(f"{path}: one JSON list; write it as JSON Lines, one object a line.")
    for line in text.split("\n")[:100]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            told = entry | {key: value for key, value in told.items() if value is not None}
    wanted = tuple(told) if columns is None else columns
    if told:
        require_columns(list(told), wanted, str(path))
    for name in wanted:
        if isinstance(told.get(name), dict):
            raise InputError(f"{path}: column '{clipped(name)}' holds JSON objects; expected a text or a number.")
    schema: dict[str, Any] = dict.fromkeys(wanted, pl.String)
    try:
        frame = pl.scan_ndjson(path, schema=schema).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        frame = _line_by_line(path, schema)
    for name in wanted:
        if isinstance(told.get(name), list):
            frame = _with_lists(frame, name, path)
    return frame


def _with_lists(frame: pl.DataFrame, name: str, path: Path) -> pl.DataFrame:
    """The frame with a column of lists, a text that is none being a list of its own."""
    cell = pl.col(name)
    listed = pl.when(cell.str.starts_with("[")).then(cell)
    lists = (
        pl.when(listed.is_not_null()).then(listed.str.json_decode(pl.List(pl.String))).otherwise(pl.concat_list(cell))
    )
    try:
        return frame.with_columns(lists.alias(name))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: column '{clipped(name)}' holds lists of more than texts; expected texts.") from error


def _line_by_line(path: Path, schema: dict[str, Any]) -> pl.DataFrame:
    """The file without the lines that stop the reader; each of them leaves an empty row marked `BROKEN`."""
    sound: list[bytes] = []
    bad: list[bool] = []
    try:
        with gzip.open(path) if path.read_bytes()[:2] == _GZIP else path.open("rb") as stream:
            for line in stream:
                line = line.removeprefix(b"\xef\xbb\xbf") if not sound else line
                if line.strip():
                    fine = _is_object(line)
                    sound.append(line if fine else b"{}\n")
                    bad.append(not fine)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: the file is cut short or damaged ({clipped(str(error), 100)}).") from error
    frame = _collected(pl.scan_ndjson(io.BytesIO(b"".join(sound)), schema=schema), path)
    return frame.with_columns(pl.Series(BROKEN, bad))


def _is_object(line: bytes) -> bool:
    """Whether a line is one JSON object that the reader can take: no NaN, nothing nested a thousand times."""

    def refused(name: str) -> None:
        raise ValueError(name)

    def finite(number: str) -> float:
        if not math.isfinite(float(number)):
            refused(number)
        return float(number)

    try:
        return line.count(b"[") + line.count(b"{") < 1000 and isinstance(
            json.loads(line, parse_constant=refused, parse_float=finite), dict
        )
    except (ValueError, RecursionError):
        return False

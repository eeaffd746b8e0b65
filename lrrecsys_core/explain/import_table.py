"""Read a table of ready-made texts, match its keys with a data set's records and write what matched as given texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.data.columns import as_written, clipped, require_columns, text_column
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.reading import read_table
from lrrecsys_core.data.times import seconds_column
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.checks import MOST_WORDS
from lrrecsys_core.explain.clients.formats import EMBEDDED, PAPER_LLMS
from lrrecsys_core.explain.given import FORMAT, FORMS, SEEN, read_manifest

NAMED: Final = 5  # keys quoted of each kind that did not fit
_PAIR: Final = ["user_id", "item_id"]


def import_table(
    dataset: Dataset,
    path: str | Path,
    name: str,
    seen: str,
    folder: str | Path,
    *,
    unit: str | None = None,
    **columns: str | None,
) -> dict[str, Any]:
    """Match a table of texts with a data set and write them as :class:`~lrrecsys_core.explain.given.Given` reads them.

    The columns tell whose texts they are: user and item (with the time, where the data have one) those of records;
    the item alone, or the user alone, one text for all records of each. Reasons stand in ``positive`` and ``negative``,
    a single text in ``text``, ratings that an LLM gave in a column that must be named: a table may hold the true ones.
    The order of the table's rows decides nothing: a key that is repeated with other texts keeps none. Of a user's
    several records of an item, a text without a time belongs to the latest, so that nothing written later can pass for
    knowledge from before.

    Parameters
    ----------
    dataset
        Real records.
    path
        CSV, TSV or Parquet.
    name
        Who wrote the texts, as tables will call the writer; none of the paper's LLMs.
    seen
        What the writer had read: a key of :data:`~lrrecsys_core.explain.given.SEEN`.
    folder
        Where to; may hold texts of the same writer about other data sets.
    unit
        Of numeric times, as for :func:`~lrrecsys_core.data.times.read_times`.
    columns
        What the table calls ``user``, ``item``, ``timestamp`` and ``text`` where it is not user_id, item_id, timestamp
        and text; its ``rating``.

    Returns
    -------
    dict
        What the manifest says of this table: ``keys``, ``counts`` and, under ``named``, the first keys of each kind
        that did not fit. A key of the data is *missing* where it lacks a text in some slot: *absent* from the table,
        *empty*, or *conflicting* (repeated with other texts). Keys that the data do not know are *extra*. Columns of
        texts of another kind, which are not taken, are listed under ``left``, where there are any.

    Raises
    ------
    InputError
        When the table cannot be read or understood, no key belongs to the data set, some column holds no text, or name,
        ``seen`` or folder will not do.
    """
    _check_writer(dataset, name, seen)
    folder, where = Path(folder), str(path)
    table, keys, variant, left = _read(dataset, where, columns, unit or "")
    slots = FORMS[variant]
    manifest = _manifest(folder, dataset, {"format": FORMAT, "name": name, "seen": seen, "variant": variant})
    # What a repeated key's first text is depends on the order of rows, so only texts that agree are kept.
    agree = pl.struct(slots).n_unique() == 1
    found = table.group_by(keys).agg(
        *(pl.when(agree).then(pl.col(slot).first()).otherwise(pl.lit("")) for slot in slots),
        agree=agree,
        times=pl.len(),
    )
    if keys == _PAIR and dataset.ordered:
        found = found.join(dataset.interactions.group_by(_PAIR).agg(pl.col("timestamp").max()), on=_PAIR, how="left")
        keys = [*_PAIR, "timestamp"]
    about = _compared(found, dataset.interactions.select(keys).unique(), keys, slots, where)
    about["counts"] = {"rows": table.height} | about["counts"]
    about |= {"left": left} if left else {}
    file = f"{dataset.name}.parquet"
    with paths.replacing(folder / file) as partial:
        known = found.join(dataset.interactions, on=keys, how="semi")
        known.select(*keys, *slots).sort(keys).write_parquet(partial, compression="zstd")
    about |= {"records": dataset.records_fingerprint, "file": file, "sha256": paths.digest(folder / file)}
    manifest["tables"][dataset.name] = about
    paths.write_json(folder / "manifest.json", manifest)
    return about


def _check_writer(dataset: Dataset, name: str, seen: str) -> None:
    """Refuse what would leak the answer, or pass for another writer."""
    if seen == "target-review":
        raise InputError(
            "a text whose writer had read the review of the record it is about contains the answer, so that a model "
            "which reads it is told the rating it should predict: such texts are not imported"
        )
    if seen not in SEEN:
        raise InputError(f"--seen {seen!r} is unknown: say what the writer had read, one of {', '.join(SEEN)}")
    theirs = {word.lower() for short, llm in (PAPER_LLMS | EMBEDDED).items() for word in (short, llm.name, llm.model)}
    if name.lower() in theirs:
        raise InputError(
            f"{name!r} has a row already, which is made from its answers to our prompts: give these "
            f"texts a name of their own, such as '{name} (elsewhere)'"
        )
    if not name or name != " ".join(name.split()) or set(name) & set(",="):
        raise InputError(f"{name!r} cannot name a writer: use words and single blanks, without commas and equal signs")
    if dataset.simulated:
        raise InputError(
            f"{dataset.name!r} is a simulated market, and reports draw others: no table can hold their texts, so ask "
            "an LLM with 'lrrecsys explain run'"
        )


def _read(
    dataset: Dataset, where: str, columns: dict[str, str | None], unit: str
) -> tuple[pl.DataFrame, list[str], str, list[str]]:
    """The table by our names, keys typed as the data set's and texts on one line each; its keys, variant and the rest.

    The rest are its columns of texts that are not of the variant.
    """
    table = read_table(where)
    require_columns(table.columns, [column for column in columns.values() if column], where)
    found = f"found {clipped(', '.join(table.columns), 160)}."
    named = {"user_id": columns.get("user") or "user_id", "item_id": columns.get("item") or "item_id"}
    keys = [ours for ours, theirs in named.items() if theirs in table.columns]
    if not keys:
        raise InputError(
            f"{where}: no column {' or '.join(map(repr, named.values()))} says whose texts these are; {found}"
        )
    read = {key: text_column(table, named[key], where, "an id") for key in keys}
    time = columns.get("timestamp") or "timestamp"
    if keys == _PAIR and dataset.ordered and time in table.columns:
        read["timestamp"] = _seconds(table, time, where, unit)
    single, rating = columns.get("text") or "text", columns.get("rating")
    both, one = {"positive", "negative"} <= set(table.columns), single in table.columns
    if not rating and both == one:
        raise InputError(f"{where}: expected columns 'positive' and 'negative' or else one column {single!r}; {found}")
    variant = "direct" if rating else "text" if one else "full"
    if rating and len(keys) < len(_PAIR):
        raise InputError(f"{where}: ratings belong to records: name the columns of users and of items; {found}")
    taken = {slot: rating or (single if one else slot) for slot in FORMS[variant]}
    for slot, column in taken.items():
        text = as_written(table, column, where).cast(pl.String).fill_null("")
        read[slot] = text.str.replace_all(r"\s+", " ").str.strip_chars()
    frame = pl.DataFrame(read)
    for slot, column in taken.items():
        if (frame[slot] == "").all():
            raise InputError(f"{where}: column {column!r} holds no text; expected one sentence a row.")
    left = [word for word in ("positive", "negative", single) if word in table.columns and word not in taken.values()]
    return frame, [key for key in read if key not in FORMS[variant]], variant, left


def _seconds(table: pl.DataFrame, column: str, where: str, unit: str) -> pl.Series:
    try:
        return seconds_column(table, column, where, unit=unit)
    except InputError as error:  # which names the unit as ``table:FILE?unit=ms`` does
        raise InputError(where + str(error).removeprefix(where).replace("unit=", "--unit ")) from error


def _manifest(folder: Path, dataset: Dataset, head: dict[str, Any]) -> dict[str, Any]:
    """The manifest to extend: that of the folder, if it is of the same writer, or a new one."""
    if not (folder / "manifest.json").exists():
        return head | {"tables": {}}
    there = read_manifest(folder)
    for word, value in head.items():
        if there[word] != value:
            raise InputError(
                f"{folder} holds texts of {word} {there[word]!r}, these are {value!r}: name another folder"
            )
    if dataset.name in there["tables"]:
        raise InputError(f"{folder} already holds texts about {dataset.name!r}: name another folder")
    return there


def _compared(
    found: pl.DataFrame, wanted: pl.DataFrame, keys: list[str], slots: tuple[str, ...], where: str
) -> dict[str, Any]:
    """What fits and what does not between the table's keys and the data set's."""
    extra = found.join(wanted, on=keys, how="anti")
    if extra.height == found.height:
        theirs, ours = _few(found, keys, 1)[0], _few(wanted, keys, 1)[0]
        raise InputError(
            f"{where}: no key belongs to the data; it has {', '.join(keys)} such as {theirs!r}, the data {ours!r}. "
            "Say which columns hold the ids."
        )
    both = wanted.join(found, on=keys, how="left")
    absent, some = pl.col("times").is_null(), pl.any_horizontal(pl.col(slot) == "" for slot in slots)
    kinds = {
        "absent": both.filter(absent),
        "conflicting": both.filter(~pl.col("agree")),
        "empty": both.filter(pl.col("agree"), some),
    }
    missing = pl.concat(kinds.values())
    repeated = found.filter(pl.col("times") > 1)
    words = (pl.col(slot).str.count_matches(" ") >= MOST_WORDS for slot in slots)
    return {
        "keys": keys,
        "counts": {
            "wanted": wanted.height, "missing": missing.height, **{kind: part.height for kind, part in kinds.items()},
            "extra": extra.height, "repeated": repeated.height,
            "long": both.filter(pl.any_horizontal(words)).height,
        },
        "named": {"missing": _few(missing, keys), "extra": _few(extra, keys), "repeated": _few(repeated, keys)},
    }  # fmt: skip


def _few(frame: pl.DataFrame, keys: list[str], count: int = NAMED) -> list[str]:
    """The first keys in their own order, in words."""
    return [
        " ".join(str(part) for part in row if part is not None)
        for row in frame.select(keys).sort(keys).head(count).rows()
    ]


def told(about: dict[str, Any]) -> Iterable[str]:
    """What an import found, line by line."""
    n, named = about["counts"], about["named"]
    of = "records" if "user_id" in about["keys"] and "item_id" in about["keys"] else f"{about['keys'][0][:4]}s"
    yield f"{n['wanted'] - n['missing']:,} of {n['wanted']:,} {of} have their texts, from {n['rows']:,} rows"
    kinds = f" ({n['absent']:,} absent, {n['empty']:,} empty, {n['conflicting']:,} repeated with other texts)"
    for kind, more in (("missing", kinds if n["missing"] else ""), ("extra", ""), ("repeated", "")):
        quoted = f": {'; '.join(named[kind])}" + ("; ..." if n[kind] > len(named[kind]) else "")
        yield f"{kind} {n[kind]:,}{more}" + (quoted if n[kind] else "")
    if n["long"]:
        yield f"{n['long']:,} {of} have a text over {MOST_WORDS} words: codes are made from the first {MOST_WORDS}"
    if "left" in about:
        yield f"texts not taken: {', '.join(about['left'])} (a writer has one kind: import them under another name)"

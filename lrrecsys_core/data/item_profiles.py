"""LLM-written likes and dislikes of movies, as published with EXP3RT (Kim et al., SIGIR 2025)."""

import json
import re
from pathlib import Path

import polars as pl

from lrrecsys_core.errors import InputError

_SIDES = {"positive": "like", "negative": "dislike"}
_HEADING = re.compile(r"\**\[(like|dislike)\]\**", re.IGNORECASE)
_NOTHING = ("", "none", "n/a")
_BULLET = re.compile(r"^[\s\-*•]+")


def read_item_profiles(path: str | Path) -> pl.DataFrame:
    """Read a JSON list of objects with item_id and item_synopsis, "[Like] - ... - ... [Dislike] - ...".

    Returns
    -------
    polars.DataFrame
        item_id as in the file, positive and negative: one statement a line, "" where a side says nothing.

    Raises
    ------
    InputError
        If the file is missing or not such a list.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected the file item_profile.json.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON text ({error}); expected the file item_profile.json.") from error
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: expected a JSON list of objects with item_id and item_synopsis.")
    rows = []
    for number, entry in enumerate(entries, 1):
        try:
            item, synopsis = str(entry["item_id"]), entry["item_synopsis"]
            _, *parts = _HEADING.split(synopsis)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path}: entry {number} lacks item_id or item_synopsis; expected both as text."
            ) from error
        said = {side.lower(): _statements(text) for side, text in zip(parts[::2], parts[1::2], strict=True)}
        rows.append((item, *(said.get(side, "") for side in _SIDES.values())))
    return pl.DataFrame(rows, schema=dict.fromkeys(("item_id", *_SIDES), pl.String), orient="row")


def _statements(text: str) -> str:
    # where statements have lines of their own, a dash between blanks is punctuation
    pieces = text.splitlines() if "\n" in text.strip() else re.split(r"(?:^|\s)-\s", text)
    said = (_BULLET.sub("", piece).strip() for piece in pieces)
    return "\n".join(piece for piece in said if piece.lower().rstrip(".") not in _NOTHING)

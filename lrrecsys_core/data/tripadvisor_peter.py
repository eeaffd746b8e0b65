"""TripAdvisor hotels as Li, Zhang and Chen released them (NETE, CIKM 2020; PETER, ACL 2021): the paper's own set."""

import io
import pickle
from pathlib import Path
from typing import Any

import polars as pl

from lrrecsys_core.data.columns import find_files
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.open_records import described, latest_records
from lrrecsys_core.errors import InputError

_PUBLISHED = "the TripAdvisor release of PETER"
_COLUMNS = {"user_id": "user", "item_id": "item", "rating": "rating"}
_EXPECTED = "a list of dictionaries with user, item, rating and template (feature, adjective, sentence, score)"


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, texts and containers need no class; whatever asks for one is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain records never do")

    def persistent_load(self, pid: object) -> object:
        raise pickle.UnpicklingError("it asks for an object outside the file, which plain records never do")


def load_tripadvisor_peter(folder: str | Path) -> Dataset:
    """Load reviews.pickle: users, hotels, stars from 1 to 5, aspects with sentiment and a sentence of each review.

    There are no times and no names: the data set is unordered, and hotels go by their ids. Of several records of one
    user and hotel the last stays. Aspect and sentence come from the record's own review: only *other* records may learn
    from them. The file may hold nothing but plain containers; one that would run code is refused, and nothing of it
    is run.

    Returns
    -------
    Dataset
        Named "tripadvisor-peter".

    Raises
    ------
    InputError
        If the file is missing, cut short, asks for a class, or an entry is no such record.
    """
    (file,) = find_files(folder, ("reviews.pickle",), _PUBLISHED)
    frame = _frame(file)
    records, notes = latest_records(frame, str(file), _COLUMNS)
    said = pl.col("feature").fill_null("").str.strip_chars()
    # no name anywhere: `described` lets all of them go by their ids, which is no news
    items, _ = described(records, pl.DataFrame(schema=dict.fromkeys(("item_id", "name", "details"), pl.String)), "")
    return make_dataset(
        "tripadvisor-peter",
        "hotel",
        records,
        items,
        aspects=records.select("user_id", "item_id", "sentiment", aspect=said).filter(pl.col("aspect") != ""),
        reviews=records.filter(pl.col("text").fill_null("") != ""),
        source=str(folder),
        files=dict.fromkeys(("interactions", "items", "aspects", "reviews"), str(file)),
        columns=_COLUMNS,
        release="tripadvisor-peter",
        notes=tuple(notes),
    )


def _frame(file: Path) -> pl.DataFrame:
    """The records by our names, with feature, sentiment (+1, -1 or null) and text."""
    try:
        entries = _PlainUnpickler(io.BytesIO(file.read_bytes())).load()
    except Exception as error:  # a pickle can fail in any way its bytes like
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise InputError(f"{file}: not read as a pickle of plain records ({reason}); fetch the file again.") from error
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{file}: holds no list of records; expected {_EXPECTED}.")
    rows = []
    for number, entry in enumerate(entries, 1):
        try:
            rows.append(_row(entry))
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise InputError(f"{file}: entry {number} is no record; expected {_EXPECTED}.") from error
    names = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float64, "feature": pl.String}
    return pl.DataFrame(rows, schema=names | {"sentiment": pl.Int8, "text": pl.String}, orient="row")


def _row(entry: Any) -> tuple[str | None, str | None, float, str, int | None, str]:
    feature, _, sentence, score = entry["template"]
    user, item, rating = entry["user"], entry["item"], entry["rating"]
    # only what can be told apart by type: the text of a nested list may take longer than the universe has
    if not all(isinstance(text, str | int | None) for text in (user, item, feature, sentence)):
        raise TypeError
    ids = [None if key is None else str(key) for key in (user, item)]
    return ids[0], ids[1], float(rating), str(feature or ""), (score > 0) - (score < 0) or None, str(sentence or "")

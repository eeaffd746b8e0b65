"""Amazon reviews of one category: the releases of 2023 (Hou et al., 2024) and 2018 (Ni, Li and McAuley, 2019)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.json_lines import TEXT, TEXTS, WHOLE, Schema, first_keys, read_json_lines
from lrrecsys_core.data.open_records import described, latest_records, phrases, read_records, tidied, told
from lrrecsys_core.errors import InputError

_NAME = re.compile(r"(?P<meta>meta_)?(?P<category>.+?)(?P<core>_5)?\.jsonl?(\.gz)?")
_SHOWN = 8


@dataclass(frozen=True)
class _Form:
    """How a release calls user, item, rating, time and review; the unit of its times; what its item file holds."""

    columns: dict[str, str]
    unit: Literal["ms", "s"]
    item: str
    about: Schema


_FORMS = {
    2023: _Form(
        {"user_id": "user_id", "item_id": "parent_asin", "rating": "rating", "timestamp": "timestamp", "text": "text"},
        "ms",
        "parent_asin",
        {"parent_asin": TEXT, "title": TEXT, "store": TEXT, "main_category": TEXT, "categories": TEXTS},
    ),
    2018: _Form(
        {"user_id": "reviewerID", "item_id": "asin", "rating": "overall", "timestamp": "unixReviewTime"}
        | {"text": "reviewText"},
        "s",
        "asin",
        {"asin": TEXT, "title": TEXT, "brand": TEXT, "category": TEXTS},
    ),
}


def load_amazon(folder: str | Path, *, category: str = "", reviews: bool = False) -> Dataset:
    """Load the reviews of one category and what is known of its items: title, brand and category (App 10.2).

    Files are those of the release, gzipped or not, in the folder or one below: ``<Category>.jsonl`` and
    ``meta_<Category>.jsonl`` (2023), ``<Category>.json`` or ``<Category>_5.json`` and ``meta_<Category>.json`` (2018).
    Of records of one user, item and moment the last in the file stays. Averages and counts of ratings, ranks and other
    keys of the item file are not read. An item without a title goes by its id.

    Parameters
    ----------
    category
        Which one, as its file calls it (``Movies_and_TV``); needed where the folder holds several.
    reviews
        Also keep the review texts, for what reads them; they take several times the memory of the records.

    Returns
    -------
    Dataset
        Named "amazon".

    Raises
    ------
    InputError
        If a file is missing, ambiguous or malformed.
    """
    records_file, items_file, name = _files(Path(folder), category)
    keys = first_keys(records_file)
    year = next((year for year, form in _FORMS.items() if form.columns["user_id"] in keys), None)
    if year is None:
        raise InputError(
            f"{records_file}: line 1 has neither 'user_id' (release of 2023) nor 'reviewerID' (2018); found"
            f" {', '.join(keys)[:150]}."
        )
    form = _FORMS[year]
    records = read_records(records_file, form.columns, WHOLE, reviews)
    records = records.with_columns(pl.from_epoch("timestamp", form.unit))
    records, notes = latest_records(records, str(records_file), form.columns)
    about = _about(read_json_lines(items_file, form.about, (form.item, "title")), form, name)
    items, missing = described(records, about, str(items_file))
    release = "amazon-2023-movies" if (year, name) == (2023, "Movies_and_TV") else ""
    return make_dataset(
        "amazon",
        "movie" if name.startswith("Movies") else "product",
        records,
        items,
        reviews=told(records),
        source=str(folder),
        files={"interactions": str(records_file), "items": str(items_file)},
        columns=form.columns,
        release=release,
        notes=(*notes, *missing),
    )


def _about(raw: pl.DataFrame, form: _Form, name: str) -> pl.DataFrame:
    """Item id, title, and brand and categories as details; the category that all items share says nothing."""
    title = tidied("title")
    general = re.sub(r"_5$", "", name).replace("_and_", " & ").replace("_", " ")
    listed = next(key for key in form.about if key.startswith("categor"))
    parts = pl.col(listed)
    if "main_category" in raw.columns:
        parts = pl.when(parts.list.len() > 0).then(parts).otherwise(pl.concat_list("main_category"))
    brand = pl.concat_list("store" if "store" in raw.columns else "brand")
    return raw.select(
        item_id=form.item,
        name=pl.when(~title.str.contains("getTime")).then(title),  # a script in place of a title, in 2018
        details=phrases(pl.concat_list(brand, parts), general),
    )


def _files(folder: Path, category: str) -> tuple[Path, Path, str]:
    """The records, the items and the name of the category that is asked for, or of the only one."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected <Category>.jsonl[.gz] and meta_<Category>.jsonl[.gz].")
    found: dict[str, Path] = {}
    metas: dict[str, Path] = {}
    # a plain file comes after its gzipped copy, and takes its place
    for path in sorted([*folder.glob("*.json*"), *folder.glob("*/*.json*")], reverse=True):
        if match := _NAME.fullmatch(path.name):
            if match["meta"]:
                metas[match["category"] + (match["core"] or "")] = path
            else:
                found[match["category"] + (match["core"] or "")] = path
    names = sorted(found)
    listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    if category and category not in found:
        raise InputError(f"{folder}: no {category}.jsonl[.gz] or .json[.gz] there; it holds {listed or 'none'}.")
    if len(names) > 1 and not category:
        raise InputError(f"{folder} holds several categories ({listed}); name one: amazon:FOLDER?category={names[0]}.")
    if not names:
        raise InputError(f"{folder}: no <Category>.jsonl[.gz] (2023) or <Category>.json[.gz] (2018) of reviews there.")
    name = category or names[0]
    item_file = metas.get(name) or metas.get(name.removesuffix("_5"))
    if item_file is None:
        raise InputError(
            f"{folder}: {found[name].name} is there, but meta_{name.removesuffix('_5')}.jsonl[.gz] or .json[.gz] is"
            " missing; fetch the item file of the category too."
        )
    return found[name], item_file, name

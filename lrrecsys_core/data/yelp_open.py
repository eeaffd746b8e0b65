"""The Yelp open dataset (Yelp Inc., academic use): all of its reviews and businesses."""

from pathlib import Path

import polars as pl

from lrrecsys_core.data.columns import find_files, refuse
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.json_lines import TEXT, read_json_lines
from lrrecsys_core.data.open_records import described, latest_records, phrases, read_records, tidied, told
from lrrecsys_core.errors import InputError

_FILES = ("yelp_academic_dataset_review.json", "yelp_academic_dataset_business.json")
_COLUMNS = {"user_id": "user_id", "item_id": "business_id", "rating": "stars", "timestamp": "date", "text": "text"}
_DATES, _DATE = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d"), "2018-07-07 22:09:11"
_BUSINESS = dict.fromkeys(("business_id", "name", "city", "state", "categories", "attributes"), TEXT)
_PRICE = r'"RestaurantsPriceRange2": ?"[^"]*([1-4])'


def load_yelp_open(folder: str | Path, *, restaurants: bool = False, reviews: bool = False) -> Dataset:
    """Load the reviews and businesses as published: names, place, price level and categories; stars from 1 to 5.

    Of records of one user, business and second the last in the file stays. A business's average stars and number of
    reviews are not read.

    Parameters
    ----------
    folder
        Holds yelp_academic_dataset_review.json and yelp_academic_dataset_business.json, gzipped or not.
    restaurants
        Keep the businesses of the category Restaurants alone; the paper's counts are those of all.
    reviews
        Also keep the review texts, for what reads them; they take several times the memory of the records.

    Returns
    -------
    Dataset
        Named "yelp-open".

    Raises
    ------
    InputError
        If a file is missing or malformed.
    """
    records_file, items_file = find_files(folder, _FILES, "the Yelp open dataset", ".gz")
    frame = read_records(records_file, _COLUMNS, TEXT, reviews)
    moment = pl.coalesce(pl.col("timestamp").str.to_datetime(form, strict=False) for form in _DATES)
    unread = frame.select(moment.is_null().alias("_unread"))
    refuse(frame.hstack(unread), "timestamp", pl.col("_unread"), str(records_file), f"a date such as {_DATE}", "date")
    frame = frame.with_columns(timestamp=moment)
    records, notes = latest_records(frame, str(records_file), _COLUMNS)
    about = read_json_lines(items_file, _BUSINESS, ("business_id", "name", "categories"))
    categories = pl.col("categories").fill_null("").str.split(", ")
    if restaurants:
        about = about.filter(categories.list.contains("Restaurants"))
        records = records.join(about, left_on="item_id", right_on="business_id", how="semi", maintain_order="left")
        if records.is_empty():
            raise InputError(f"{folder}: no review of a restaurant; leave restaurants=yes out.")
    place = pl.concat_str(tidied("city"), "state", separator=" ", ignore_nulls=True)
    price = pl.concat_str(pl.lit("price level "), pl.col("attributes").str.extract(_PRICE), pl.lit(" of 4"))
    about = about.select(
        item_id="business_id",
        name=tidied("name"),
        details=phrases(pl.concat_list(pl.concat_list(place, price), categories), "Restaurants"),
    )
    items, missing = described(records, about, str(items_file))
    return make_dataset(
        "yelp-open",
        "restaurant",
        records,
        items,
        reviews=told(records),
        source=str(folder),
        files={"interactions": str(records_file), "items": str(items_file)},
        columns=_COLUMNS,
        release="yelp-open",
        notes=(*notes, *missing),
    )

"""TripAdvisor hotels as a table made from the LARA reviews (Wang, Lu and Zhai, KDD 2010): stars, dates, texts."""

import json
from pathlib import Path

import polars as pl

from lrrecsys_core.data.columns import find_files, number_column, refuse, require_columns, text_column
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.reading import read_lines, read_table
from lrrecsys_core.data.times import seconds_column
from lrrecsys_core.errors import InputError

_STARS = {
    "value": "value",
    "rooms": "rooms",
    "location": "location",
    "cleanliness": "cleanliness",
    "checkin_frontdesk": "check-in and front desk",
    "service": "service",
    "business_service": "business service",
}
_PRICE_STEPS = (100, 200, 300)
_PRICE_NAMES = ("under $100", "$100 to $199", "$200 to $299", "$300 or more")


def load_tripadvisor(folder: str | Path, *, min_hotels: int = 3) -> Dataset:
    """Load the LARA table: records of identified users with an overall rating and at least `min_hotels` hotels.

    A hotel a user reviewed more than once counts with the latest review. Hotels are called by their name where
    offering.txt knows it, else "hotel in <city>, about $<price>"; their details are place, price range and class.
    Star ratings of single aspects are the record's aspects, +1 from four stars on and else -1; like the text they were
    written with the rating, so that only *other* records may learn from them.

    Parameters
    ----------
    folder
        Holds lara_ratings.tsv.gz, hotel_price_location.txt, offering.txt and, for review texts,
        lara_text_users3plus.tsv.gz.
    min_hotels
        Smallest number of different hotels of a user.

    Returns
    -------
    Dataset
        Named "tripadvisor".

    Raises
    ------
    InputError
        If a file is missing or malformed, or no user has so many hotels.
    """
    files = ("lara_ratings.tsv.gz", "hotel_price_location.txt", "offering.txt")
    ratings_file, prices_file, offering_file = find_files(folder, files, "the LARA table")
    where = str(ratings_file)
    table = read_table(ratings_file)
    require_columns(table.columns, ("review_id", "hotel_id", "user", "date", "overall", *_STARS), where)
    text_column(table, "hotel_id", where, "the number of a hotel")
    for column in ("overall", *_STARS):
        scale = "whole stars from 1 to 5, or 0 or -1 for not given"
        stars = number_column(table, column, where, scale)
        refuse(
            table.with_columns(_stars=stars),
            column,
            ~pl.col("_stars").is_in([float(k) for k in range(-1, 6)]),
            where,
            scale,
        )
        table = table.with_columns(stars.cast(pl.Int64).alias(column))
    table = table.with_columns(timestamp=seconds_column(table, "date", where)).rename(
        {"user": "user_id", "hotel_id": "item_id"}
    )
    told = table.filter(pl.col("user_id").fill_null("") != "", pl.col("overall") > 0)
    # the table lists each hotel's reviews newest first, which decides between reviews of one day
    told = told.with_row_index("row").sort("timestamp", "row", descending=[True, False])
    told = told.unique(["user_id", "item_id"], keep="first", maintain_order=True).sort("row")
    told = told.filter(pl.len().over("user_id") >= min_hotels)
    if told.is_empty():
        raise InputError(f"{where}: no user with at least {min_hotels} hotels; lower min_hotels.")
    aspects = (
        told.select("user_id", "item_id", *_STARS)
        .rename(_STARS)
        .unpivot(index=["user_id", "item_id"], variable_name="aspect", value_name="stars")
        .filter(pl.col("stars") > 0)
        .with_columns(sentiment=pl.when(pl.col("stars") >= 4).then(1).otherwise(-1))
    )
    return make_dataset(
        "tripadvisor",
        "hotel",
        told.rename({"overall": "rating"}),
        _hotels(told.select("item_id").unique().sort("item_id"), prices_file, offering_file),
        aspects=aspects,
        reviews=_reviews(folder, told),
        source=str(folder),
        files={"interactions": where, "items": str(offering_file)},
    )


def _hotels(hotels: pl.DataFrame, prices_file: Path, offering_file: Path) -> pl.DataFrame:
    """Name and details of each hotel id, from the price list and the offering file."""
    prices = read_table(prices_file, separator="\t")
    require_columns(prices.columns, ("Hotel", "Price", "Location"), str(prices_file))
    place = pl.col("Location").str.replace_all("_", " ").replace("Unknown", None)
    prices = prices.select(
        item_id=pl.col("Hotel").str.extract(r"(\d+)"), price=pl.col("Price").cast(pl.Int64, strict=False), place=place
    ).unique("item_id", keep="first", maintain_order=True)
    known = hotels
    for part in (prices, _offerings(offering_file)):
        known = known.join(part, on="item_id", how="left", maintain_order="left")
    town = pl.coalesce("place", "address")
    described = pl.concat_str(
        pl.lit("hotel"),
        (pl.lit(" in ") + town).fill_null(" in an unknown city"),
        (pl.lit(", about $") + pl.col("price").cast(pl.String)).fill_null(""),
    )
    step = pl.sum_horizontal(pl.col("price") >= limit for limit in _PRICE_STEPS)
    bracket = pl.when(pl.col("price").is_not_null()).then(step.replace_strict(dict(enumerate(_PRICE_NAMES))))
    return known.select(
        "item_id",
        name=pl.coalesce("name", described),
        details=pl.concat_list(town, bracket, "stars").list.drop_nulls().list.join("; "),
    )


def _offerings(path: Path) -> pl.DataFrame:
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            hotel = json.loads(line)
            address = hotel.get("address") or {}
            town = " ".join(filter(None, (address.get("locality"), address.get("region"))))
            stars = hotel.get("hotel_class")
            rows.append((str(hotel["id"]), hotel["name"].strip(), town, f"{stars:g}-star" if stars else None))
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise InputError(
                f"{path}: line {number} is not a hotel; expected a JSON object with id and name."
            ) from error
    frame = pl.DataFrame(rows, schema=dict.fromkeys(("item_id", "name", "address", "stars"), pl.String), orient="row")
    return frame.with_columns(pl.col("name", "address").replace("", None)).unique(
        "item_id", keep="first", maintain_order=True
    )


def _reviews(folder: str | Path, told: pl.DataFrame) -> pl.DataFrame | None:
    path = Path(folder) / "lara_text_users3plus.tsv.gz"
    if not path.is_file():
        return None
    texts = read_table(path)
    require_columns(texts.columns, ("review_id", "text"), str(path))
    return told.join(texts, on="review_id", maintain_order="left").select("user_id", "item_id", "text").drop_nulls()

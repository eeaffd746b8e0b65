"""The Dataset: records, items and what is known of them, validated on the way in."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core.data.columns import (
    as_written,
    clipped,
    number_column,
    refuse,
    refuse_repeats,
    require_columns,
    text_column,
)
from lrrecsys_core.data.domains import DOMAINS, Domain
from lrrecsys_core.data.numbering import numbered, rows_among
from lrrecsys_core.data.times import seconds_column
from lrrecsys_core.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """Records of who rated what, and what is known of the items. Build it with `make_dataset`, which validates.

    Attributes
    ----------
    interactions
        One row per record: user_id, item_id (text), rating (float64), timestamp (int64 seconds; the column is absent
        when the order of records is unknown), the context columns (text) and, where the data bring their own test
        part, `test` (boolean).
    items
        item_id, name (never empty), details (phrases separated by "; ", possibly empty).
    aspects
        Mentions: user_id, item_id, aspect, sentiment (int8: +1, -1, or null when unknown); a `timestamp` column may
        tell apart the records of a user who met the same item more than once.
    texts
        Ready-made item-level texts: item_id, positive, negative.
    reviews
        user_id, item_id, text and, as for `aspects`, perhaps a timestamp.
    liked_from
        Ratings from here on count as liked (the paper: 4 and 5, App 10.1).
    truth
        What a simulated market was drawn from; no explainer or model may read it.
    source
        The file or folder the records came from, or "simulated".
    release
        The public release they are, by a word of `releases.RELEASES`, or "".
    notes
        What a reader of the data should be told of how they were read, a sentence each.
    """

    name: str
    domain: Domain
    interactions: pl.DataFrame
    items: pl.DataFrame
    aspects: pl.DataFrame | None = None
    texts: pl.DataFrame | None = None
    reviews: pl.DataFrame | None = None
    rating_min: float = 1.0
    rating_max: float = 5.0
    liked_from: float = 4.0
    context: tuple[str, ...] = ()
    simulated: bool = False
    truth: object | None = None
    source: str = ""
    release: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ordered(self) -> bool:
        """Whether the order of records in time is known."""
        return "timestamp" in self.interactions.columns

    @property
    def given_split(self) -> bool:
        """Whether the data bring their own test part, which `make_split` then honours."""
        return "test" in self.interactions.columns

    @property
    def item_text(self) -> bool:
        """Whether anything is known of an item but its id: a name, or details."""
        return bool((self.items["name"] != self.items["item_id"]).any() or (self.items["details"] != "").any())

    @cached_property
    def user_number(self) -> NDArray[np.uint32]:
        """(N,) number of each record's user among all users, in the order of their ids."""
        return numbered(self.interactions["user_id"])

    @cached_property
    def item_row(self) -> pl.Series:
        """(N,) row of each record's item in `items`; null for an unknown one, which `make_dataset` refuses."""
        return rows_among(self.interactions["item_id"], self.items["item_id"])

    @overload
    def scale(self, rating: float) -> float: ...
    @overload
    def scale(self, rating: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def scale(self, rating: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Map ratings linearly onto [0, 1]: (r - 1) / 4 for the paper's one to five stars."""
        return (rating - self.rating_min) / (self.rating_max - self.rating_min)

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal hash of the content: all but `truth`, `notes` and `source` (where files lie is no content)."""
        settings = (self.rating_min, self.rating_max, self.liked_from, self.context, self.simulated)
        digest = hashlib.sha256(repr((self.name, self.domain, settings)).encode())
        for frame in (self.interactions, self.items, self.aspects, self.texts, self.reviews):
            digest.update(b"\x00frame")
            if frame is not None:
                for part in frame.iter_slices(1_000_000):
                    digest.update(part.write_csv(null_value="\x00").encode())
        return digest.hexdigest()[:32]

    @cached_property
    def records_fingerprint(self) -> str:
        """Hexadecimal hash of who met what and when, in any order: what texts about records are matched with."""
        keys = [key for key in ("user_id", "item_id", "timestamp") if key in self.interactions.columns]
        sorted_keys = self.interactions.select(keys).sort(keys)
        return hashlib.sha256(sorted_keys.write_csv().encode()).hexdigest()[:32]

    def restricted(self, interactions: pl.DataFrame, name: str | None = None) -> "Dataset":
        """Return the data set made of these of its records only; items, aspects, texts and reviews follow.

        Raises
        ------
        InputError
            If no record is left, or the data set is simulated (its truth describes all of its items).
        """
        if interactions.is_empty():
            raise InputError(f"{self.source or self.name}: no record is left after the selection.")
        if self.truth is not None:
            raise InputError(f"{self.name}: a simulated market cannot be cut; simulate a smaller one.")
        rated = interactions.select("item_id").unique()

        def of(frame: pl.DataFrame | None, keys: list[str]) -> pl.DataFrame | None:
            if frame is None:
                return None
            keys = keys + ["timestamp"] if "timestamp" in frame.columns else keys
            return frame.join(interactions.select(keys).unique(), on=keys, how="semi", maintain_order="left")

        return replace(
            self,
            name=name or self.name,
            interactions=interactions,
            items=self.items.join(rated, on="item_id", how="semi", maintain_order="left"),
            aspects=of(self.aspects, ["user_id", "item_id"]),
            texts=of(self.texts, ["item_id"]),
            reviews=of(self.reviews, ["user_id", "item_id"]),
        )


def make_dataset(
    name: str,
    domain: Domain | str,
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    *,
    aspects: pl.DataFrame | None = None,
    texts: pl.DataFrame | None = None,
    reviews: pl.DataFrame | None = None,
    rating_min: float = 1.0,
    rating_max: float = 5.0,
    liked_from: float = 4.0,
    context: tuple[str, ...] = (),
    simulated: bool = False,
    truth: object | None = None,
    source: str = "",
    files: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    unit: str = "",
    release: str = "",
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Validate the frames and build a Dataset; numbers and dates may still be text, other columns are dropped.

    Parameters
    ----------
    domain
        A Domain or the name of one in `DOMAINS`.
    interactions, items, aspects, texts, reviews
        Frames with the columns described at `Dataset`; `timestamp`, `details` and `sentiment` may be left out.
    context
        Names of the context columns of `interactions`.
    files
        The file behind a frame ("interactions", "items", ...), for complaints; by default `source`.
    columns
        What the file calls a column, for complaints, where it differs from ours.
    unit
        Of numeric times, as for `times.read_times`.
    release, notes
        As described at `Dataset`.

    Raises
    ------
    InputError
        At the first fault: a missing column, an unreadable or non-finite number, a rating outside the scale, an
        unparsable date, a record given twice, an item without a name, an unknown item, no records at all.
    """
    if isinstance(domain, str):
        if domain not in DOMAINS:
            raise InputError(f"{source or name}: unknown domain '{domain}'; expected one of {', '.join(DOMAINS)}.")
        domain = DOMAINS[domain]
    check_scale(source or name, rating_min, rating_max, liked_from)
    twice = next((column for column in context if context.count(column) > 1 or column in _COLUMNS), None)
    if twice is not None:
        raise InputError(
            f"{source or name}: '{clipped(twice)}' cannot be the name of a context column; name each once, and rename"
            f" what is called {', '.join(_COLUMNS)}."
        )
    check = _Checks(source or name, files or {}, columns or {}, unit)
    records = check.interactions(interactions, rating_min, rating_max, context)
    goods = check.items(items)
    mentions = None if aspects is None else check.aspects(aspects)
    written = None if texts is None else check.plain(texts, "texts", ("item_id",), ("positive", "negative"))
    told = None if reviews is None else check.plain(reviews, "reviews", ("user_id", "item_id"), ("text",))
    for frame, of in ((mentions, "aspects"), (told, "reviews")):
        if frame is not None:
            keys = [key for key in ("user_id", "item_id", "timestamp") if key in frame.columns]
            among = "the item of a record of that user in " + check.where("interactions")
            check.known(frame, records.select(keys).unique(), of, among)
    listed = "an item listed in " + check.where("items")
    if written is not None:
        check.known(written, goods.select("item_id"), "texts", listed)
        check.unique(written, ("item_id",), "texts")
    dataset = Dataset(
        name=name,
        domain=domain,
        interactions=records,
        items=goods,
        aspects=mentions,
        texts=written,
        reviews=told,
        rating_min=rating_min,
        rating_max=rating_max,
        liked_from=liked_from,
        context=context,
        simulated=simulated,
        truth=truth,
        source=source,
        release=release,
        notes=notes,
    )
    unknown = records.with_columns(_row=dataset.item_row)  # found once, for the splits too
    refuse(unknown, "item_id", pl.col("_row").is_null(), check.where("interactions"), listed, check.label("item_id"))
    return dataset


def check_scale(where: str, low: float, high: float, liked: float) -> None:
    """Refuse a scale of ratings that is none."""
    if not low < liked <= high or not math.isfinite(high - low):
        raise InputError(
            f"{where}: the rating scale {low:g} to {high:g}, liked from {liked:g}, is impossible; expected minimum <"
            " liked from <= maximum, all finite."
        )


_COLUMNS = ("user_id", "item_id", "rating", "timestamp", "test", "name", "details", "text", "aspect")


@dataclass(frozen=True)
class _Checks:
    source: str
    files: Mapping[str, str]
    columns: Mapping[str, str]
    unit: str

    def where(self, frame: str) -> str:
        return self.files.get(frame, f"{self.source} ({frame})")

    def label(self, column: str) -> str:
        return self.columns.get(column, column)

    def need(self, frame: pl.DataFrame, of: str, required: tuple[str, ...]) -> None:
        require_columns(list(map(self.label, frame.columns)), list(map(self.label, required)), self.where(of))
        if frame.is_empty():
            raise InputError(f"{self.where(of)}: no rows; expected at least one.")

    def text(self, frame: pl.DataFrame, column: str, of: str, expected: str = "a non-empty value") -> pl.Series:
        return text_column(frame, column, self.where(of), expected, self.label(column))

    def interactions(self, frame: pl.DataFrame, low: float, high: float, context: tuple[str, ...]) -> pl.DataFrame:
        of = "interactions"
        self.need(frame, of, ("user_id", "item_id", "rating", *context))
        where, scale = self.where(of), f"a number from {low:g} to {high:g}"
        found = [self.text(frame, "user_id", of), self.text(frame, "item_id", of)]
        rating = number_column(frame, "rating", where, scale, self.label("rating"))
        outside = ~pl.col("_number").is_between(low, high)
        refuse(frame.with_columns(_number=rating), "rating", outside, where, scale, self.label("rating"))
        found.append(rating)
        if "timestamp" in frame.columns:
            found.append(seconds_column(frame, "timestamp", where, self.label("timestamp"), self.unit))
        found += [as_written(frame, column, where).cast(pl.String) for column in context]
        if "test" in frame.columns:
            refuse(frame, "test", pl.col("test").cast(pl.Boolean).is_null(), where, "true or false")
            found.append(frame["test"].cast(pl.Boolean))
        records = pl.DataFrame(found)
        self.unique(records, tuple(c for c in ("user_id", "item_id", "timestamp") if c in records.columns), of)
        return records

    def items(self, frame: pl.DataFrame) -> pl.DataFrame:
        self.need(frame, "items", ("item_id", "name"))
        found = [self.text(frame, "item_id", "items"), self.text(frame, "name", "items", "the name of the item")]
        goods = pl.DataFrame(found).with_columns(details=pl.lit(""))
        if "details" in frame.columns:
            details = as_written(frame, "details", self.where("items"), self.label("details"), lists=True)
            goods = goods.with_columns(details=details.cast(pl.String).fill_null(""))
        self.unique(goods, ("item_id",), "items")
        return goods

    def aspects(self, frame: pl.DataFrame) -> pl.DataFrame:
        mentions = self.plain(frame, "aspects", ("user_id", "item_id", "aspect"), ())
        if "sentiment" not in frame.columns:
            return mentions.with_columns(sentiment=pl.lit(None, pl.Int8))
        sign = pl.col("sentiment").cast(pl.Int8, strict=False)
        bad = pl.col("sentiment").is_not_null() & ~sign.is_in([1, -1]).fill_null(False)
        refuse(frame, "sentiment", bad, self.where("aspects"), "+1, -1 or nothing", self.label("sentiment"))
        return mentions.with_columns(frame.select(sign)["sentiment"])

    def plain(self, frame: pl.DataFrame, of: str, keys: tuple[str, ...], texts: tuple[str, ...]) -> pl.DataFrame:
        require_columns(frame.columns, keys + texts, self.where(of))
        found = [self.text(frame, key, of) for key in keys]
        where = self.where(of)
        found += [
            as_written(frame, text, where, self.label(text), lists=True).cast(pl.String).fill_null("") for text in texts
        ]
        if "timestamp" in frame.columns:
            found.append(seconds_column(frame, "timestamp", where, self.label("timestamp"), self.unit))
        return pl.DataFrame(found)

    def known(self, frame: pl.DataFrame, among: pl.DataFrame, of: str, expected: str) -> None:
        if among.width == 1:  # ids alone: no need to match row by row
            missing = ~pl.col("item_id").is_in(among["item_id"].implode())
            return refuse(frame, "item_id", missing, self.where(of), expected, self.label("item_id"))
        known = among.with_columns(_known=pl.lit(True))
        found = frame.select(among.columns).join(known, on=among.columns, how="left", maintain_order="left")
        refuse(found, "item_id", pl.col("_known").is_null(), self.where(of), expected, self.label("item_id"))

    def unique(self, frame: pl.DataFrame, keys: tuple[str, ...], of: str) -> None:
        refuse_repeats(frame, keys, self.where(of), self.label)

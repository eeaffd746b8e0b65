"""Numbers in place of ids: millions of texts are looked up by their hashes, in a fraction of the time."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

_WORD = 8  # bytes that are compared as one number
_OTHER_SEED = 1  # two texts whose hashes agree under both seeds are the same


def numbered(ids: pl.Series) -> NDArray[np.uint32]:
    """(N,) number of each id: its place among the different ones, sorted."""
    marks = ids.hash()
    names = _sorted(ids.gather(marks.arg_unique()))
    # the mark of rank k is that of the name in place by_mark[k]
    by_mark = names.hash().arg_sort()
    number = by_mark.gather(marks.rank("dense") - 1)
    if (names.hash(_OTHER_SEED).gather(number) == ids.hash(_OTHER_SEED)).all():
        return number.to_numpy()
    # Different ids with one hash passed for one id. That hardly ever happens.
    return rows_among(ids, ids.unique().sort()).to_numpy()


def _sorted(names: pl.Series) -> pl.Series:
    """Different texts in the order of their bytes: by the first eight as a number, and as texts where these agree."""
    if names.str.len_bytes().min() < _WORD:  # type: ignore[operator]
        return names.sort()
    start = names.cast(pl.Binary).bin.head(_WORD).bin.reinterpret(dtype=pl.UInt64, endianness="big")
    order = start.arg_sort()
    names, start = names.gather(order), start.gather(order)
    tied = ((start == start.shift(1)) | (start == start.shift(-1))).fill_null(False)
    return names.scatter(tied.arg_true(), names.filter(tied).sort()) if tied.any() else names


def rows_among(ids: pl.Series, known: pl.Series) -> pl.Series:
    """(N,) row of each id among the different ones known, null where it is none of them."""
    hashes = known.hash()
    if hashes.n_unique() == len(known):  # then they stand for the texts
        ids, known = ids.hash(), hashes
    rows = known.to_frame("id").with_row_index("row")
    return ids.to_frame("id").join(rows, on="id", how="left", maintain_order="left")["row"]

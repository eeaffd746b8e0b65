"""Numbers of ids, runs of sorted records and what counts as nothing written, against plain Python."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrrecsys_core.data import cuts
from lrrecsys_core.data.columns import blank, row_hashes
from lrrecsys_core.data.cuts import last_of_runs, run_sizes
from lrrecsys_core.data.earlier import run_starts
from lrrecsys_core.data.numbering import numbered, rows_among
from lrrecsys_core.data.simulate import simulate_market
from lrrecsys_core.data.split import make_split

texts = st.lists(st.text(max_size=3), min_size=1, max_size=30)


@given(texts)
def test_ids_are_numbered_in_the_order_of_their_bytes(ids: list[str]) -> None:
    order = sorted(set(ids), key=str.encode)
    assert numbered(pl.Series(ids)).tolist() == [order.index(one) for one in ids]


# long texts, of which many begin alike and some are no ASCII
starts = st.sampled_from(["aaaaaaaa", "aaaaaaab", "\0\0\0\0\0\0\0\0", "éééé", "zzzzzzzé"])
long_texts = st.lists(st.tuples(starts, st.text(max_size=2)).map("".join), min_size=1, max_size=30)


@given(long_texts)
def test_so_are_long_ids_that_begin_alike(ids: list[str]) -> None:
    order = sorted(set(ids), key=str.encode)
    assert numbered(pl.Series(ids)).tolist() == [order.index(one) for one in ids]


@given(texts, st.lists(st.text(max_size=3), min_size=1, unique=True))
def test_unknown_ids_have_no_row(ids: list[str], known: list[str]) -> None:
    rows = rows_among(pl.Series(ids), pl.Series(known))
    assert rows.to_list() == [known.index(one) if one in known else None for one in ids]


def test_runs_and_the_last_of_them() -> None:
    group, time = np.array([3, 3, 3, 7, 8, 8]), np.array([1, 1, 2, 2, 2, 5])
    assert run_starts(group).tolist() == [0, 3, 4] and run_starts(group, time).tolist() == [0, 2, 3, 4, 5]
    assert run_sizes(group).tolist() == [3, 1, 2]
    assert last_of_runs(run_sizes(group), np.array([2, 0, 1])).tolist() == [False, True, True, False, False, True]


@given(st.lists(st.integers(0, 5), max_size=40))
def test_run_sizes_are_those_of_groups(group: list[int]) -> None:
    group.sort()
    assert run_sizes(np.array(group, np.int64)).tolist() == [len(list(run)) for _, run in groupby(group)]


def test_histories_do_not_depend_on_how_many_users_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    market = simulate_market("hotels", 1)
    whole = make_split(market)
    for rows in (1, 50):
        monkeypatch.setattr(cuts, "_ROWS", rows)
        assert np.array_equal(make_split(market).history_position, whole.history_position)


def test_what_shows_no_visible_character_is_blank() -> None:
    written = ["a", "~", "\x7f", "é", " x", "\u200b"]  # the last has no width, but is a sign
    nothing = ["", " ", "\t\n", "\u00a0", "\u3000", None]
    assert blank(pl.Series(written + nothing)).to_list() == [False] * len(written) + [True] * len(nothing)
    assert blank(pl.Series(["a", "b"])).to_list() == [False, False]


def test_rows_of_equal_keys_have_equal_hashes_and_swapped_keys_have_not() -> None:
    hashes = row_hashes(pl.DataFrame({"a": ["x", "y", "x"], "b": ["y", "x", "y"]}), ("a", "b"))
    assert hashes[0] == hashes[2] != hashes[1]

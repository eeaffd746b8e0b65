"""Which training records a record may learn from: those of the same user, or item, that are strictly earlier."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Positions = NDArray[np.int32]  # of users and items, of which there are fewer than 2**31
Whole = NDArray[np.integer[Any]]
_Number = TypeVar("_Number", np.int32, np.int64, np.float32, np.float64)


@dataclass(frozen=True)
class Earlier:
    """For each of N records a window of training records with the same user (or item), itself never among them.

    Where time is known the window holds the training records with a strictly smaller timestamp; where it is not, all
    other training records of the group. `order` lists the T training records group by group, oldest first; record i
    may use `order[start[i]:stop[i]]`, except position `own[i]` (-1 where the record lies outside its window).

    Attributes
    ----------
    order
        (T,) record indices.
    start, stop, own
        (N,) positions in `order`.
    """

    order: Ints
    start: Ints
    stop: Ints
    own: Ints

    @property
    def count(self) -> Ints:
        """(N,) number of training records each record may use."""
        return self.stop - self.start - (self.own >= 0)

    def sums(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """Sum `values`, (N,) or (N, K), over the window of each record; shape and type stay those of `values`."""
        total = np.zeros((len(self.order) + 1, *values.shape[1:]), values.dtype)
        np.cumsum(values[self.order], axis=0, out=total[1:])
        result = total[self.stop] - total[self.start]
        inside = self.own >= 0
        result[inside] -= values[inside]
        return result

    def last(self, n: int) -> Ints:
        """(N, n) record indices of the newest n records of each window, newest last, padded on the left with -1."""
        found = np.empty((len(self.stop), n), np.int64)
        for place in range(n):
            position = self.stop + (place - n)
            position -= (self.own >= 0) & (position <= self.own)
            inside = position >= self.start
            position[~inside] = 0
            found[:, place] = np.where(inside, self.order[position], -1)
        return found

    def draw(self, n: int, rng: np.random.Generator) -> Ints:
        """(N, n) record indices of up to n different records of each window at random, padded on the left with -1.

        Draws without replacement by Floyd's algorithm (Bentley and Floyd, 1987), one step for all records at once.
        """
        count = self.count
        take = np.minimum(n, count)
        chosen = np.full((len(count), n), -1, np.int64)
        for step in range(n):
            top = count - take + step
            pick = (rng.random(len(count)) * (top + 1)).astype(np.int64)
            taken = (chosen[:, :step] == pick[:, None]).any(1)
            chosen[:, step] = np.where(step < take, np.where(taken, top, pick), -1)
        chosen.sort(axis=1)
        position = self.start[:, None] + chosen
        own = self.own[:, None]
        position = position + ((own >= 0) & (position >= own))
        return np.where(chosen >= 0, self.order[np.where(chosen >= 0, position, 0)], -1)


def earlier_training(group: Whole, time: Ints | None, train: NDArray[np.bool_]) -> Earlier:
    """Find the windows of records with these groups (N,), times (N,) or None, and training marks (N,)."""
    n = len(group)
    order = order_by(group) if time is None else order_by(group, time)
    marked = train[order]
    before = np.zeros(n + 1, np.int64)
    np.cumsum(marked, out=before[1:])
    group = group[order]
    first = run_starts(group)
    start, stop, own = np.empty(n, np.int64), np.empty(n, np.int64), np.full(n, -1, np.int64)
    start[order] = np.repeat(before[first], np.diff(first, append=n))
    if time is None:
        ends = np.append(first[1:], n)
        stop[order] = np.repeat(before[ends], np.diff(first, append=n))
        own[order] = np.where(marked, before[:-1], -1)
    else:
        moment = run_starts(group, time[order])
        stop[order] = np.repeat(before[moment], np.diff(moment, append=n))
    return Earlier(order[marked], start, stop, own)


def run_starts(*sorted_keys: Whole) -> Ints:
    """(runs,) where each run of records (N,) that are equal in all keys begins."""
    begins = np.zeros(len(sorted_keys[0]), bool)
    begins[:1] = True
    for key in sorted_keys:
        begins[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(begins)


def order_by(*keys: Whole) -> Ints:
    """(N,) indices that sort by the first key, then by the next; what is equal in all stays in its order."""
    n = len(keys[0])
    bits = n.bit_length()
    order = place = np.arange(n)
    sorted_so_far = np.ones(max(n - 1, 0), bool)
    for key in reversed(keys):
        sorted_so_far = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & sorted_so_far)
    if sorted_so_far.all():
        return order
    for key in reversed(keys):
        key = key[order].astype(np.int64, copy=False)  # ours alone, so that it can be written over
        if (int(key.max()) - int(key.min())) >> (63 - bits) == 0:
            # A key and its place in one number: sorting the numbers is stable, and many times faster than an argsort.
            key -= key.min()
            key <<= bits
            key |= place
            # numpy's sort takes twice the time
            order = order[np.bitwise_and(pl.Series(key).sort().to_numpy(), (1 << bits) - 1, out=key)]
        else:
            order = order[np.argsort(key, kind="stable")]
    return order

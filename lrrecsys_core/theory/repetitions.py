"""Repetitions of a simulation: named seeds, cached rows, and bands or slopes bootstrapped over repetitions."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
import polars as pl
import scipy
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lrrecsys_core import paths
from lrrecsys_core.source_code import code_hash
from lrrecsys_core.terminal import track
from lrrecsys_core.workers import tied

Array = NDArray[np.float64]
Row = dict[str, object]


def generator(seed: int, *names: str | float) -> np.random.Generator:
    """Random numbers of one named stage, the same whatever else is drawn before or beside it."""
    words = [zlib.crc32(str(name).encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def repeat(
    repetition: Callable[[int], list[Row]], repetitions: int, jobs: int = 1, what: str = "repetitions"
) -> pl.DataFrame:
    """Rows of ``repetition(0), repetition(1), ...`` in one frame, in order whatever the number of `jobs`.

    How far they are is shown as so many of `what`.
    """
    # One thread each: these matrices are small, and threads that wait for each other cost up to twenty times the time.
    if jobs == 1:
        with threadpool_limits(1):
            parts = list(track(map(repetition, range(repetitions)), repetitions, what))
    else:
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            numbers, parent = range(repetitions), os.getpid()
            work = joblib.Parallel(n_jobs=jobs, return_as="generator")
            made = work(joblib.delayed(tied)(parent, repetition, at) for at in numbers)
            parts = list(track(made, repetitions, what))
    return pl.DataFrame([row for part in parts for row in part], infer_schema_length=None)


def cached(
    folder: Path, name: str, parameters: dict[str, object], code: str, make: Callable[[], pl.DataFrame]
) -> pl.DataFrame:
    """Read ``<folder>/<name>-<hash>.parquet``, made and written atomically when it is missing.

    The hash is of the parameters and of the module `code` (``theory.lasso``) with all that it imports of theory/ and
    data/: its constants decide the rows too.
    """
    key = json.dumps([name, parameters, code_hash((code,), ("theory", "data"))], sort_keys=True, default=str)
    path = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.parquet"
    if not paths.sound(path):
        frame = make()
        with paths.replacing(path) as partial:
            frame.write_parquet(partial)
    return pl.read_parquet(path)


@dataclass(frozen=True, slots=True)
class Estimate:
    """An effect with its 95% percentile interval and the one-sided p-value of "not above zero"."""

    effect: float
    low: float
    high: float
    p: float

    def __format__(self, digits: str) -> str:
        digits = digits or ".2f"
        return f"{self.effect:{digits}} (95% interval {self.low:{digits}} to {self.high:{digits}})"


def matrix(frame: pl.DataFrame, x: str, value: str) -> tuple[Array, Array]:
    """Repetitions by grid: `value` of each repetition (R rows) at each of the K sorted levels of column `x`.

    Returns
    -------
    levels (K,), values (R, K).
    """
    wide = frame.select("repetition", x, value).sort(x).pivot(on=x, index="repetition", values=value)
    levels = np.unique(frame[x].to_numpy()).astype(float)
    return levels, wide.sort("repetition").drop("repetition").to_numpy().astype(float)


@lru_cache(maxsize=16)
def _weights(repetitions: int, seed: int, draws: int) -> Array:
    counts = np.random.default_rng(seed).multinomial(repetitions, np.full(repetitions, 1 / repetitions), draws)
    return counts / repetitions


def bootstrap(values: Array, statistic: Callable[[Array], Array], seed: int = 0, draws: int = 2000) -> Estimate:
    """Bootstrap over repetitions a statistic of the mean curve.

    Parameters
    ----------
    values : (R, K) one row a repetition.
    statistic : maps mean curves (..., K) to numbers (...).
    """
    resampled = statistic(_weights(len(values), seed, draws) @ values)
    low, high = np.quantile(resampled, [0.025, 0.975])
    # Counting the observed sample among the draws keeps the p-value from being an impossible zero.
    p = (1 + int((resampled <= 0).sum())) / (1 + draws)
    return Estimate(float(statistic(values.mean(0))), float(low), float(high), p)


def slope_on(x: ArrayLike) -> Callable[[Array], Array]:
    """Least-squares slope on the grid `x` (K,), as a statistic of curves (..., K)."""
    centred = np.asarray(x, float) - np.mean(np.asarray(x, float))
    weight = centred / (centred @ centred)
    return lambda curves: curves @ weight


def bands(frame: pl.DataFrame, by: Sequence[str], value: str, seed: int = 0, draws: int = 1000) -> pl.DataFrame:
    """Mean of `value` in each group, with the 95% percentile interval of a bootstrap over its repetitions.

    Returns
    -------
    Columns `by`, mean, low, high, repetitions; sorted by `by`.
    """
    rows: list[Row] = []
    for key, group in frame.sort([*by, "repetition"]).group_by(by, maintain_order=True):
        estimate = bootstrap(group[value].to_numpy().astype(float)[:, None], lambda curve: curve[..., 0], seed, draws)
        rows.append(
            dict(zip(by, key, strict=True))
            | {"mean": estimate.effect, "low": estimate.low, "high": estimate.high, "repetitions": len(group)}
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def largest(frame: pl.DataFrame, column: str) -> int:
    """Largest value of an integer column."""
    return int(frame[column].to_numpy().max())


def rates(frame: pl.DataFrame, by: Sequence[str], value: str) -> pl.DataFrame:
    """Share of repetitions with `value` 1 in each group, with its 95% Wilson interval.

    A bootstrap would give a rate of 0 or 1 an interval of no width.

    Returns
    -------
    Columns `by`, mean, low, high, repetitions; sorted by `by`.
    """
    counts = frame.group_by(by).agg(hits=pl.col(value).sum(), repetitions=pl.len()).sort(by)
    intervals = [
        scipy.stats.binomtest(int(hits), int(tries)).proportion_ci(method="wilson")
        for hits, tries in counts.select("hits", "repetitions").iter_rows()
    ]
    return counts.select(
        *by,
        (pl.col("hits") / pl.col("repetitions")).alias("mean"),
        pl.Series("low", [float(interval.low) for interval in intervals]),
        pl.Series("high", [float(interval.high) for interval in intervals]),
        "repetitions",
    )

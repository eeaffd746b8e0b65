"""What the results say about one data set, in the unit of evidence that fits it.

Simulated: one replicate is one fresh market and tests are paired by market. Real: predictions are averaged over
replicates and users are resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core import metrics as m
from lrrecsys_core import paths, stats
from lrrecsys_core import rows as r
from lrrecsys_core.report.panel import ATTENTION, Panel, make_panel
from lrrecsys_core.source_code import code_hash
from lrrecsys_core.stats import Estimate

Floats = NDArray[np.float64]
_CODE = code_hash(("stats",), ("stats.py",))  # of the draws
SILENT = 0.01  # logits: at most a quarter of a percentage point of a probability


@dataclass
class Evidence:
    """Results of one data set.

    Parameters
    ----------
    dataset : str
    metrics : frame
        Columns dataset, row, metric, part, replicate, value, simulated, by_construction, explainer; where known llm,
        same_data, cell.
    predictions : frame or None
        Columns dataset, row, replicate, task, record, user, item, rating, target, liked, prediction, user_count,
        item_count, and the attention columns for rows that have them.
    """

    dataset: str
    metrics: pl.DataFrame
    predictions: pl.LazyFrame | pl.DataFrame | None = None
    _cache: dict[tuple[object, ...], Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metrics = self.metrics.filter(pl.col("dataset") == self.dataset)

    @cached_property
    def simulated(self) -> bool:
        """Whether the data set is a simulated market."""
        return bool(self.metrics["simulated"].any())

    @cached_property
    def ordered(self) -> bool:
        """Whether the records have timestamps."""
        return bool(self.metrics["ordered"].all())

    @cached_property
    def same_data(self) -> bool:
        """Whether the records are those the paper used."""
        return "same_data" in self.metrics.columns and bool(self.metrics["same_data"].fill_null(False).all())

    @cached_property
    def item_text(self) -> bool:
        """Whether its items have texts; runs kept before this was told had them."""
        return "item_text" not in self.metrics.columns or bool(self.metrics["item_text"].all())

    @cached_property
    def _cells(self) -> dict[tuple[str, str], list[str]]:
        if "cell" not in self.metrics.columns:
            return {}
        kept = self.metrics.filter(pl.col("part") == "test", pl.col("cell").fill_null("") != "")
        found = kept.group_by("row", "metric").agg(pl.col("cell").unique())
        return {(row, metric): keys for row, metric, keys in found.iter_rows()}

    def cells(self, metric: str, *rows: str) -> str:
        """Keys of the kept cells behind these rows' values of a metric, separated by spaces."""
        return " ".join(sorted({key for row in rows for key in self._cells.get((row, metric), [])}))

    @cached_property
    def rows(self) -> frozenset[str]:
        """Rows with test results."""
        return frozenset(self.metrics.filter(pl.col("part") == "test")["row"].to_list())

    @cached_property
    def baselines(self) -> tuple[str, ...]:
        """The paper's baselines that were run."""
        return tuple(name for name in r.BASELINES if name in self.rows)

    @cached_property
    def _programmed(self) -> frozenset[str]:
        return frozenset(self.metrics.filter(pl.col("by_construction"))["row"].to_list())

    def by_construction(self, *rows: str) -> bool:
        """Whether a programme, not an LLM, decided how any of these rows come out."""
        return not self._programmed.isdisjoint(rows)

    @cached_property
    def _words(self) -> dict[str, dict[str, list[str]]]:
        columns = [name for name in ("explainer", "tier", "note", "llm") if name in self.metrics.columns]
        found = self.metrics.group_by("row").agg(pl.col(name).drop_nulls().unique().sort() for name in columns)
        return {str(line.pop("row")): line for line in found.to_dicts()}

    def words(self, row: str, column: str) -> str:
        """What the metrics frame says of a row in ``explainer``, ``tier``, ``note`` or ``llm``, or ""."""
        return ", ".join(filter(None, self._words.get(row, {}).get(column, [])))

    def explainer(self, row: str) -> str:
        """Who wrote the explanations of a row, or ""."""
        return self.words(row, "explainer")

    def silent(self, row: str, *metrics: str) -> tuple[int, int]:
        """How many of a row's networks behind these metrics add nothing to the shared biases, of how many.

        A network is silent if its own part moves by less than `SILENT` (standard deviation over the test records).
        """
        if "own_part" not in self.metrics.columns:
            return 0, 0
        wanted = (pl.col("row") == row, pl.col("part") == "test", pl.col("metric").is_in(metrics))
        own = self.metrics.filter(*wanted)["own_part"].drop_nulls()
        own = own.explode() if own.dtype == pl.List else own  # one figure per network that a prediction averages
        return int((own < SILENT).sum()), len(own)

    def mute(self, row: str, metric: str) -> bool:
        """Whether a row is the shared biases alone: their own row, or one whose networks behind a metric are silent.

        On markets all of them. On real data most: there intervals are over users, of the networks' average, and do not
        hold the chance by which a few of them speak.
        """
        silent, n = self.silent(row, metric)
        return (silent == n > 0 if self.simulated else 2 * silent > n) or row == r.BIASES

    def nothing_said(self, metric: str, *rows: str) -> str:
        """Why a contrast of these rows would compare biases with biases, or "" if one of them speaks."""
        mute = all(self.mute(row, metric) for row in rows)
        return f"biases alone on both sides: {self.silence(metric, *rows)}" if mute else ""

    def silence(self, metric: str, *rows: str) -> str:
        """Which of these rows have silent networks behind a metric, in words, or ""."""
        counted = {row: self.silent(row, metric) for row in rows}
        return ", ".join(f"{row}: {silent} of {n} networks bias-only" for row, (silent, n) in counted.items() if silent)

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], dict[int, float]]:
        # Asked for thousands of times; one pass over the frame instead of a filter each time.
        out: dict[tuple[str, str, str], dict[int, float]] = {}
        finite = self.metrics.filter(pl.col("value").is_finite()).sort("replicate")
        columns = "row", "metric", "part", "replicate", "value"
        for row, metric, part, replicate, value in finite.select(columns).iter_rows():
            out.setdefault((row, metric, part), {})[replicate] = value
        return out

    def values(self, row: str, metric: str, part: str = "test") -> dict[int, float]:
        """Value of each replicate."""
        return self._values.get((row, metric, part), {})

    def paired(self, metric: str, *rows: str) -> list[Floats]:
        """Values of several rows over the replicates that all of them have."""
        values = [self.values(row, metric) for row in rows]
        shared = sorted(set.intersection(*(set(v) for v in values))) if values else []
        return [np.array([v[r] for r in shared]) for v in values]

    def best_baseline(self, metric: str, rank: int = 0) -> str | None:
        """Best of the paper's baselines on validation (``rank`` 1: the second best), or None."""
        found = {name: list(self.values(name, metric, "validation").values()) for name in self.baselines}
        means = {name: np.mean(values) for name, values in found.items() if values}
        ordered = sorted(means, key=lambda name: (means[name] if m.LOWER_IS_BETTER[metric] else -means[name], name))
        return ordered[rank] if len(ordered) > rank else None

    def panels(self, task: str, rows: Sequence[str] | None = None) -> list[Panel]:
        """One panel per market, or a single one for real data.

        Parameters
        ----------
        task : "regression" or "classification"
        rows : names, or None for all rows of the predictions; the records carry attention when one row is named
        """
        if self.predictions is None:
            return []
        chosen = self.predictions.lazy().filter((pl.col("dataset") == self.dataset) & (pl.col("task") == task))
        if rows is not None:
            chosen = chosen.filter(pl.col("row").is_in(list(rows)))
        frame = chosen.collect()
        if frame.is_empty():
            return []
        markets = sorted(frame.group_by("replicate"), key=lambda group: group[0])
        groups = [part for _, part in markets] if self.simulated else [frame]
        return [make_panel(group, ATTENTION if rows is not None and len(rows) == 1 else ()) for group in groups]

    @cached_property
    def _real(self) -> dict[str, Panel]:
        found = {task: self.panels(task) for task in ("regression", "classification")}
        return {task: panels[0] for task, panels in found.items() if panels}

    def _draws(self, metric: str, row: str, answered: NDArray[np.bool_]) -> tuple[float, Floats]:
        """A row's metric on the answered records, and in every draw of their users."""
        panel = self._real[m.TASK[metric]]
        prediction = panel.answers(row)[answered]
        truth = panel.column("liked" if metric == "AUC" else "target")[answered]
        key = (metric, row) if answered.all() else (metric, row, hash(answered.tobytes()))
        if key not in self._cache:
            users = panel.records["user"].to_numpy()[answered]
            self._cache[key] = paths.memory().cache(resampled)(metric, users, prediction, truth, _CODE)
        return float(m.score(metric, prediction, truth, truth)), self._cache[key]

    def contrast(
        self, metric: str, wanted: Sequence[str | None], function: Callable[..., Floats | float]
    ) -> Estimate | None:
        """Estimate ``function(value of the first row, of the second, ...)``; None when a row is None or was not run.

        Markets: the function is applied market by market, then the mean is tested. Real data: to the metric of the
        averaged predictions and to that of every bootstrap draw, on the records that all these rows answer.
        """
        rows = [row for row in wanted if row is not None]
        if len(rows) < len(wanted):
            return None
        if self.simulated:
            values = self.paired(metric, *rows)
            with np.errstate(divide="ignore", invalid="ignore"):
                return stats.paired_t(function(*values)) if values and values[0].size else None
        panel = self._real.get(m.TASK[metric])
        if panel is None or not all(panel.has(row) for row in rows):
            return None
        answered = np.all([np.isfinite(panel.answers(row)) for row in rows], axis=0)
        if not answered.any():
            return None
        drawn = [self._draws(metric, row, answered) for row in rows]
        # Users who answer nothing take no part, so the number of clusters is that of the records compared.
        bootstrap = stats.UserBootstrap(panel.records["user"].to_numpy()[answered])
        with np.errstate(divide="ignore", invalid="ignore"):
            effect = float(function(*(np.float64(value) for value, _ in drawn)))
            return bootstrap.estimate(effect, function(*(draws for _, draws in drawn)))

    def gain(self, metric: str, ours: str, reference: str | None) -> Estimate | None:
        """How much better ``ours`` is than ``reference``, in the metric's unit."""
        return self.contrast(metric, (ours, reference), lambda a, b: m.gain(metric, a, b))

    def improvement(self, metric: str, ours: str, reference: str | None) -> Estimate | None:
        """The same in percent of the reference."""
        return self.contrast(metric, (ours, reference), lambda a, b: m.improvement(metric, a, b))

    def seed_sd(self, metric: str, ours: str, reference: str) -> float | None:
        """Standard deviation of the gain over replicates of a real data set: seed noise, nothing else."""
        if self.simulated:
            return None
        a, b = self.paired(metric, ours, reference)
        return float(np.std(m.gain(metric, a, b), ddof=1)) if a.size > 1 else None

    def slope(
        self, panels: Sequence[Panel], x: Sequence[Floats], y: Sequence[Floats], *, clustered: bool = False
    ) -> Estimate | None:
        """Slope of ``y`` on ``x`` over records: a t-test of the markets' slopes, or users resampled on real data.

        Parameters
        ----------
        panels : from :meth:`panels`
        x, y : one array, shape (N,), per panel
        clustered : on real data, closed-form errors clustered by user instead of the bootstrap
        """
        if not panels:
            return None
        if self.simulated:
            slopes = np.array([stats.slope(a, b) for a, b in zip(x, y, strict=True)])
            return stats.paired_t(slopes[np.isfinite(slopes)])
        users = panels[0].records["user"].to_numpy()
        if clustered:
            return stats.clustered_slope(x[0], y[0], users)
        bootstrap = stats.UserBootstrap(users)
        return bootstrap.estimate(stats.slope(x[0], y[0]), bootstrap.slope(x[0], y[0]))

    def mean(self, panels: Sequence[Panel], y: Sequence[Floats]) -> Estimate | None:
        """Mean of ``y`` over records, with the same two units of evidence."""
        if not panels:
            return None
        if self.simulated:
            return stats.paired_t([values.mean() for values in y])
        bootstrap = stats.UserBootstrap(panels[0].records["user"].to_numpy())
        return bootstrap.estimate(float(y[0].mean()), bootstrap.mean(y[0]))

    def sample(self) -> str:
        """What the tests rest on, in words."""
        if self.simulated:
            replicates = self.metrics.filter(pl.col("part") == "test")["replicate"].n_unique()
            return f"{replicates} markets"
        if not self._real:
            return "no predictions kept"
        records = next(iter(self._real.values())).records
        return f"{records.height:,} records of {records['user'].n_unique():,} users"


def resampled(metric: str, users: NDArray[Any], prediction: Floats, truth: Floats, code: str) -> Floats:
    """A metric in every draw of the users (N,) of the records predicted; `code` is that of the draws."""
    bootstrap = stats.UserBootstrap(users)
    return {"RMSE": bootstrap.rmse, "MAE": bootstrap.mae, "AUC": bootstrap.auc}[metric](prediction, truth)


def attention_panels(source: Evidence) -> list[Panel]:
    """Panels of LR-Recsys with the attention on both explanations of every record; none where none was recorded."""
    found = source.panels("classification", [r.LR])
    return [
        p for p in found if set(ATTENTION[:2]) <= set(p.records.columns) and not p.records[ATTENTION[0]].null_count()
    ]


def datasets_in_order(metrics: pl.DataFrame) -> list[str]:
    """Data sets of a run: the markets as the paper lists their domains, then the others by name; null markets apart."""
    names = {str(name) for name in metrics["dataset"].unique() if not str(name).startswith(r.NULL_PREFIX)}
    return [d for d in r.PAPER_DATASET if d in names] + sorted(names - set(r.PAPER_DATASET))


def sources(metrics: pl.DataFrame, predictions: pl.LazyFrame | pl.DataFrame | None = None) -> list[Evidence]:
    """The data sets of a run in the order of the tables, null markets apart."""
    return [Evidence(name, metrics, predictions) for name in datasets_in_order(metrics)]


def null_markets(metrics: pl.DataFrame, predictions: pl.LazyFrame | pl.DataFrame | None = None) -> list[Evidence]:
    """The null markets of a run: ratings there depend on user and item effects only."""
    names = sorted(str(name) for name in metrics["dataset"].unique() if str(name).startswith(r.NULL_PREFIX))
    return [Evidence(name, metrics, predictions) for name in names]

"""Test records side by side with the predictions of every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ATTENTION = (
    "attention_positive", "attention_negative", "attention_user",
    "attention_item", "attention_sequence", "attention_context",
)  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """Test records of one market, or of a real data set with predictions averaged over replicates.

    Attributes
    ----------
    records : frame
        One line per record: record, user, item, rating, target, liked, user_count, item_count where known.
    predictions : dict of row name to array, shape (N,)
        In [0, 1]; only rows that predict every record.
    partial : the same for rows that leave records out, which are NaN.
    """

    records: pl.DataFrame
    predictions: dict[str, Floats]
    partial: dict[str, Floats] = field(default_factory=dict)

    def has(self, row: str) -> bool:
        """Whether the row predicts any of the records."""
        return row in self.predictions or row in self.partial

    def answers(self, row: str) -> Floats:
        """Predictions of a row, NaN where it gives none, shape (N,)."""
        return self.predictions[row] if row in self.predictions else self.partial[row]

    def column(self, name: str) -> Floats:
        """One column of the records as float64, shape (N,)."""
        return self.records[name].cast(pl.Float64).to_numpy()

    def squared_error(self, row: str) -> Floats:
        """Squared error of each record on [0, 1], shape (N,)."""
        return np.asarray((self.predictions[row] - self.column("target")) ** 2)

    def squared_error_gain(self, ours: str, reference: str) -> Floats:
        """How much larger the reference's squared error is, record by record, shape (N,)."""
        return self.squared_error(reference) - self.squared_error(ours)

    def disagreement(self, rows: Sequence[str]) -> Floats:
        """Variance of the rows' predictions for each record, min-max normalised to [0, 1] (Fig 6), shape (N,)."""
        variance = np.var([self.predictions[row] for row in rows], axis=0)
        spread = np.ptp(variance)
        return np.asarray((variance - variance.min()) / spread if spread > 0 else np.zeros_like(variance))


def make_panel(frame: pl.DataFrame, wanted: Sequence[str]) -> Panel:
    """Average the predictions over replicates and line them up; ``wanted`` names attention columns to carry along."""
    known = [c for c in ("user", "item", "rating", "target", "liked", "user_count", "item_count") if c in frame.columns]
    attention = [c for c in wanted if c in frame.columns]
    records = frame.group_by("record").agg(pl.col(known).first()).sort("record")
    if attention:
        shares = frame.filter(pl.col(attention[0]).is_not_null()).group_by("record").agg(pl.col(attention).mean())
        records = records.join(shares, on="record", how="left", maintain_order="left")
    mean = frame.group_by("row", "record").agg(pl.col("prediction").cast(pl.Float64).mean())
    complete: dict[str, Floats] = {}
    partial: dict[str, Floats] = {}
    for (name,), part in sorted(mean.group_by("row"), key=lambda group: str(group[0][0])):
        aligned = records.select("record").join(part, on="record", how="left", maintain_order="left")
        answers = aligned["prediction"].fill_null(float("nan")).to_numpy()
        (complete if np.isfinite(answers).all() else partial)[str(name)] = answers
    return Panel(records, complete, partial)

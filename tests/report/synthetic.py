"""Results with a planted answer: each row predicts the truth plus noise of a stated size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r

ATTENTION = ("positive", "negative", "user", "item", "sequence", "context")


def study(
    noise: Mapping[str, float],
    *,
    dataset: str = "hotels",
    replicates: int = 10,
    simulated: bool = True,
    users: int = 40,
    per_user: int = 8,
    seed: int = 0,
    by_construction: Sequence[str] = (),
    attention_shift: float = 0.05,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Metrics and predictions frames; a fresh truth per replicate on markets, one truth on real data."""
    metric_rows: list[dict[str, object]] = []
    frames: list[pl.DataFrame] = []
    for replicate in range(replicates):
        truth = np.random.default_rng([seed, replicate if simulated else 0])
        n = users * per_user
        user = np.repeat(np.arange(1, users + 1), per_user)
        user_count = np.repeat(truth.integers(1, 60, size=users), per_user)
        item = truth.integers(1, 30, size=n)
        rating = truth.integers(1, 6, size=n).astype(float)
        target, liked = (rating - 1) / 4, (rating >= 4).astype(float)
        for index, (row, size) in enumerate(noise.items()):
            rng = np.random.default_rng([seed, 1, index, replicate])
            for task in ("regression", "classification"):
                base = 0.4 + 0.2 * (target if task == "regression" else liked)
                prediction = np.clip(base + rng.normal(0, size, n), 0, 1)
                columns: dict[str, object] = {
                    "dataset": [dataset] * n, "row": [row] * n, "replicate": [replicate] * n, "task": [task] * n,
                    "record": np.arange(n), "user": user, "item": item, "rating": rating, "target": target,
                    "liked": liked, "prediction": prediction, "user_count": user_count, "item_count": item * 3,
                }  # fmt: skip
                weights = np.abs(rng.normal(1, 0.1, (n, 6)))
                weights[:, 0] += attention_shift * liked
                weights[:, 1] += attention_shift * (1 - liked)
                weights /= weights.sum(axis=1, keepdims=True)
                shown = row == r.LR
                for k, token in enumerate(ATTENTION):
                    columns[f"attention_{token}"] = pl.Series(weights[:, k] if shown else [None] * n, dtype=pl.Float64)
                frames.append(pl.DataFrame(columns))
                for metric in (k for k in m.METRICS if m.TASK[k] == task):
                    value = float(m.score(metric, prediction, target, liked))
                    for part in ("test", "validation"):
                        metric_rows.append(
                            {
                                "dataset": dataset, "row": row, "metric": metric, "replicate": replicate,
                                "value": value, "part": part, "tier": "faithful" if row in r.BASELINES else "",
                                "explainer": "simulated reasoner" if "LR-Recsys" in row else "", "note": "",
                                "simulated": simulated, "by_construction": row in by_construction, "ordered": True,
                                "parameters_shared": 3945, "parameters_entity": 8, "seconds": 1.0, "epochs": 7.0,
                            }
                        )  # fmt: skip
    return pl.DataFrame(metric_rows), pl.concat(frames)


def everything(**options: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All rows of the registry, ours best, LLM rows left out."""
    noise = {
        row.name: 0.10 if row.name == r.LR else 0.12 + 0.002 * i
        for i, row in enumerate(r.ROWS)
        if not row.llm and not row.same_as and row.name != r.at_fraction(r.BEST_BASELINE, 100)
    }
    for share, name in r.DIAL.items():
        noise[name] = 0.2 - 0.001 * share
    noise[r.SHUFFLE_ALL] = noise[r.shifted(r.SPURIOUS)] = noise[r.ABLATION1]
    return study(noise, **options)  # type: ignore[arg-type]

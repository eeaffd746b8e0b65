"""Rows without networks of their own, whose prediction is the mean of what other rows predict."""

from __future__ import annotations

import numpy as np
import polars as pl

from lrrecsys_core import metrics as m
from lrrecsys_core.rows import Row

OF_NETWORK = ("dataset", "replicate", "task")


def averaged_predictions(row: Row, predictions: pl.DataFrame) -> pl.DataFrame:
    """Test predictions of a row that averages others: those of its first row, with the mean of all.

    Parameters
    ----------
    row : one whose `averages` names rows.
    predictions : those of these rows on the same records, as cells keep them; attention is left out.

    Returns
    -------
    frame : empty where one of the rows has none.
    """
    key = [*OF_NETWORK, "record"]
    # Of what one row lacks (a market no cell was computed for) there is no mean.
    both = predictions.with_columns(pl.col("row").n_unique().over(key).alias("_rows"))
    both = both.filter(pl.col("_rows") == len(row.averages))
    mean = both.group_by(key).agg(pl.col("prediction").mean())
    first = both.filter(pl.col("row") == row.averages[0]).drop("_rows", "prediction")
    first = first.drop([name for name in first.columns if name.startswith("attention_")])
    found = first.join(mean, on=key, how="left", maintain_order="left")
    return found.with_columns(row=pl.lit(row.name)).select(
        name for name in predictions.columns if name in found.columns
    )


def averaged_metrics(row: Row, metrics: pl.DataFrame, predictions: pl.DataFrame) -> pl.DataFrame:
    """Metric rows, on test alone, of a row that averages others.

    Parameters
    ----------
    row : as for `averaged_predictions`.
    metrics : metric rows of the rows it averages; what they say besides values is that of the last, and parameters
        and their networks' own parts are those of all. Seconds are 0: nothing is trained again.
    predictions : what `averaged_predictions` returns.
    """
    values = []
    for (dataset, replicate, task), part in predictions.group_by(*OF_NETWORK, maintain_order=True):
        outcome = part["prediction"].to_numpy()
        if task == "regression":
            target = part["target"].to_numpy()
            told = {"RMSE": m.rmse(outcome, target), "MAE": m.mae(outcome, target)}
        else:
            told = {"AUC": m.auc(outcome, part["liked"].to_numpy())}
        values += [(dataset, replicate, metric, float(np.asarray(value))) for metric, value in told.items()]
    key = ["dataset", "replicate", "metric"]
    made = pl.DataFrame(values, schema=[*key, "value"], orient="row").cast(
        {name: metrics.schema[name] for name in key}  # also where there is none
    )
    tested = metrics.filter(pl.col("part") == "test")
    summed = ("parameters_shared", "parameters_entity")
    together = tested.group_by(key).agg(
        pl.col("own_part").explode(), *(pl.col(name).sum() for name in summed), pl.col("epochs").mean()
    )
    last = tested.filter(pl.col("row") == row.averages[-1]).drop("value", "own_part", "epochs", *summed)
    found = made.join(last, on=key, how="inner", maintain_order="left").join(together, on=key, how="left")
    about = {"row": row.name, "seconds": 0.0, "note": f"mean of {' and '.join(row.averages)}", "tier": "faithful"}
    found = found.with_columns(pl.lit(value).alias(name) for name, value in about.items())
    return found.with_columns(single=pl.lit(None, pl.Float64)).select(metrics.columns)

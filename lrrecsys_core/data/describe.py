"""What a reader of notebook 01 wants to see of the data: sizes, leaks, and what a market is made of."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.releases import RELEASES, TOLERANCE, counts, same_as_paper
from lrrecsys_core.data.simulate import market_truth
from lrrecsys_core.data.split import Split


def data_table(data: Mapping[str, Dataset]) -> pl.DataFrame:
    """The table of Section 5.1: the paper's data sets as printed, then these: data set, records, users, items, kind."""
    lines: list[tuple[object, ...]] = [
        (f"{release.paper_name} (paper)", release.records, release.users, release.items, release.what)
        for release in sorted(RELEASES.values(), key=lambda release: release.records)
    ]
    for name, dataset in data.items():
        kind = f"{'simulated market of' if dataset.simulated else 'real ratings of'} {dataset.domain.plural}"
        if dataset.release in RELEASES:
            near = "within" if same_as_paper(dataset) else "not within"
            paper = RELEASES[dataset.release].paper_name
            kind += f", the release of {paper} (counts {near} {TOLERANCE:.0%} of the paper's)"
        n = counts(dataset)
        lines.append((name, n["records"], n["users"], n["items"], kind))
    return pl.DataFrame(lines, schema=["data set", "records", "users", "items", "what they are"], orient="row")


def late_history(split: Split) -> int:
    """How many history items a user met only at the record's moment or later: 0, or something leaks.

    Without time the question has no answer, and 0 is returned.
    """
    if split.timestamp is None:
        return 0
    met = pl.DataFrame({"user": split.user_position, "item": split.item_position, "time": split.timestamp})
    rows, columns = np.nonzero(split.history_position >= 0)
    shown = {"user": split.user_position[rows], "item": split.history_position[rows, columns]}
    history = pl.DataFrame(shown | {"moment": split.timestamp[rows]})
    first = met.group_by("user", "item").agg(pl.col("time").min())
    return history.join(first, on=["user", "item"], how="left").filter(pl.col("time") >= pl.col("moment")).height


def market_attributes(dataset: Dataset) -> pl.DataFrame:
    """Attributes of a simulated market: attribute, kind, strength, correlation.

    `kind` is important (in S*), spurious or neither; `strength` how the attribute follows appeal in this environment;
    `correlation` that of having it with the mean rating of items.
    """
    truth = market_truth(dataset)
    means = dataset.interactions.group_by("item_id").agg(pl.col("rating").mean())
    rating = dataset.items.join(means, on="item_id", how="left", maintain_order="left")["rating"].to_numpy()
    rated = np.isfinite(rating)
    kinds = [
        "important" if a in truth.important else "spurious" if a in truth.spurious else "neither"
        for a in truth.attributes
    ]
    has = truth.item_attributes[rated].astype(float)
    with np.errstate(invalid="ignore"):  # an attribute that all or no items have
        correlation = [float(np.corrcoef(column, rating[rated])[0, 1]) for column in has.T]
    columns = {"attribute": truth.attributes, "kind": kinds, "strength": truth.strength, "correlation": correlation}
    return pl.DataFrame(columns)

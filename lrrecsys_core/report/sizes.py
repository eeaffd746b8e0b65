"""How large the models are and what they cost: Table 1, the costs of every row and those of the writers (Sec 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from lrrecsys_core import rows as r
from lrrecsys_core.report.formats import Grid, named, number

# (component, part, role) in the paper's order; the last two lines are ours, for what its table leaves out.
PARTS: Final = (
    ("Explanation Generator", "Fine-tuned AutoEncoder", "Shortens an explanation to a small vector."),
    ("DNN Recommendation Component", "Self-attention and GRU layer", "Reads the user's latest items in their order."),
    ("DNN Recommendation Component", "Consumer embedding table", "One vector per user."),
    ("DNN Recommendation Component", "Product embedding table", "One vector per item."),
    ("DNN Recommendation Component", "Self-attention layer", "Weighs the inputs against each other."),
    ("DNN Recommendation Component", "Multi-layer perceptron layers (MLPs)", "Turn the weighed inputs into a score."),
    ("Explanation Generator", "Word table", "Turns the words of an explanation into vectors."),
    ("DNN Recommendation Component", "Context layers", "Encode the circumstances of a record, where known."),
)

ANSWER_TOKENS: Final = 50  # the paper's case: an explanation of up to 50 words, a token a word
# (writer, seconds a generated token, dollars a query) as Sec 6 of the paper quotes them; it prices GPT-4 alone.
PAPER_COSTS: Final = (("GPT-3.5", 0.034, None), ("GPT-4", 0.196, 0.01))
SENTENCES: Final = 2  # a record's


def parts_table(parts: pl.DataFrame | None) -> pl.DataFrame:
    """Table 1 with real parameter counts.

    Parameters
    ----------
    parts : frame or None
        Columns part (as in :data:`PARTS`), dataset, parameters (null where there is no text to read).

    Returns
    -------
    frame : component, part, role, dataset, parameters, status
    """
    counted = parts if parts is not None else pl.DataFrame(schema={"part": str, "dataset": str, "parameters": int})
    names = counted["dataset"].unique(maintain_order=True).to_list()
    lines = []
    for component, part, role in PARTS:
        for dataset in names or [""]:
            found = counted.filter((pl.col("part") == part) & (pl.col("dataset") == dataset))["parameters"].to_list()
            status = "not run" if not found else f"not run: {r.NO_ITEM_TEXT}" if found[0] is None else ""
            lines.append((component, part, role, dataset, found[0] if found else None, status))
    schema: dict[str, type[pl.DataType]] = dict.fromkeys(("component", "part", "role", "dataset"), pl.String)
    schema |= {"parameters": pl.Int64, "status": pl.String}
    return pl.DataFrame(lines, schema=schema, orient="row")


def costs_table(metrics: pl.DataFrame) -> pl.DataFrame:
    """Size and training time of every row.

    Parameters
    ----------
    metrics : frame
        Columns dataset, row, part, parameters_shared, parameters_entity, seconds, epochs.

    Returns
    -------
    frame : row, dataset, parameters_shared, parameters_entity (largest), seconds (of all replicates), epochs (mean)
    """
    tested = metrics.filter(pl.col("part") == "test")
    figures = pl.col("parameters_shared", "parameters_entity").max()
    # Each cell of a row repeats its seconds in all its lines.
    times = pl.col("seconds").unique().sum(), pl.col("epochs").mean()
    found = tested.group_by("row", "dataset").agg(figures, *times)
    place = {name: i for i, name in enumerate(r.BY_NAME)}
    order = pl.col("row").replace_strict(place, default=len(place), return_dtype=pl.Int64)
    return found.sort("dataset", order, "row")


def parts_grid(parts: pl.DataFrame) -> Grid:
    """Table 1 for people: a column for each data set."""
    names = parts["dataset"].unique(maintain_order=True).to_list()
    body = []
    for (component, part, role), lines in parts.group_by("component", "part", "role", maintain_order=True):
        counts = {
            x["dataset"]: x["status"] if x["parameters"] is None else f"{x['parameters']:,}" for x in lines.to_dicts()
        }
        body.append([component, part, role, *(counts[name] for name in names)])
    return Grid("", ["Component", "Trainable parameters", "Role", *map(named, names)], body)


def costs_grid(costs: pl.DataFrame) -> Grid:
    """The costs for people."""
    header = ["", "Data", "Shared parameters", "In id tables", "Seconds, all replicates", "Epochs"]
    body = [
        [name, named(dataset), f"{shared or 0:,}", f"{entity or 0:,}", number(seconds, 1), number(epochs, 1)]
        for name, dataset, shared, entity, seconds, epochs in costs.iter_rows()
    ]
    return Grid("", header, body)


def writers_table(bench: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """What a record's two sentences cost by each way of asking a writer (Sec 6).

    Parameters
    ----------
    bench : contents of ``results/bench``, of which ``llm_engines`` is read.

    Returns
    -------
    frame : writer, engine, weights, tokens_in, tokens_out, seconds, dollars (each for one record; null where unknown),
        measured ("here", or "quoted in the paper")
    """
    lines: list[tuple[object, ...]] = []
    for record in (one for one in bench if one.get("name") == "llm_engines"):
        for engine, told in record["engines"].items():
            tokens = (SENTENCES * told["tokens_in"], SENTENCES * told["tokens_out"])
            lines.append(
                (
                    record["writer"],
                    engine,
                    record["weights"],
                    *tokens,
                    SENTENCES / told["prompts_a_second"],
                    0.0,
                    "here",
                )
            )
    for writer, seconds, dollars in PAPER_COSTS:
        priced = None if dollars is None else SENTENCES * dollars
        whole = SENTENCES * ANSWER_TOKENS
        lines.append((writer, "OpenAI", None, None, whole, whole * seconds, priced, "quoted in the paper"))
    schema: dict[str, type[pl.DataType]] = {"writer": pl.String, "engine": pl.String, "weights": pl.Int64}
    schema |= dict.fromkeys(("tokens_in", "tokens_out", "seconds", "dollars"), pl.Float64) | {"measured": pl.String}
    return pl.DataFrame(lines, schema=schema, orient="row")


def writers_grid(writers: pl.DataFrame) -> Grid:
    """What writers cost, for people."""
    header = ["Writer", "Engine", "Weights", "Tokens read", "written", "Seconds", "Dollars", "Measured"]
    body = [
        [writer, engine, f"{weights:,}" if weights else "", *(number(value, digits) for value, digits in figures), how]
        for writer, engine, weights, read, written, seconds, dollars, how in writers.iter_rows()
        for figures in [((read, 0), (written, 0), (seconds, 2), (dollars, 2))]
    ]
    return Grid("Two sentences about one record (Section 6)", header, body)

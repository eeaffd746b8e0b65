"""The claims table for people: controls first, then verdicts, then the figures behind them."""

from __future__ import annotations

from functools import partial
from typing import Final

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.metrics import METRICS
from lrrecsys_core.report.claims import ALPHA, CONTROL, FAIL, PASS, claims_table, verdicts
from lrrecsys_core.report.formats import Cell, Grid, effect, named, number, one_note, p_value, write_all
from lrrecsys_core.report.notes import unordered
from lrrecsys_core.report.scale import MARGIN, MARGIN_PERCENT
from lrrecsys_core.stats import POWER, POWER_LEVEL

# What the columns of the claims say that their names do not.
COLUMNS: Final = (
    "Effect with its 95% interval; p after Holm's correction within the claim. Test, sample, uncorrected p, spread "
    "over seeds, explainer and profile of every line are in claims.csv, every contrast in claims_evidence.csv.",
    f"Could have found: the smallest true effect that a one-sided test finds with {100 * POWER:g}% probability, at the "
    f"level that Holm's correction leaves to the contrast ({100 * POWER_LEVEL:g}% over the tests with a p no smaller; "
    "all of it where the criterion is an interval); for a criterion with a margin, the distance from the margin. "
    "Empty for the simulations of theory.",
    f"Within, beneath p: the p of equivalence by two one-sided tests, that the metrics of two rows differ by "
    f"less than {MARGIN_PERCENT:g}% of the second's; of each contrast alone, without Holm's correction. Where it is "
    "small, a null says that there is nothing of that size; where it is not, that this was not shown either.",
    "% of ceiling: the effect as a share of what a predictor that knows the true tastes of a simulated market gains "
    "over the user and item biases in the same metric. Empty on real data, where nobody knows them.",
)


def failures(claims: pl.DataFrame) -> list[str]:
    """The first lines of the page: which controls fail, and how many hold."""
    found = claims.filter(pl.col("claim") == CONTROL)
    failed = found.filter(pl.col("verdict") == FAIL).to_dicts()
    tested = found.filter(pl.col("verdict") == PASS).height
    lines = [
        f"Control fails on {named(f['dataset'])} ({f['metric']}): {_told(f)}; read this data set's results with that "
        "in mind."
        for f in failed
    ]
    some = f"{tested} of {tested + len(failed)} controls pass."
    return [*lines, some if tested or failed else "No control could be tested in this run."]


def headlines(claims: pl.DataFrame) -> list[str]:
    """What a reader of the claims has to know: the controls, and what the evidence rests on."""
    found = claims.filter(pl.col("claim") == CONTROL)
    lines = failures(claims)
    lines += [
        f"On {named(lost['dataset'])} ({lost['metric']}) {_told(lost)}: a loss, so the control passes."
        for lost in found.filter(pl.col("verdict") == PASS, pl.col("high") < 0, pl.col("unit") != "%").to_dicts()
    ]
    null = claims.filter(pl.col("verdict") == "not supported", pl.col("p_equal").is_not_nan())
    if null.height:
        equal = null.filter(pl.col("p_equal") < ALPHA).height
        lines.append(
            f"Of {null.height} contrasts of two rows that support no claim, {equal} are shown to be smaller than "
            f"{MARGIN_PERCENT:g}% of the reference, either way (two one-sided tests, p below {ALPHA:g})."
        )
    if claims.filter(pl.col("evidence") == "simulated").height:
        lines.append(
            "Lines marked simulated rest on artificial markets built so that the theory's assumption holds: "
            "they test the mechanism, not the claim about real markets."
        )
    if claims.filter(pl.col("evidence") == "real").height:
        lines.append(
            "Intervals on real data resample users: they hold for these networks and this split. What other seeds "
            "change stands apart, as the standard deviation of the gain over seeds. They compare predictions averaged "
            "over the networks of a row, where the tables show the mean of single networks: averaging helps rows whose "
            "networks differ, and does nothing for bias-only ones."
        )
    return lines


def _told(failed: dict[str, object]) -> str:
    """A failing control in words."""
    if failed["unit"] == "share":
        return f"{failed['contrast']}: {failed['note']}"
    unit, shown = ("%", partial(number, digits=2)) if failed["unit"] == "%" else ("", effect)
    interval = f"[{shown(failed['low'])}, {shown(failed['high'])}]{unit}"
    return f"{failed['contrast']}: gain {shown(failed['effect'])}{unit} {interval}"


def write_claims(run: str, evidence: pl.DataFrame, metrics: pl.DataFrame) -> pl.DataFrame:
    """Write ``claims``, ``claims_evidence`` and ``verdicts`` beside a run's tables, from its kept evidence.

    Returns
    -------
    frame : as :func:`claims_table`
    """
    claims = claims_table(evidence)
    summary = verdicts(claims)
    notes = headlines(claims) + unordered(metrics)
    folder = paths.tables(run)
    told = [*notes, *COLUMNS]
    write_all(folder, "claims", claims, "The paper's claims, judged", told, claim_grids(claims, summary))
    write_all(folder, "verdicts", summary, "Verdicts", notes, [_summary_grid(summary)])
    with paths.replacing(folder / "claims_evidence.csv") as partial:
        partial.write_text(evidence.with_columns(pl.col(pl.Float64).round(6)).write_csv(), encoding="utf-8")
    return claims


def _summary_grid(summary: pl.DataFrame) -> Grid:
    header = ["Claim", "Statement", "Evidence", "Data", "Verdict", "Where"]
    body = [[*row[:3], named(row[3]), _verdict(row[4]), row[5]] for row in summary.iter_rows()]
    return Grid("Verdict per claim and data set", header, body)


def claim_grids(claims: pl.DataFrame, summary: pl.DataFrame) -> list[Grid]:
    """Controls, verdicts and the figures behind them, for people."""
    header = ["Claim", "Data", "Verdict", "Contrast", "Effect", "Could have found", "p (Holm)"]
    body: dict[bool, list[list[str | Cell]]] = {True: [], False: []}
    for claim in claims.to_dicts():
        unit = claim["unit"] or "" if number(claim["effect"]) else ""
        unit = unit if unit[:1] in ("%", "") else f" {unit}"
        interval = f"[{effect(claim['low'])}, {effect(claim['high'])}]" if number(claim["low"]) else ""
        interval = interval if claim["low"] != claim["high"] else ""  # of what is counted, not estimated
        share, chance, equal = number(claim["of_ceiling"], 1), p_value(claim["p_holm"]), p_value(claim["p_equal"])
        ps = [*filter(None, (chance, f"within: {equal}" if equal else "")), "", ""]
        where = one_note(claim["metric"] or "", claim["evidence"])
        line = [
            claim["claim"], Cell(named(claim["dataset"]), where), _verdict(claim["verdict"]),
            Cell(claim["contrast"] or "", claim["note"] or ""),
            Cell(effect(claim["effect"]) + unit, one_note(interval, f"{share}% of ceiling" if share else "")),
            effect(claim["smallest"]), Cell(*ps[:2]),
        ]  # fmt: skip
        body[claim["claim"] == CONTROL].append(line)
    margins = ", ".join(f"{metric} {MARGIN[metric]:g}" for metric in METRICS)
    about = (
        f"Controls: networks that add to the biases, no gain over Ablation 1 surely more than {margins}, and on "
        "markets a reasoner that knows nothing level with it"
    )
    figures = Grid("The figures behind the verdicts", header, body[False])
    return [Grid(about, header, body[True]), _summary_grid(summary), figures]


def _verdict(word: str) -> Cell:
    """A verdict in words, with the name that the page colours it by."""
    return Cell(word, look=word.lower().replace(" ", "-"))


def matrix(summary: pl.DataFrame) -> Grid:
    """The verdicts of a run as a matrix: a line per claim, a column per data set, theory and benchmark in the last."""
    elsewhere = "theory or benchmark"
    apart = pl.col("evidence").is_in(["theory", "benchmark"])
    shown = summary.with_columns(at=pl.when(apart).then(pl.lit(elsewhere)).otherwise("dataset"))
    words = {(x["claim"], x["at"]): _verdict(x["verdict"]) for x in shown.to_dicts()}
    columns = shown["at"].unique(maintain_order=True).to_list()
    body = [
        [claim, statement, *(words.get((claim, at), "") for at in columns)]
        for claim, statement in shown.select("claim", "statement").unique(maintain_order=True).iter_rows()
    ]
    return Grid("", ["Claim", "Statement", *map(named, columns)], body)

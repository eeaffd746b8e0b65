"""The claims table for people: controls first, then verdicts, then the figures behind them."""

from __future__ import annotations

from typing import Final

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.metrics import METRICS
from lrrecsys_core.report.claims import ALPHA, CONTROL, FAIL, PASS, claims_table, verdicts
from lrrecsys_core.report.formats import Grid, effect, number, p_value, write_all
from lrrecsys_core.report.notes import unordered
from lrrecsys_core.report.scale import MARGIN, MARGIN_PERCENT
from lrrecsys_core.stats import POWER, POWER_LEVEL

# What the columns of the claims say that their names do not.
COLUMNS: Final = (
    f"Could have found: the smallest true effect that a one-sided test at {100 * POWER_LEVEL:g}% finds with "
    f"{100 * POWER:g}% probability, before Holm's correction, which asks for more; for a criterion with a margin, the "
    "distance from the margin. Empty for the simulations of theory.",
    f"p (within {MARGIN_PERCENT:g}%): equivalence by two one-sided tests, that the metrics of two rows differ by less "
    f"than {MARGIN_PERCENT:g}% of the second's; of each contrast alone, without Holm's correction. Where it is small, "
    "a null says that there is nothing of that size; where it is not, that this was not shown either.",
    "% of ceiling: the effect as a share of what a predictor that knows the true tastes of a simulated market gains "
    "over the user and item biases in the same metric. Empty on real data, where nobody knows them.",
)


def headlines(claims: pl.DataFrame) -> list[str]:
    """The first lines of the page: which controls fail, and what the evidence below rests on."""
    found = claims.filter(pl.col("claim") == CONTROL)
    failed = found.filter(pl.col("verdict") == FAIL).to_dicts()
    tested = found.filter(pl.col("verdict") == PASS).height
    lines = [
        f"Control fails on {f['dataset']} ({f['metric']}): {_told(f)}; read this data set's results with that in mind."
        for f in failed
    ]
    told = f"{tested} of {tested + len(failed)} pass" if tested or failed else "none could be tested in this run"
    lines.append(f"Controls: {told}.")
    lines += [
        f"On {lost['dataset']} ({lost['metric']}) {_told(lost)}: a loss, so the control passes."
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
    unit = "%" if failed["unit"] == "%" else ""
    interval = f"[{effect(failed['low'])}, {effect(failed['high'])}]{unit}"
    return f"{failed['contrast']}: gain {effect(failed['effect'])}{unit} {interval}"


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
    return Grid("Verdict per claim and data set", header, [[str(v) for v in row] for row in summary.iter_rows()])


def claim_grids(claims: pl.DataFrame, summary: pl.DataFrame) -> list[Grid]:
    """Controls, verdicts and the figures behind them, for people."""
    header = ["Claim", "Evidence", "Data", "Metric", "Verdict", "Contrast", "Effect", "95% interval"]
    header += ["Could have found", "% of ceiling", "Unit", "Test", "p", "p (Holm)", f"p (within {MARGIN_PERCENT:g}%)"]
    header += ["Sample", "Seed sd"]
    header += ["Explainer", "Profile", "Note"]
    body: dict[bool, list[list[str]]] = {True: [], False: []}
    for claim in claims.to_dicts():
        text = {key: str(value or "") for key, value in claim.items()}
        interval = f"[{effect(claim['low'])}, {effect(claim['high'])}]" if number(claim["low"]) else ""
        line = [text[key] for key in ("claim", "evidence", "dataset", "metric", "verdict", "contrast")]
        line += [effect(claim["effect"]), interval, effect(claim["smallest"]), number(claim["of_ceiling"], 1)]
        line += [text["unit"], text["test"]]
        line += [p_value(claim[name]) for name in ("p", "p_holm", "p_equal")]
        line += [text["sample"], effect(claim["seed_sd"])]
        body[claim["claim"] == CONTROL].append(line + [text[key] for key in ("explainer", "profile", "note")])
    margins = ", ".join(f"{metric} {MARGIN[metric]:g}" for metric in METRICS)
    about = (
        f"Controls: networks that add to the biases, no gain over Ablation 1 surely more than {margins}, and on "
        "markets a reasoner that knows nothing level with it"
    )
    figures = Grid("The figures behind the verdicts", header, body[False])
    return [Grid(about, header, body[True]), _summary_grid(summary), figures]

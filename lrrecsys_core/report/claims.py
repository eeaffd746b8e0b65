"""A verdict for each of the paper's claims on each data set, with the controls in the first lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from lrrecsys_core import stats
from lrrecsys_core.report.evidence import Evidence, null_markets, sources
from lrrecsys_core.report.finding import Finding
from lrrecsys_core.report.formats import one_note
from lrrecsys_core.report.rules import JUDGES, STATEMENTS, controls

ALPHA: Final = 0.05
MARKETS_NEEDED: Final = 10
CONTROL: Final = "control"
# A figure shown beside a claim or control that decides nothing.
REPORTED: Final = "reported"
THEORY_CLAIMS: Final = ("C17", "C18", "C19", "C20")
SCORING_LIMIT_MS: Final = 10.0
SCORING_BENCH: Final = "scoring"
SCHEMA: Final = {
    "claim": pl.String, "statement": pl.String, "evidence": pl.String, "dataset": pl.String, "metric": pl.String,
    "verdict": pl.String, "contrast": pl.String, "effect": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "unit": pl.String, "test": pl.String, "p": pl.Float64, "p_holm": pl.Float64, "sample": pl.String,
    "seed_sd": pl.Float64, "explainer": pl.String, "profile": pl.String, "note": pl.String,
}  # fmt: skip
# "by construction" outranks success: a claim that leans on a programmed answer has not been shown.
_WEAKEST_FIRST: Final = ("not supported", "not tested", "by construction", "supported", REPORTED)


def evidence_table(
    metrics: pl.DataFrame,
    predictions: pl.LazyFrame | pl.DataFrame | None = None,
    *,
    theory: pl.DataFrame | None = None,
    bench: Sequence[dict[str, object]] = (),
    profile: str = "",
) -> pl.DataFrame:
    """Every contrast of every claim, one line each, controls first.

    Parameters
    ----------
    metrics, predictions : frames
        As described in :class:`~lrrecsys_core.report.evidence.Evidence`.
    theory : frame or None
        As :func:`lrrecsys_core.theory.claims.judged` returns it, which decides these claims.
    bench : sequence of dict
        Benchmark files: name, ours, unit, conditions.
    profile : str

    Returns
    -------
    frame with the columns of :data:`SCHEMA`; the verdict is that of the single contrast.
    """
    lines: list[dict[str, object]] = []
    ordinary = sources(metrics, predictions)
    for source in ordinary + null_markets(metrics, predictions):
        lines += [_line(CONTROL, source, finding, profile) for finding in controls(source)]
    for claim, judge in JUDGES.items():
        for simulated in (True, False):
            family: list[dict[str, object]] = []
            for source in ordinary:
                if source.simulated == simulated:
                    family += [_line(claim, source, finding, profile) for finding in judge(source)]
            _decide(family)
            lines += family
    for claim in THEORY_CLAIMS:
        lines += _theory(claim, theory, profile)
    lines.append(_scoring(bench, profile))
    order = {CONTROL: -1} | {claim: i for i, claim in enumerate(STATEMENTS)}
    # A stable sort: within a claim the lines keep the order of the data sets and contrasts.
    lines.sort(key=lambda line: order[str(line["claim"])])
    return pl.DataFrame([{k: v for k, v in line.items() if k in SCHEMA} for line in lines], schema=SCHEMA)


def _line(claim: str, source: Evidence, finding: Finding, profile: str) -> dict[str, object]:
    estimate = finding.estimate
    sample = source.sample()
    if estimate is not None and source.simulated:
        sample = f"{estimate.n} market{'s' if estimate.n != 1 else ''}"
    line: dict[str, object] = {
        "claim": claim,
        "statement": STATEMENTS.get(claim, "What should hold whatever the claims say"),
        "evidence": "simulated" if source.simulated else "real",
        "dataset": source.dataset,
        "metric": finding.metric,
        "contrast": finding.contrast,
        "unit": finding.unit,
        "sample": sample,
        "explainer": finding.explainer,
        "profile": profile,
        "seed_sd": finding.seed_sd,
        "note": finding.note,
        "p": finding.p,
        "p_holm": float("nan"),
        "_holds": finding.holds,
        "_by_construction": finding.by_construction,
        "_decisive": finding.decisive,
        "_enough": estimate is not None and math.isfinite(estimate.low),
    }
    if estimate is not None:
        if finding.seed_sd is not None and abs(estimate.effect) < finding.seed_sd:
            line["note"] = one_note(finding.note, "smaller than its sd over seeds")
        line |= {"effect": estimate.effect, "low": estimate.low, "high": estimate.high, "test": estimate.test}
        if source.simulated and estimate.n < MARKETS_NEEDED:
            line["_enough"] = False
            line["note"] = one_note(str(line["note"]), f"{MARKETS_NEEDED} markets needed")
    if claim == CONTROL:
        words = {True: "as it should be", False: "NOT as it should be", None: REPORTED}
        line["verdict"] = words[finding.holds] if line["_enough"] else "not tested"
    return line


def _decide(family: list[dict[str, object]]) -> None:
    """Correct the p-values of one claim together, then give every contrast its verdict."""
    corrected = stats.holm([float(str(line["p"])) for line in family])
    for line, p in zip(family, corrected, strict=True):
        line["p_holm"] = float(p)
        holds = line["_holds"] if line["_holds"] is not None else bool(p < ALPHA)
        if line["_by_construction"]:
            line["verdict"] = "by construction"
        elif not line["_enough"]:
            line["verdict"] = "not tested"
        else:
            line["verdict"] = "supported" if holds else "not supported"
        if not line["_decisive"]:
            line["verdict"] = REPORTED


def _theory(claim: str, theory: pl.DataFrame | None, profile: str) -> list[dict[str, object]]:
    base: dict[str, object] = {
        "claim": claim, "statement": STATEMENTS[claim], "evidence": "theory", "dataset": "theory simulation",
        "metric": "", "profile": profile, "p_holm": None,
    }  # fmt: skip
    found = theory.filter(pl.col("claim") == claim).to_dicts() if theory is not None else []
    if not found:
        return [base | {"verdict": "not tested", "note": "theory simulation not run"}]
    return [
        base
        | {key: line[key] for key in ("contrast", "effect", "low", "high", "test", "p", "p_holm", "sample")}
        | {"verdict": "supported" if line["holds"] else "not supported"}
        for line in found
    ]


def _scoring(bench: Sequence[dict[str, object]], profile: str) -> dict[str, object]:
    line: dict[str, object] = {
        "claim": "C21", "statement": STATEMENTS["C21"], "evidence": "benchmark", "profile": profile, "unit": "ms",
        "dataset": "1,000 candidates, one user", "metric": "99th percentile",
        "contrast": f"below {SCORING_LIMIT_MS:g} ms on one core",
    }  # fmt: skip
    found = [b for b in bench if b.get("name") == SCORING_BENCH and isinstance(b.get("ours"), int | float)]
    if not found:
        return line | {"verdict": "not tested", "note": "scoring benchmark not run"}
    milliseconds = float(str(found[0]["ours"]))
    verdict = "supported" if milliseconds < SCORING_LIMIT_MS else "not supported"
    return line | {
        "effect": milliseconds, "test": "measured", "verdict": verdict, "note": _words(found[0].get("conditions")),
    }  # fmt: skip


def _words(conditions: object) -> str:
    if isinstance(conditions, dict):
        return ", ".join(f"{key} {value}" for key, value in sorted(conditions.items()))
    return str(conditions or "")


def combine(verdicts: Iterable[str]) -> str:
    """Verdict of a claim that needs all its contrasts: the weakest of them."""
    found = set(verdicts)
    return next((v for v in _WEAKEST_FIRST if v in found), "not tested")


def claims_table(evidence: pl.DataFrame) -> pl.DataFrame:
    """One line per claim, data set and metric: the verdict, and the contrast it hangs on.

    The contrast shown is the weakest: one that fails if any does, otherwise the one with the largest p-value.
    Controls keep a line each.
    """
    out: list[dict[str, object]] = []
    # The settings of a simulation of theory are evidence each of its own, not parts of one contrast.
    setting = pl.when(pl.col("evidence") == "theory").then("contrast").otherwise(pl.lit("")).alias("setting")
    rest = evidence.filter(pl.col("claim") != CONTROL).with_columns(setting)
    for _, group in rest.group_by("claim", "evidence", "dataset", "metric", "setting", maintain_order=True):
        group = group.drop("setting")
        verdict = combine(group["verdict"].to_list())
        weakest = max(
            group.filter(pl.col("verdict") == verdict).to_dicts(),
            key=lambda line: _rank(line["p_holm"], line["effect"]),
        )
        counts = group.filter(pl.col("effect").is_not_null())["verdict"].value_counts().sort("verdict")
        if group.height > 1:
            held = ", ".join(f"{v} {n}" for v, n in counts.iter_rows()) or "none run"
            weakest["note"] = one_note(weakest["note"], f"of {group.height} contrasts: {held}")
        out.append(weakest | {"verdict": verdict})
    claims = pl.DataFrame(out, schema=SCHEMA)
    return pl.concat([evidence.filter(pl.col("claim") == CONTROL), claims])


def _rank(p: float | None, effect: float | None) -> tuple[float, float]:
    usable = p is not None and not math.isnan(p)
    return (p if usable and p is not None else -1.0, -abs(effect) if effect is not None else -math.inf)


def verdicts(claims: pl.DataFrame) -> pl.DataFrame:
    """One line per claim and data set; ``where`` names the metrics where they differ."""
    out = []
    rest = claims.filter((pl.col("claim") != CONTROL) & (pl.col("verdict") != REPORTED))
    for (claim, kind, dataset), group in rest.group_by("claim", "evidence", "dataset", maintain_order=True):
        found = group["verdict"].unique(maintain_order=True).to_list()
        where = ""
        if len(found) > 1:
            named = group.with_columns(
                pl.when(pl.col("metric") == "").then("contrast").otherwise("metric").alias("name")
            )
            metrics = {v: named.filter(pl.col("verdict") == v)["name"].to_list() for v in found}
            where = "; ".join(f"{v}: {', '.join(m)}" for v, m in metrics.items())
        # Mixed means that it holds somewhere and fails elsewhere; otherwise the weakest word is the verdict.
        verdict = "mixed" if {"supported", "not supported"} <= set(found) else combine(found)
        out.append((claim, STATEMENTS[str(claim)], kind, dataset, verdict, where))
    names = ["claim", "statement", "evidence", "dataset", "verdict", "where"]
    return pl.DataFrame(out, schema=dict.fromkeys(names, pl.String), orient="row")

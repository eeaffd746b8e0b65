"""A verdict for each of the paper's claims on each data set, with the controls in the first lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import polars as pl

from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.metrics import METRICS
from lrrecsys_core.report.evidence import Evidence, null_markets, sources
from lrrecsys_core.report.finding import Finding
from lrrecsys_core.report.formats import P_DIGITS, one_note
from lrrecsys_core.report.rules import JUDGES, STATEMENTS, controls
from lrrecsys_core.report.scale import of_ceiling

ALPHA: Final = 0.05
MARKETS_NEEDED: Final = 10
CONTROL: Final = "control"
PASS, FAIL = "pass", "fail"  # of a control
# A figure shown beside a claim or control that decides nothing.
REPORTED: Final = "reported"
THEORY_CLAIMS: Final = ("C17", "C18", "C19", "C20")
SCORING_LIMIT_MS: Final = 10.0
SCORING_BENCH: Final = "scoring"
SCHEMA: Final = {
    "claim": pl.String, "statement": pl.String, "evidence": pl.String, "dataset": pl.String, "metric": pl.String,
    "verdict": pl.String, "contrast": pl.String, "effect": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "smallest": pl.Float64, "of_ceiling": pl.Float64, "unit": pl.String, "test": pl.String, "p": pl.Float64,
    "p_holm": pl.Float64, "p_equal": pl.Float64, "sample": pl.String, "seed_sd": pl.Float64, "explainer": pl.String,
    "profile": pl.String, "note": pl.String,
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
    found = sources(metrics, predictions), null_markets(metrics, predictions)
    return judge_all(*found, theory=theory, bench=bench, profile=profile)


def judge_all(
    ordinary: Sequence[Evidence],
    null: Sequence[Evidence],
    *,
    theory: pl.DataFrame | None = None,
    bench: Sequence[dict[str, object]] = (),
    profile: str = "",
) -> pl.DataFrame:
    """As `evidence_table`, from `Evidence` already built, so that its draws of users are shared with the figures."""
    lines: list[dict[str, object]] = []
    for source in [*ordinary, *null]:
        lines += [_line(CONTROL, source, finding, profile) for finding in controls(source)]
    for claim, judge in JUDGES.items():
        for simulated in (True, False):
            kind = [source for source in ordinary if source.simulated == simulated]
            family = [_line(claim, source, finding, profile) for source in kind for finding in judge(source)]
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
    """A finding as a line of the table; of a control with its verdict, of a claim without: Holm needs the family."""
    estimate, note = finding.estimate, finding.note
    enough = estimate is not None and math.isfinite(estimate.low)
    line: dict[str, object] = {
        "claim": claim, "statement": STATEMENTS.get(claim, "What should hold whatever the claims say"),
        "evidence": "simulated" if source.simulated else "real", "dataset": source.dataset, "sample": source.sample(),
        "profile": profile, "p_holm": float("nan"), "_source": source,
    }  # fmt: skip
    told = ("metric", "contrast", "unit", "explainer", "seed_sd", "p", "p_equal")
    line |= {name: getattr(finding, name) for name in told}
    if estimate is not None:
        line |= {name: getattr(estimate, name) for name in ("effect", "low", "high", "test")}
        if finding.unit in METRICS:
            line["of_ceiling"] = of_ceiling(source, finding.unit, estimate.effect)
        line["smallest"] = estimate.smallest()
        if finding.seed_sd is not None and abs(estimate.effect) < finding.seed_sd:
            note = one_note(note, "smaller than its sd over seeds")
        if source.simulated:
            line["sample"] = f"{estimate.n} market{'s' if estimate.n != 1 else ''}"
            if estimate.n < MARKETS_NEEDED:
                enough, note = False, one_note(note, f"{MARKETS_NEEDED} markets needed")
    if claim == CONTROL:
        words = {True: PASS, False: FAIL, None: REPORTED}
        line["verdict"] = words[finding.holds] if enough else "not tested"
    return line | {"note": note, "_finding": finding, "_enough": enough}


def _powerless(source: Evidence, metric: str, estimate: stats.Estimate, smallest: float) -> str:
    """Why a contrast on markets could not have found what knowing S* brings there, so that its null is none; or "".

    ``smallest`` is what the corrected test could have found.
    """
    if not source.simulated or metric not in METRICS:
        return ""
    # What it brings is read without a network, so that one that learns nothing does not excuse itself; and an interval
    # that lies below it has power enough.
    knowing = source.gain(metric, r.MATCH, r.BIASES)
    if knowing is None or not smallest > knowing.effect or estimate.high < max(knowing.effect, 0.0):
        return ""
    return f"no power: could have found {smallest:.4f}, and knowing S* brings {knowing.effect:.4f}"


def _decide(family: list[dict[str, object]]) -> None:
    """Correct the p-values of one claim together, then give every contrast its verdict.

    Only contrasts that can decide something are tests: what is shown beside a claim, or decided by a programme, does
    not widen the family.
    """
    findings = [cast(Finding, line["_finding"]) for line in family]
    tests = [f.p if f.decisive and not f.by_construction else math.nan for f in findings]
    corrected, levels = stats.holm(tests), stats.holm_levels(tests, ALPHA)
    for line, finding, p, level in zip(family, findings, corrected, levels, strict=True):
        line["p_holm"] = float(p)
        if finding.estimate is not None:
            line["smallest"] = finding.estimate.smallest(float(level))
        if not finding.decisive:
            line["verdict"] = REPORTED
        elif finding.by_construction:
            line["verdict"] = "by construction"
        elif not line["_enough"]:
            line["verdict"] = "not tested"
        else:
            # As printed, so that a verdict is read off the table: .0496 is printed as .050, and is not below .05.
            passed = bool(round(float(p), P_DIGITS) < ALPHA)
            line["verdict"] = _word(passed if finding.holds is None else finding.holds)
            if line["verdict"] == "not supported" and (why := _no_power(line, finding)):
                line |= {"verdict": "not tested", "note": one_note(str(line["note"]), why)}


def _no_power(line: Mapping[str, object], finding: Finding) -> str:
    """Why a criterion that asks for a gain says nothing by failing, or ""."""
    # The two of C4 are a trend, per 100% of S*, and an interval.
    if finding.estimate is None or not (finding.holds is None or line["claim"] == "C4"):
        return ""
    source, smallest = cast(Evidence, line["_source"]), float(cast(float, line["smallest"]))
    return _powerless(source, finding.unit.split()[0], finding.estimate, smallest)


def _word(holds: bool) -> str:
    return "supported" if holds else "not supported"


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
        | {"verdict": _word(line["holds"])}
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
    milliseconds, conditions = float(str(found[0]["ours"])), found[0].get("conditions")
    if isinstance(conditions, dict):
        conditions = ", ".join(f"{key} {value}" for key, value in sorted(conditions.items()))
    line |= {"effect": milliseconds, "test": "measured", "note": str(conditions or "")}
    return line | {"verdict": _word(milliseconds < SCORING_LIMIT_MS)}


def combine(verdicts: Iterable[str]) -> str:
    """Verdict of a claim that needs all its contrasts: the weakest of them."""
    found = set(verdicts)
    return next((v for v in _WEAKEST_FIRST if v in found), "not tested")


def claims_table(evidence: pl.DataFrame) -> pl.DataFrame:
    """One line per claim, data set and metric: the verdict, and the contrast it hangs on.

    The contrast shown is the weakest: one that fails if any does, otherwise the one with the largest p-value.
    Controls keep a line each.
    """
    # Evidence kept before a column was added lacks it, and says some things in former words.
    evidence = pl.concat([pl.DataFrame(schema=SCHEMA), evidence], how="diagonal").with_columns(
        pl.col("verdict").replace({"as it should be": PASS, "NOT as it should be": FAIL}),
        pl.col("note").str.replace_all("networks silent", "networks bias-only"),
    )
    out: list[dict[str, object]] = []
    # The settings of a simulation of theory are evidence each of its own, not parts of one contrast.
    setting = pl.when(pl.col("evidence") == "theory").then("contrast").otherwise(pl.lit("")).alias("setting")
    controls, rest = (evidence.filter(pl.col("claim").eq(CONTROL) == wanted) for wanted in (True, False))
    for _, group in rest.group_by("claim", "evidence", "dataset", "metric", setting, maintain_order=True):
        verdict = combine(group["verdict"].to_list())
        weakest = max(group.filter(verdict=verdict).to_dicts(), key=lambda line: _rank(line["p_holm"], line["effect"]))
        if group.height > 1:
            counts = group.filter(pl.col("effect").is_not_null())["verdict"].value_counts().sort("verdict")
            held = ", ".join(f"{v} {n}" for v, n in counts.iter_rows()) or "none run"
            weakest["note"] = one_note(weakest["note"], f"of {group.height} contrasts: {held}")
        out.append(weakest)
    return pl.concat([controls, pl.DataFrame(out, schema=SCHEMA)])


def _rank(p: float | None, effect: float | None) -> tuple[float, float]:
    return -1.0 if p is None or math.isnan(p) else p, -math.inf if effect is None else -abs(effect)


def verdicts(claims: pl.DataFrame) -> pl.DataFrame:
    """One line per claim and data set; ``where`` names the metrics where they differ."""
    out = []
    name = pl.when(pl.col("metric") == "").then("contrast").otherwise("metric").alias("name")
    rest = claims.filter(pl.col("claim") != CONTROL, pl.col("verdict") != REPORTED).with_columns(name)
    for (claim, kind, dataset), group in rest.group_by("claim", "evidence", "dataset", maintain_order=True):
        found = group["verdict"].unique(maintain_order=True).to_list()
        where = "; ".join(f"{v}: {', '.join(group.filter(verdict=v)['name'])}" for v in found if len(found) > 1)
        # Mixed means that it holds somewhere and fails elsewhere; otherwise the weakest word is the verdict.
        verdict = "mixed" if {"supported", "not supported"} <= set(found) else combine(found)
        out.append((claim, STATEMENTS[str(claim)], kind, dataset, verdict, where))
    names = ["claim", "statement", "evidence", "dataset", "verdict", "where"]
    return pl.DataFrame(out, schema=dict.fromkeys(names, pl.String), orient="row")

"""Claims C17 to C20: an effect, its interval, a test and whether the claim holds, for the table of claims."""

from __future__ import annotations

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from lrrecsys_core.stats import holm
from lrrecsys_core.theory.lasso import EQUAL
from lrrecsys_core.theory.repetitions import Estimate, bootstrap, largest, matrix, slope_on
from lrrecsys_core.theory.study import STRONG, Study

Array = NDArray[np.float64]
RULES = ("theory", "estimated", "hindsight")
ALPHA = 0.05
BOOTSTRAP = "bootstrap over repetitions, one-sided"


def excess_slope(rows: pl.DataFrame, rule: str, rho: float, signal: float, signs: str = EQUAL) -> Estimate:
    """Slope on log p of ``n (err_Lasso^2 - err_oracle^2) / s`` for sigma = 1; the law of `lasso_oracle_law` says 2."""
    part = rows.filter((pl.col("rho") == rho) & (pl.col("signal") == signal) & (pl.col("signs") == signs))
    keys = ["repetition", "p", "n", "s"]
    pair = part.filter(rule=rule).join(part.filter(rule="oracle"), on=keys, suffix="_oracle")
    pair = pair.with_columns(excess=(pl.col("error") ** 2 - pl.col("error_oracle") ** 2) * pl.col("n") / pl.col("s"))
    p, values = matrix(pair, "p", "excess")
    return bootstrap(values, slope_on(np.log(p)))


def design_name(rho: float, signs: str) -> str:
    """How a design of the linear simulations is called."""
    return f"AR({rho:g}), {signs} signs" if rho else "independent"


def trend(rows: pl.DataFrame, x: str, value: str = "exact") -> Estimate:
    """Change of a recovery rate per doubling of `x`, other columns averaged over within each repetition."""
    averaged = rows.group_by("repetition", x).agg(pl.col(value).mean())
    levels, values = matrix(averaged, x, value)
    return bootstrap(values, slope_on(np.log2(levels)))


def log_ratio(rows: pl.DataFrame, method: str, s: int) -> tuple[Array, Array]:
    """p (K,) and log of the error on all inputs over the error on S* (R, K), paired by repetition."""
    part = rows.filter((pl.col("method") == method) & (pl.col("s") == s))
    reference = part.filter(inputs="S*").select("repetition", "n", reference="error")
    pair = part.filter(inputs="all").join(reference, on=["repetition", "n"])
    return matrix(pair.with_columns(ratio=(pl.col("error") / pl.col("reference")).log()), "p", "ratio")


def one_environment_rate(rows: pl.DataFrame) -> tuple[int, int, int, Estimate]:
    """Recovery from one environment at the largest n: n, recoveries, repetitions, and the exact binomial interval.

    The p-value is that of a recovery rate of at least 95%.
    """
    part = rows.filter((pl.col("environments") == 1) & (pl.col("n") == largest(rows, "n")))
    hits, tries = int(part["exact"].sum()), len(part)
    interval = scipy.stats.binomtest(hits, tries).proportion_ci(method="exact")
    p = float(scipy.stats.binomtest(hits, tries, 0.95, alternative="less").pvalue)
    return int(part["n"][0]), hits, tries, Estimate(hits / tries, float(interval.low), float(interval.high), p)


def evidence(study: Study) -> pl.DataFrame:
    """One row a contrast: claim, contrast, effect, low, high, test, p, sample, and Holm-corrected p_holm and holds.

    C19 says that recovery is surely below 95%, the others that an effect is positive.
    """
    lines: list[dict[str, object]] = []

    def add(claim: str, contrast: str, estimate: Estimate, sample: str, test: str = BOOTSTRAP) -> None:
        lines.append(
            {"claim": claim, "contrast": contrast, "effect": estimate.effect, "low": estimate.low}
            | {"high": estimate.high, "test": test, "p": estimate.p, "sample": sample}
        )

    linear = study.linear()
    repetitions = f"{linear['repetition'].n_unique()} repetitions"
    for (rho, signs, signal), part in sorted(linear.group_by("rho", "signs", "signal")):
        design = f"{design_name(float(rho), str(signs))} design, {'strong' if signal == STRONG else 'weak'}"
        for rule in RULES:
            estimate = excess_slope(linear, rule, float(rho), float(signal), str(signs))
            grid = f"{repetitions}, p {int(part['p'].to_numpy().min())} to {largest(part, 'p')}"
            add("C17", f"slope of excess squared error on log p, penalty {rule}, {design} signals", estimate, grid)
    recovery = study.recovery()
    repetitions = f"{recovery['repetition'].n_unique()} repetitions"
    # One environment can never tell (C19); with it the trends in environments would rise by that alone.
    several = recovery.filter(pl.col("environments") > 1)
    grown, shared = several.filter(design="per environment"), several.filter(design="same total")
    add("C18", "recovery per doubling of n, 2 to 16 environments", trend(grown, "n"), repetitions)
    add("C18", "recovery per doubling of environments from 2, n each", trend(grown, "environments"), repetitions)
    add("C18", "recovery per doubling of environments from 2, same total", trend(shared, "environments"), repetitions)
    n, hits, tries, estimate = one_environment_rate(study.one_environment())
    add("C19", f"recovery at n = {n}", estimate, f"{hits} of {tries}", "exact binomial against a rate of 95%")
    nonlinear = study.nonlinear_inputs()
    for (method, s), part in sorted(nonlinear.group_by("method", "s")):
        p, values = log_ratio(nonlinear, str(method), int(str(s)))
        estimate = bootstrap(values, slope_on(p))
        sample = f"{part['repetition'].n_unique()} repetitions, n = {part['n'][0]}, p {p.min():.0f} to {p.max():.0f}"
        add("C20", f"slope of log error ratio on p, {method}, s = {s}", estimate, sample)
    return judged(pl.DataFrame(lines))


def judged(lines: pl.DataFrame) -> pl.DataFrame:
    """The contrasts with the p-values of each claim corrected together (p_holm), and whether the claim holds there."""
    parts = [
        part.with_columns(p_holm=pl.Series(holm(part["p"].to_list()), dtype=pl.Float64))
        for _, part in lines.group_by("claim", maintain_order=True)
    ]
    found = ~(pl.col("p_holm") >= ALPHA)
    return pl.concat(parts).with_columns(holds=found & (pl.col("claim").eq("C19") | (pl.col("low") > 0)))

"""Figures of notebook 06 on rates: Fig 5 and Fig 8 as formula and as simulation, and what lies behind them.

Every function returns a figure and the sentence that reads it, computed from the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lrrecsys_core.report.style import METHODS, OTHER, legend_below, legend_under, log_ticks, panels, plain
from lrrecsys_core.theory import rates as formula
from lrrecsys_core.theory.claims import design_name, excess_slope, log_ratio
from lrrecsys_core.theory.lasso import EQUAL
from lrrecsys_core.theory.repetitions import Estimate, bands, bootstrap, largest, matrix, slope_on
from lrrecsys_core.theory.study import STRONG

Reading = tuple[Figure, str]
RULES: Final = {
    "theory": ("Lasso, known noise", METHODS["Lasso"], "o"),
    "estimated": ("Lasso, estimated noise", "#f0a070", "v"),
    "hindsight": ("Lasso, best penalty in hindsight", "#8c4a00", "s"),
    "cross-validated": ("Lasso, cross-validated", "#b88a5a", "D"),
    "refit": ("least squares on what the Lasso kept", "#44aa99", "^"),
    "oracle": ("oracle: least squares on $S^*$", METHODS["oracle"], "P"),
}
LEARNERS: Final = ("net", "nearest neighbours", "kernel ridge")
LAW: Final = r"$(1 + 2\,\log p)^{1/2}$"


def curve(ax: Axes, band: pl.DataFrame, x: str, label: str, color: str, **style: Any) -> None:
    """Means of `band` against column `x`, with their intervals as a shade."""
    band = band.sort(x)
    ax.plot(band[x], band["mean"], label=label, color=color, **style)
    ax.fill_between(band[x], band["low"], band["high"], color=color, alpha=0.15, linewidth=0)


def log_axis(ax: Axes, levels: Iterable[float], base: float = 10, apart: float = 0.15) -> None:
    """Logarithmic x axis with a plain number at each of `levels`, thinned out where they would touch: closer than
    `apart`, as a share of the axis."""
    ax.set_xscale("log", base=base)
    grid = sorted(set(levels))
    shown = [grid[0]]
    for level in grid[1:]:
        if level >= shown[-1] * (grid[-1] / grid[0]) ** apart:
            shown.append(level)
    ax.set_xticks(shown, [f"{level:,g}" for level in shown])
    ax.minorticks_off()


def fig05(linear: pl.DataFrame) -> Reading:
    """Fig 5: rates of Lasso and oracle as formulas; beside them simulated errors (independent, strong signals)."""
    fig, [[left, right]] = panels(1, 2, 3.6)
    part = linear.filter((pl.col("rho") == 0) & (pl.col("signal") == STRONG))
    n, s = int(part["n"][0]), int(part["s"][0])
    p = np.geomspace(*_range(part["p"]), 100)
    left.plot(p, formula.lasso_rate(n, s, p), color=RULES["theory"][1], label=r"Lasso: $(s\,\log p\,/\,n)^{1/2}$")
    sharp = r"Lasso: $(s\,\log(p/s)\,/\,n)^{1/2}$"
    left.plot(p, formula.sharp_lasso_rate(n, s, p), color=RULES["theory"][1], ls=":", label=sharp)
    left.plot(p, np.full(100, formula.oracle_rate(n, s)), color=RULES["oracle"][1], label=r"oracle: $(s/n)^{1/2}$")
    law = formula.oracle_rate(n, s) * formula.lasso_oracle_law(p)
    right.plot(p, law, color=OTHER, ls="--", lw=1, label=f"predicted: oracle times {LAW}")
    band = bands(part, ["rule", "p"], "error")
    for rule, (label, color, marker) in RULES.items():
        curve(right, band.filter(rule=rule), "p", label, color, marker=marker)
    left.set(title=f"Formula, $n$ = {n:,}, $s$ = {s}", ylabel="$L_2$ error of the coefficients")
    right.set(title=f"Simulation, {part['repetition'].n_unique()} repetitions")
    right.sharey(left)
    for ax in (left, right):
        ax.set(xlabel="variables $p$", ylim=(0, None))
        log_axis(ax, part["p"])
        legend_under(ax)
    ratio = band.filter(rule="theory").join(band.filter(rule="oracle"), on="p", suffix="_oracle")
    measured = (ratio["mean"] / ratio["mean_oracle"]).to_numpy()
    gap = np.abs(measured / formula.lasso_oracle_law(ratio["p"].to_numpy()) - 1).max()
    last = {row["rule"]: row["mean"] for row in band.filter(pl.col("p") == pl.col("p").max()).to_dicts()}
    oracle = last["oracle"]
    slope = excess_slope(linear, "theory", 0, STRONG)
    closed = (last["theory"] - last["refit"]) / (last["theory"] - oracle)
    return fig, (
        f"With the theoretical penalty n (err² of Lasso − err² of oracle) / s grows by {slope} per unit of log p, "
        f"where √(1 + 2 log p) predicts 2; the ratio of errors stays within {gap:.0%} of that law. At p = "
        f"{largest(band, 'p'):,} the ratio is {last['theory'] / oracle:.1f} with known noise, "
        f"{last['estimated'] / oracle:.1f} with estimated noise, {last['hindsight'] / oracle:.1f} with the penalty "
        f"best in hindsight, and {last['refit'] / oracle:.1f} after refitting, which closes {closed:.0%} of the gap."
    )


def regimes(linear: pl.DataFrame) -> Reading:
    """Ratio of each error to the oracle's in six regimes, with the law of strong signals drawn in each."""
    fig, axes = panels(2, 3, 2.3)
    keys = ["rho", "signs", "signal", "n", "p", "repetition"]
    oracle = linear.filter(rule="oracle").select(*keys, oracle="error")
    paired = linear.join(oracle, on=keys).with_columns(ratio=pl.col("error") / pl.col("oracle"))
    words = []
    parts = sorted(paired.group_by("signal", "rho", "signs"))
    for ax, ((signal, rho, signs), part) in zip([ax for row in axes for ax in row], parts, strict=True):
        p = np.geomspace(*_range(part["p"]), 50)
        ax.plot(p, formula.lasso_oracle_law(p), "--", color=OTHER, lw=1, label=f"law: {LAW}")
        band = bands(part, ["rule", "p"], "ratio")
        for rule, (label, color, marker) in RULES.items():
            if rule != "oracle":
                curve(ax, band.filter(rule=rule), "p", label, color, marker=marker)
        name = f"{design_name(float(rho), str(signs))}, {'strong' if signal == STRONG else 'weak'} signals"
        design, _, strength = name.rpartition(", ")
        ax.set_title(f"{design}\n{strength} ($|\\beta|$ = {signal:g})")
        log_axis(ax, part["p"], apart=0.22)
        last = band.filter(rule="theory").sort("p")[-1]
        predicted = float(formula.lasso_oracle_law(last["p"][0]))
        words.append(f"{name} {last['mean'][0]:.2f} at p = {last['p'][0]:,} (law: {predicted:.2f})")
    for ax in axes[1]:
        ax.set_xlabel("variables $p$")
    for line in axes:
        line[0].set_ylabel("error over the oracle's")
    legend_below(fig, (ax for row in axes for ax in row))
    return fig, "Mean ratio of Lasso, at the theoretical penalty, to oracle: " + "; ".join(words) + "."


def regime_table(linear: pl.DataFrame) -> pl.DataFrame:
    """Each regime at its largest p: its parameters, signal-to-noise ratio, ratios to the oracle, seconds of a fit."""
    largest = linear.filter(pl.col("p") == pl.col("p").max().over("rho"))
    noise = [pl.lit(1.0).alias("sigma")]
    # Var(x'b) of s neighbours with correlation rho^|i-j|; with random signs the terms of two of them cancel on average.
    lags = pl.struct("rho", "signs", "s", "signal").map_elements(
        lambda row: (
            row["signal"] ** 2
            * sum(
                (row["rho"] if row["signs"] == EQUAL else 0.0) ** abs(i - j)
                for i in range(row["s"])
                for j in range(row["s"])
            )
        ),
        return_dtype=pl.Float64,
    )
    keys = ["rho", "signs", "signal", "n", "p", "s"]
    mean = largest.group_by(*keys, "rule").agg(pl.col("error", "seconds").mean())
    wide = mean.pivot(on="rule", index=keys, values="error")
    seconds = mean.filter(rule="theory").select(*keys, pl.col("seconds").round(4).alias("seconds a fit"))
    ratios = [(pl.col(rule) / pl.col("oracle")).round(2) for rule in ("theory", "estimated", "hindsight", "refit")]
    table = (
        wide.with_columns(*noise, *ratios, lags.round(2).alias("SNR"))
        .join(seconds, on=keys)
        .sort("rho", "signs", "signal")
    )
    names = {"signal": "beta"} | {rule: f"{rule} / oracle" for rule in ("theory", "estimated", "hindsight", "refit")}
    columns = [*keys, "sigma", "SNR", "theory", "estimated", "hindsight", "refit", "seconds a fit"]
    return table.select(columns).rename(names)


def sample_size(rows: pl.DataFrame) -> Reading:
    """Error against n: Lasso and oracle fall alike, at different levels."""
    fig, [[ax]] = panels(1, 1, 3.2)
    words = []
    for rule in ("theory", "hindsight", "oracle"):
        label, color, marker = RULES[rule]
        part = rows.filter(rule=rule)
        curve(ax, bands(part, ["n"], "error"), "n", label, color, marker=marker)
        n, values = matrix(part, "n", "error")
        words.append(f"{label} {bootstrap(values, _log_slope(n))}")
    ax.set(yscale="log", xlabel="records $n$", ylabel="$L_2$ error of the coefficients")
    log_axis(ax, rows["n"])
    log_ticks(ax.yaxis)
    ax.set_title(f"Strong signals, $p$ = {rows['p'][0]:,}, $s$ = {rows['s'][0]}")
    legend_below(fig, [ax])
    level = bands(rows.filter(pl.col("rule").is_in(["theory", "oracle"])), ["n", "rule"], "error").sort("n")
    ratio = (level.filter(rule="theory")["mean"] / level.filter(rule="oracle")["mean"]).to_numpy()
    return fig, (
        f"Slopes of log error on log n (theory: -0.5 for all): {'; '.join(words)}. The Lasso with known noise stays "
        f"{ratio.min():.1f} to {ratio.max():.1f} times above the oracle."
    )


def fig08(rows: pl.DataFrame) -> Reading:
    """Fig 8: worst-case rates as formulas; beside them simulated errors on all inputs and on S*, one panel an s."""
    values = sorted(rows["s"].unique())
    fig, axes = panels(2, (2 + len(values)) // 2, 2.3)
    first, *others = [ax for line in axes for ax in line]
    n, s = 10_000, 20
    p = np.arange(s, 101)
    first.plot(p, formula.nonparametric_rate(n, p), color="#777777", label="all inputs: $n^{-2/(2+p)}$")
    level = np.full(len(p), formula.nonparametric_rate(n, s))
    first.plot(p, level, "--", color="#777777", label="$S^*$: $n^{-2/(2+s)}$")
    first.set(title=f"Formula, $n$ = {n:,}, $s$ = {s}", ylabel="rate of squared error", ylim=(0, 1))
    words = []
    for ax, important in zip(others, values, strict=False):
        part = rows.filter(s=important)
        band = bands(part, ["method", "inputs", "p"], "error")
        for method in LEARNERS:
            own, color = band.filter(method=method), METHODS[method]
            curve(ax, own.filter(inputs="all"), "p", f"{method}, all inputs", color, marker="o")
            level = own.filter(inputs="S*")["mean"][0]
            ax.axhline(level, ls="--", color=color, lw=1, label=f"{method}, $S^*$ alone")
            grid, ratio = log_ratio(rows, method, important)
            words.append(f"{method}, s = {important}: {bootstrap(ratio, slope_on(grid)):.3f}")
        ax.set(title=f"Simulation, $n$ = {part['n'][0]:,}, $s$ = {important}", yscale="log", ylabel="squared error")
        log_ticks(ax.yaxis)
    for ax in others[len(values) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("inputs $p$")
    legend_below(fig, (first, others[0]))
    return fig, "Slope of log(error on all inputs / error on S*) on p: " + "; ".join(words) + "."


def nonlinear_records(rows: pl.DataFrame) -> Reading:
    """Squared error against n on all inputs and on S*, with the slopes the worst case allows."""
    fig, [axes] = panels(1, 2, 3.2)
    p, s = int(rows.filter(inputs="all")["p"][0]), int(rows["s"][0])
    words = []
    for ax, (inputs, d) in zip(axes, (("all", p), ("S*", s)), strict=True):
        part = rows.filter(inputs=inputs)
        for method in LEARNERS:
            own = part.filter(method=method)
            curve(ax, bands(own, ["n"], "error"), "n", method, METHODS[method], marker="o")
            n, values = matrix(own, "n", "error")
            words.append(f"{method} on {inputs} {bootstrap(values, _log_slope(n))}")
        grid = np.unique(rows["n"].to_numpy()).astype(float)
        start = part.filter(n=int(grid[0]))["error"].to_numpy().mean()
        reference = start * (grid / grid[0]) ** (-2 / (2 + d))
        ax.plot(grid, reference, "--", color="black", lw=1, label=f"slope $-2/(2+{d}) = {-2 / (2 + d):.2f}$")
        ax.set(title=plain(f"{'All ' if inputs == 'all' else 'S*: '}{d} inputs"), yscale="log", xlabel="records $n$")
        log_axis(ax, rows["n"])
        log_ticks(ax.yaxis)
        legend_under(ax)
    axes[0].set_ylabel("squared error")
    everything = rows.filter(inputs="all")
    n, net = matrix(everything.filter(method="net"), "n", "error")
    _, neighbours = matrix(everything.filter(method="nearest neighbours"), "n", "error")
    ridge_n, ridge = matrix(everything.filter(method="kernel ridge"), "n", "error")
    common = np.isin(n, ridge_n)
    steeper = [_steeper(n, neighbours, net), _steeper(ridge_n, ridge, net[:, common])]
    adapts = "do adapt" if min(found.low for found in steeper) > 0 else "do not visibly adapt"
    return fig, (
        f"Slopes of log squared error on log n (n to {n[-1]:,.0f}, of kernel ridge to {ridge_n[-1]:,.0f}): "
        f"{'; '.join(words)}. On all inputs the nets' slope is steeper than nearest neighbours' by {steeper[0]}, "
        f"than kernel ridge's by {steeper[1]} on the n they share, and that is smooth as well: here the nets "
        f"{adapts} to a sparse target."
    )


def _steeper(n: NDArray[np.float64], other: NDArray[np.float64], ours: NDArray[np.float64]) -> Estimate:
    """By how much log error falls faster in log n; one bootstrap of both keeps their pairing by draw."""
    slope, size = _log_slope(n), len(n)
    return bootstrap(np.hstack([other, ours]), lambda mean: slope(mean[..., :size]) - slope(mean[..., size:]))


def _range(values: pl.Series) -> tuple[float, float]:
    array = values.to_numpy()
    return float(array.min()), float(array.max())


def _log_slope(n: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    slope = slope_on(np.log(n))
    return lambda mean: slope(np.log(mean))

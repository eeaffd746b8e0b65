"""Figures of notebook 06 on rates: Fig 5 and Fig 8 as formula and as simulation, and what lies behind them.

Every function returns a figure and the sentence that reads it, computed from the same rows.
"""

from __future__ import annotations

from typing import Final

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrrecsys_core.report.style import OTHER, panels, save
from lrrecsys_core.theory import rates as formula
from lrrecsys_core.theory.claims import excess_slope, log_ratio
from lrrecsys_core.theory.repetitions import bands, bootstrap, matrix, slope_on
from lrrecsys_core.theory.study import STRONG

Reading = tuple[Figure, str]
RULES: Final = {
    "theory": ("Lasso, known noise", "#0173b2", "o"),
    "estimated": ("Lasso, estimated noise", "#56b4e9", "v"),
    "hindsight": ("Lasso, best penalty in hindsight", "#cc78bc", "s"),
    "cross-validated": ("Lasso, cross-validated", "#ca9161", "D"),
    "refit": ("least squares on what the Lasso kept", "#de8f05", "^"),
    "oracle": ("oracle: least squares on S*", "#029e73", "P"),
}
METHODS: Final = {"net": "#0173b2", "nearest neighbours": "#de8f05", "kernel ridge": "#029e73"}


def present(run: str, name: str, drawn: Reading) -> None:
    """Save a figure under `name`, show it, and print its sentence."""
    figure, sentence = drawn
    save(figure, run, name)
    plt.show()
    plt.close(figure)
    print(sentence)


def curve(ax: Axes, band: pl.DataFrame, x: str, label: str, color: str, **style: str) -> None:
    """Means of `band` against column `x`, with their intervals as a shade."""
    band = band.sort(x)
    ax.plot(band[x], band["mean"], label=label, color=color, markersize=4, **style)
    ax.fill_between(band[x], band["low"], band["high"], color=color, alpha=0.2, linewidth=0)


def fig05(linear: pl.DataFrame) -> Reading:
    """Fig 5: rates of Lasso and oracle as formulas; beside them the simulated errors, independent design, strong signals."""
    fig, [[left, right]] = panels(1, 2, 4.2, 3.4)
    part = linear.filter((pl.col("rho") == 0) & (pl.col("signal") == STRONG))
    n, s = int(part["n"][0]), int(part["s"][0])
    p = np.geomspace(part["p"].min(), part["p"].max(), 100)  # type: ignore[arg-type]
    left.plot(p, formula.lasso_rate(n, s, p), color=RULES["theory"][1], label="Lasso: sqrt(s log p / n)")
    left.plot(p, formula.sharp_lasso_rate(n, s, p), color=RULES["theory"][1], ls=":", label="sqrt(s log(p/s) / n)")
    left.plot(p, np.full(100, formula.oracle_rate(n, s)), color=RULES["oracle"][1], label="oracle: sqrt(s / n)")
    law = formula.oracle_rate(n, s) * formula.lasso_oracle_law(p)
    right.plot(p, law, color="black", ls="--", lw=1, label="predicted: oracle times sqrt(1 + 2 log p)")
    band = bands(part, ["rule", "p"], "error")
    for rule, (label, color, marker) in RULES.items():
        curve(right, band.filter(rule=rule), "p", label, color, marker=marker)
    left.set(title=f"Formula, n = {n:,}, s = {s}")
    right.set(title=f"Simulation, {part['repetition'].n_unique()} repetitions, 95% bands")
    for ax in (left, right):
        ax.set(xscale="log", xlabel="variables p", ylabel="L2 error of the coefficients", ylim=(0, None))
        ax.legend(fontsize=6)
    ratio = band.filter(rule="theory").join(band.filter(rule="oracle"), on="p", suffix="_oracle")
    measured = (ratio["mean"] / ratio["mean_oracle"]).to_numpy()
    gap = np.abs(measured / formula.lasso_oracle_law(ratio["p"].to_numpy()) - 1).max()
    last = band.filter(pl.col("p") == pl.col("p").max())
    oracle = last.filter(rule="oracle")["mean"][0]
    return fig, (
        f"With the theoretical penalty n (err_Lasso^2 - err_oracle^2) / s grows by {excess_slope(linear, 'theory', 0, STRONG)} "
        f"per unit of log p; sqrt(1 + 2 log p) predicts 2, and the ratio of errors stays within {gap:.0%} of it. At "
        f"p = {last['p'][0]:,} the ratio is {last.filter(rule='theory')['mean'][0] / oracle:.1f}, with the best penalty in "
        f"hindsight {last.filter(rule='hindsight')['mean'][0] / oracle:.1f}, after refitting "
        f"{last.filter(rule='refit')['mean'][0] / oracle:.1f}: most of the gap is the price of the penalty, not of the search."
    )


def regimes(linear: pl.DataFrame) -> Reading:
    """Ratio of each error to the oracle's in four regimes, with the law of strong signals drawn in each."""
    fig, axes = panels(2, 2, 3.9, 2.8)
    keys = ["rho", "signal", "n", "p", "repetition"]
    oracle = linear.filter(rule="oracle").select(*keys, oracle="error")
    paired = linear.join(oracle, on=keys).with_columns(ratio=pl.col("error") / pl.col("oracle"))
    words = []
    for ax, ((rho, signal), part) in zip(
        [ax for row in axes for ax in row], sorted(paired.group_by("rho", "signal")), strict=True
    ):
        p = np.geomspace(part["p"].min(), part["p"].max(), 50)  # type: ignore[arg-type]
        ax.plot(p, formula.lasso_oracle_law(p), "--", color="black", lw=1, label="sqrt(1 + 2 log p)")
        band = bands(part, ["rule", "p"], "ratio")
        for rule, (label, color, marker) in RULES.items():
            if rule != "oracle":
                curve(ax, band.filter(rule=rule), "p", label, color, marker=marker)
        name = ("AR(0.5)" if rho else "independent") + f", {'strong' if signal == STRONG else 'weak'} signals"
        ax.set(
            title=f"{name} (beta = {signal:g})", xscale="log", xlabel="variables p", ylabel="error over the oracle's"
        )
        last = band.filter(rule="theory").sort("p")[-1]
        predicted = float(formula.lasso_oracle_law(last["p"][0]))
        words.append(f"{name} {last['mean'][0]:.2f} at p = {last['p'][0]:,} (law: {predicted:.2f})")
    axes[0][0].legend(fontsize=5)
    return fig, "Lasso with the theoretical penalty over oracle: " + "; ".join(words) + "."


def regime_table(linear: pl.DataFrame) -> pl.DataFrame:
    """Each regime at its largest p: its parameters, signal-to-noise ratio, ratio to the oracle, and seconds of a fit."""
    largest = linear.filter(pl.col("p") == pl.col("p").max().over("rho"))
    noise = [pl.lit(1.0).alias("sigma")]
    # Var(x'b) of s neighbours with correlation rho^|i-j| and equal coefficients.
    lags = pl.struct("rho", "s", "signal").map_elements(
        lambda row: (
            row["signal"] ** 2 * sum(row["rho"] ** abs(i - j) for i in range(row["s"]) for j in range(row["s"]))
        ),
        return_dtype=pl.Float64,
    )
    keys = ["rho", "signal", "n", "p", "s"]
    mean = largest.group_by(*keys, "rule").agg(pl.col("error", "seconds").mean())
    wide = mean.pivot(on="rule", index=keys, values="error")
    seconds = mean.filter(rule="theory").select(*keys, pl.col("seconds").round(4).alias("seconds a fit"))
    ratios = [(pl.col(rule) / pl.col("oracle")).round(2) for rule in ("theory", "estimated", "hindsight", "refit")]
    table = wide.with_columns(*noise, *ratios, lags.round(2).alias("SNR")).join(seconds, on=keys).sort("rho", "signal")
    names = {"signal": "beta"} | {rule: f"{rule} / oracle" for rule in ("theory", "estimated", "hindsight", "refit")}
    columns = [*keys, "sigma", "SNR", "theory", "estimated", "hindsight", "refit", "seconds a fit"]
    return table.select(columns).rename(names)


def sample_size(rows: pl.DataFrame) -> Reading:
    """Error against n: Lasso and oracle fall alike, at different levels."""
    fig, [[ax]] = panels(1, 1, 4.6, 3.2)
    words = []
    for rule in ("theory", "hindsight", "oracle"):
        label, color, marker = RULES[rule]
        part = rows.filter(rule=rule)
        curve(ax, bands(part, ["n"], "error"), "n", label, color, marker=marker)
        n, values = matrix(part, "n", "error")
        slope = bootstrap(values, lambda mean, n=n: slope_on(np.log(n))(np.log(mean)))  # type: ignore[misc]
        words.append(f"{label} {slope}")
    ax.set(xscale="log", yscale="log", xlabel="records n", ylabel="L2 error of the coefficients")
    ax.set_title(f"Strong signals, p = {rows['p'][0]:,}, s = {rows['s'][0]}")
    ax.legend(fontsize=7)
    return fig, "Slopes of log error on log n (theory: -0.5 for all): " + "; ".join(
        words
    ) + ". The gap is one of level."


def fig08(rows: pl.DataFrame) -> Reading:
    """Fig 8: worst-case rates as formulas; beside them simulated errors on all inputs and on S*, one panel an s."""
    values = sorted(rows["s"].unique())
    fig, [axes] = panels(1, 1 + len(values), 3.3, 3.2)
    n, s = 10_000, 20
    p = np.arange(s, 101)
    axes[0].plot(p, formula.nonparametric_rate(n, p), color=METHODS["net"], label="all inputs: n^(-2/(2+p))")
    axes[0].plot(p, np.full(len(p), formula.nonparametric_rate(n, s)), "--", color=OTHER, label="S*: n^(-2/(2+s))")
    axes[0].set(title=f"Formula, n = {n:,}, s = {s}", xlabel="inputs p", ylabel="rate of squared error", ylim=(0, 1))
    axes[0].legend(fontsize=6)
    words = []
    for ax, important in zip(axes[1:], values, strict=True):
        part = rows.filter(s=important)
        band = bands(part, ["method", "inputs", "p"], "error")
        for method, color in METHODS.items():
            own = band.filter(method=method)
            curve(ax, own.filter(inputs="all"), "p", f"{method}, all", color, marker="o")
            ax.axhline(own.filter(inputs="S*")["mean"][0], ls="--", color=color, lw=1, label=f"{method}, S*")
            grid, ratio = log_ratio(rows, method, important)
            words.append(f"{method}, s = {important}: {bootstrap(ratio, slope_on(grid)):.3f}")
        ax.set(title=f"Simulation, n = {part['n'][0]:,}, s = {important}", xlabel="inputs p", yscale="log")
        ax.set_ylabel("squared error")
    axes[-1].legend(fontsize=5)
    return fig, "Slope of log(error on all inputs / error on S*) on p: " + "; ".join(words) + "."


def nonlinear_records(rows: pl.DataFrame) -> Reading:
    """Squared error against n on all inputs and on S*, with the slopes the worst case allows."""
    fig, axes = panels(1, 2, 4.0, 3.2)
    p, s = int(rows["p"].max()), int(rows["s"][0])  # type: ignore[arg-type]
    words, adapted = [], []
    for ax, (inputs, d) in zip(axes[0], (("all", p), ("S*", s)), strict=True):
        part = rows.filter(inputs=inputs)
        for method, color in METHODS.items():
            own = part.filter(method=method)
            curve(ax, bands(own, ["n"], "error"), "n", method, color, marker="o")
            n, values = matrix(own, "n", "error")
            slope = bootstrap(values, lambda mean, n=n: slope_on(np.log(n))(np.log(mean)))  # type: ignore[misc]
            words.append(f"{method} on {inputs} {slope}")
            if inputs == "all" and slope.high < -2 / (2 + d):
                adapted.append(method)
        grid = np.geomspace(*rows.select(low=pl.col("n").min(), high=pl.col("n").max()).row(0), 20)
        start = float(part.filter(n=int(grid[0]))["error"].mean())  # type: ignore[arg-type]
        reference = start * (grid / grid[0]) ** (-2 / (2 + d))
        ax.plot(grid, reference, "--", color="black", lw=1, label=f"slope -2/(2+{d}) = {-2 / (2 + d):.2f}")
        ax.set(
            title=f"{'All ' if inputs == 'all' else 'S*: '}{d} inputs", xscale="log", yscale="log", xlabel="records n"
        )
        ax.set_ylabel("squared error")
        ax.legend(fontsize=6)
    end = f"Steeper on all {p} inputs than the worst case allows, so adapting to this sparse, smooth target: "
    return fig, "Slopes of log squared error on log n: " + "; ".join(words) + f". {end}{', '.join(adapted) or 'none'}."

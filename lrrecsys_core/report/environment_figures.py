"""Figures of notebook 06 on selection from environments: EILLS (Lemmas 1 and 2, App 9.2) and FAIR.

Every function returns a figure and the sentence that reads it, computed from the same rows.
"""

from __future__ import annotations

from typing import Final

import polars as pl
from matplotlib.axes import Axes

from lrrecsys_core.report.style import METHODS as COLOURS
from lrrecsys_core.report.style import OTHER, legend_below, legend_under, levels, log_ticks, panels, plain
from lrrecsys_core.report.theory_figures import Reading, curve, log_axis
from lrrecsys_core.theory.claims import one_environment_rate, trend
from lrrecsys_core.theory.repetitions import bands, largest, rates

METHODS: Final = {
    "EILLS": COLOURS["EILLS"],
    "EILLS without L0": "#7f75c6",
    "EILLS, refitted": "#b9b3e6",
    "pooled least squares": COLOURS["pooled"],
    "least squares without spurious": "#cc6677",
    "ICP": COLOURS["ICP"],
    "least squares on S*": COLOURS["oracle"],
}
# What a chosen set is asked: in the colour of the method where it is right, of pooling where it is wrong.
ASKED: Final = {
    "exact": ("exactly S*", COLOURS["EILLS"]),
    "screened": ("all of S*", "#44aa99"),
    "spurious": ("any spurious", COLOURS["pooled"]),
}
SHARE: Final = "share of repetitions"


def published(rows: pl.DataFrame) -> Reading:
    """The published two-environment example: errors of all methods, and how often each finds S*."""
    fig, [[left, right]] = panels(1, 2, 3.9)
    errors, exact = bands(rows, ["method", "n"], "error"), rates(rows, ["method", "n"], "exact")
    for method, color in METHODS.items():
        curve(left, errors.filter(method=method), "n", plain(method).replace("L0", "$L_0$"), color, marker="o")
    for method in ("EILLS", "EILLS without L0", "ICP"):
        name = method.replace("L0", "$L_0$")
        curve(right, exact.filter(method=method), "n", f"{name}: exactly $S^*$", METHODS[method], marker="o")
        screened = rates(rows.filter(method=method), ["n"], "screened")
        curve(right, screened, "n", f"{name}: all of $S^*$", METHODS[method], ls=":")
    left.set(title="Two environments, 12 variables", yscale="log", ylabel="squared $L_2$ error")
    right.set(title="Support", ylabel=SHARE, ylim=(-0.03, 1.03))
    log_ticks(left.yaxis)
    for ax in (left, right):
        ax.set_xlabel("records per environment $n$")
        log_axis(ax, rows["n"])
        legend_under(ax)
    final = rows.filter(n=largest(rows, "n")).group_by("method")
    mean = dict(final.agg(pl.col("error").mean()).iter_rows())
    median = dict(final.agg(pl.col("error").median()).iter_rows())
    found = dict(final.agg(pl.col("exact").mean()).iter_rows())
    oracle, pooled = "least squares on S*", "pooled least squares"
    start = errors.filter(method=pooled).sort("n")["mean"][0]
    return fig, (
        f"At n = {largest(rows, 'n'):,} the squared error of EILLS is {median['EILLS'] / median[oracle]:.1f} times the "
        f"oracle's in the median and {mean['EILLS'] / mean[oracle]:.1f} times in the mean, which carries the "
        f"{1 - found['EILLS']:.0%} of repetitions with a wrong set. Pooled least squares has "
        f"{mean[pooled] / mean['EILLS']:,.0f} times the mean error of EILLS, and {mean[pooled] / start:.2f} times "
        f"its own at the smallest n. S* is found exactly in {found['EILLS']:.0%} with the L0 term, "
        f"{found['EILLS without L0']:.0%} without, and {found['ICP']:.0%} by ICP."
    )


def recovery(rows: pl.DataFrame) -> Reading:
    """Exact recovery and screening as records per environment and environments grow (Lemma 1)."""
    fig, axes = panels(2, 2, 2.4)
    own = rows.filter(design="per environment")
    for line, value, words in ((0, "exact", "exactly S*"), (1, "screened", "all of S*")):
        band = rates(own, ["n", "environments"], value)
        _family(axes[line][0], band, "n", "environments", "|E|")
        _family(axes[line][1], band, "environments", "n", "n")
        limit = rates(rows.filter(design="population"), ["environments"], value)
        curve(axes[line][1], limit, "environments", "endless records", OTHER, ls=":", lw=2.2, zorder=3)
        shared = rates(rows.filter(design="same total"), ["environments"], value)
        total = int(rows.filter(design="same total").select(pl.col("n") * pl.col("environments")).max().item())
        curve(axes[line][1], shared, "environments", f"{total:,} in all", "black", ls="--")
        for ax in axes[line]:
            ax.set(title=plain(f"Chosen: {words}"), ylim=(-0.03, 1.03))
        axes[line][0].set_ylabel(SHARE)
    for ax, label in zip(axes[1], ("records per environment $n$", "environments $|E|$"), strict=True):
        ax.set_xlabel(label)
        legend_under(ax, 2)
    several = rows.filter(pl.col("environments") > 1)
    cut = several.filter(design="same total")
    grown = several.filter(design="per environment")
    peak = rates(cut, ["environments"], "exact").sort("mean", "environments")[-1]
    endless = rates(rows.filter(design="population"), ["environments"], "exact")
    shares = ", ".join(f"{share:.0%} with {count}" for count, share in endless.select("environments", "mean").rows())
    return fig, (
        f"From 2 to 16 environments exact recovery rises by {trend(grown, 'n')} per doubling of n, by "
        f"{trend(grown, 'environments')} per doubling of environments, and by {trend(cut, 'environments')} when the "
        f"same number of records comes from more environments, with its peak of {peak['mean'][0]:.0%} at "
        f"{peak['environments'][0]}. With endless records (dotted) EILLS at this gamma has S* in {shares}: below what "
        "Lemma 1 asks of gamma, more records do not help."
    )


def one_environment(rows: pl.DataFrame) -> Reading:
    """Recovery and chosen spurious variables from one environment and from eight as n grows (Lemma 2)."""
    fig, axes = panels(1, 2, 2.6)
    for ax, value, title in zip(axes[0], ("exact", "spurious"), ("exactly S*", "a spurious variable"), strict=True):
        for count, color in levels((1, 8)).items():
            band = rates(rows.filter(environments=count), ["n"], value)
            curve(ax, band, "n", f"{count} environment{'s' * (count > 1)}", color, marker="o")
        ax.set(title=plain(f"Chosen: {title}"), xlabel="records per environment $n$", ylim=(-0.03, 1.03))
        log_axis(ax, rows["n"])
    axes[0][0].set_ylabel(SHARE)
    legend_below(fig, axes[0])
    n, hits, tries, estimate = one_environment_rate(rows)
    eight = rows.filter((pl.col("environments") == 8) & (pl.col("n") == n))["exact"].to_numpy().mean()
    return fig, (
        f"At n = {n:,} one environment gives S* in {hits} of {tries} repetitions (exact 95% interval up to "
        f"{estimate.high:.2f}), eight environments in {eight:.0%}."
    )


def gamma_path(rows: pl.DataFrame) -> Reading:
    """Mean coefficients on the published example along gamma, and recovery with and without the L0 term."""
    fig, [[left, right]] = panels(1, 2, 3.4)
    rows = rows.with_columns(shown=pl.col("gamma").clip(0.5))
    band = bands(rows.filter(penalised=True), ["variable", "shown"], "beta", draws=400)
    kinds: dict[str, tuple[str, tuple[int, ...]]] = {
        "in S*": (METHODS["EILLS"], (1, 2, 3)),
        "spurious": (METHODS["pooled least squares"], (7, 8, 9)),
        "neither": ("#c4c4c4", (4, 5, 6, 10, 11, 12)),
    }
    for kind, (color, variables) in kinds.items():
        for variable in variables:
            curve(left, band.filter(variable=variable), "shown", plain(kind), color)
    once = rows.filter(variable=1)
    for penalised, style in ((True, "-"), (False, ":")):
        for value, (label, color) in ASKED.items():
            shares = rates(once.filter(penalised=penalised), ["shown"], value)
            curve(right, shares, "shown", plain(label) + ("" if penalised else ", no $L_0$"), color, ls=style)
    left.set(title="Mean coefficients", ylabel="coefficient")
    right.set(title="Support", ylabel=SHARE)
    for ax in (left, right):
        ax.set(xscale="log", xlabel=r"$\gamma$ (0 drawn at 0.5)")
        log_ticks(ax.xaxis)
        legend_under(ax, 2)
    exact = rates(once.filter(penalised=True), ["gamma"], "exact")
    peak = exact["mean"].to_numpy().max()
    window = exact.filter(pl.col("mean") >= peak - 0.1)["gamma"].to_list()
    top = float(once["gamma"].to_numpy().max())

    def share(gamma: float, value: str) -> float:
        return float(once.filter(penalised=True, gamma=gamma)[value].to_numpy().mean())

    return fig, (
        f"Exact recovery peaks at {peak:.0%} and is within ten points of that for gamma from {min(window):g} to "
        f"{max(window):g}; at gamma 0 a spurious variable is chosen in {share(0.0, 'spurious'):.0%}, at gamma {top:,g} "
        f"all of S* in {share(top, 'screened'):.0%}."
    )


def shift(rows: pl.DataFrame) -> Reading:
    """Risk when the strengths of all spurious variables move together (App 9.2)."""
    fig, [[ax]] = panels(1, 1, 3.2)
    band = bands(rows, ["method", "shift"], "risk")
    for method in ("pooled least squares", "EILLS", "least squares on S*"):
        style = {"ls": "--"} if method == "least squares on S*" else {}
        curve(ax, band.filter(method=method), "shift", plain(method), METHODS[method], **style)
    ax.set(xlabel="shift of the spurious strengths", ylabel="expected squared error", yscale="log")
    ax.set_title("Spurious variables under a shift,\n8 simulated environments")
    log_ticks(ax.yaxis)
    legend_below(fig, [ax])
    at = {(row["method"], row["shift"]): row for row in band.to_dicts()}
    home, away = at["pooled least squares", 0.0], at["pooled least squares", min(rows["shift"])]
    safe = at["EILLS", 0.0]["mean"]
    return fig, (
        f"In its own environments pooled least squares has {home['mean'] / safe:.2f} times the risk of EILLS; with the "
        f"strengths moved by {away['shift']:g} it has {away['mean'] / at['EILLS', away['shift']]['mean']:.1f} times "
        f"(95% band of its risk {away['low']:.1f} to {away['high']:.1f})."
    )


def fair(rows: pl.DataFrame) -> Reading:
    """FAIR selection with splines and with linear features, from one environment and from several."""
    fig, axes = panels(1, 2, 2.6)
    words = []
    for ax, features in zip(axes[0], ("splines", "linear"), strict=True):
        for count, color in levels(rows["environments"]).items():
            band = rates(rows.filter(features=features, environments=count), ["n"], "exact")
            curve(ax, band, "n", f"{count} environment{'s' * (count > 1)}", color, marker="o")
            words.append(f"{features}, {count}: {band.sort('n')['mean'][-1]:.0%}")
        ax.set(title=f"Both players: {features}", xlabel="records per environment $n$", ylim=(-0.03, 1.03))
        log_axis(ax, rows["n"])
    axes[0][0].set_ylabel(plain("share exactly S*"))
    legend_below(fig, axes[0])
    return fig, (
        f"Exact selection at n = {largest(rows, 'n'):,} by features and environments: {'; '.join(words)}. The second "
        "important variable acts through its square, which linear functions cannot see."
    )


def knowledge(rows: pl.DataFrame) -> Reading:
    """What records of 1 to 16 simulated markets tell about S*: the knowledge a reasoner is given in the bridge."""
    fig, axes = panels(1, 3, 2.5)
    colors = {"EILLS": COLOURS["EILLS"], "pooled regression": COLOURS["pooled"], "Lasso": COLOURS["Lasso"]}
    names = {"known": "share of S* known", "spurious": "spurious attributes held", "idle": "idle attributes held"}
    # A repetition of one domain is a unit of its own.
    units = rows.with_columns(repetition=pl.struct("domain", "repetition").rank("dense"))
    for ax, (value, label) in zip(axes[0], names.items(), strict=True):
        band = bands(units, ["method", "environments"], value)
        for method, color in colors.items():
            curve(ax, band.filter(method=method), "environments", method, color, marker="o")
        ax.set(xlabel="markets $|E|$", ylabel=plain(label), ylim=(0, None))
        log_axis(ax, rows["environments"], base=2)
    legend_below(fig, axes[0])
    fig.suptitle(plain("Simulated markets, all domains: what they tell about S*"))
    words = []
    for method in ("EILLS", "pooled regression"):
        part = units.filter(method=method)
        ends = part.filter(environments=largest(part, "environments")).select("known", "spurious").mean().row(0)
        words.append(
            f"{method} knows {trend(part, 'environments', 'known')} more of S* per doubling of markets and, from "
            f"{largest(part, 'environments')}, {ends[0]:.0%} of it with {ends[1]:.1f} spurious attributes"
        )
    own = units.filter(method="Lasso").select("known", "spurious").mean().row(0)
    words.append(f"the Lasso on a single market knows {own[0]:.0%} with {own[1]:.1f} spurious attributes")
    return fig, "Simulated markets, all domains: " + "; ".join(words) + "."


def _family(ax: Axes, band: pl.DataFrame, x: str, by: str, symbol: str) -> None:
    for level, color in levels(band[by]).items():
        curve(ax, band.filter(pl.col(by) == level), x, f"${symbol}$ = {level:,}", color, marker="o")
    log_axis(ax, band[x])

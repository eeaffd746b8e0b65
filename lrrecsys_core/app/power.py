"""How strong the simulated markets are, and what a run on so many of them could find: measured before any run.

Size and strength of the markets were chosen on seeds 0-9 by what the true tastes and the match add to the biases, with
no network in sight. Power is estimated on seeds 10-19, on which nothing is chosen. Reports begin at seed 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from scipy.stats import nct, t

from lrrecsys_core import metrics as m
from lrrecsys_core import paths
from lrrecsys_core import rows as r
from lrrecsys_core.profiles import Profile, get_profile
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.formats import Grid, number, write_all
from lrrecsys_core.stats import paired_t
from lrrecsys_core.study.study import Study

MARKETS = 10
SETTLING, HELD_BACK = 0, 10  # first seeds
LEVEL = 0.05
TELLING, IGNORANT = r.DIAL[100], r.DIAL[0]
STRENGTH = ((r.CEILING, r.BIASES), (r.MATCH, r.BIASES))
CONTRASTS = (
    (TELLING, IGNORANT), (TELLING, r.ABLATION1), (r.LR, r.BIASES), (r.LR, r.ABLATION1), (r.LR, r.UNWHITENED),
    (r.LR, r.ABLATION2),
)  # fmt: skip


def chance(effect: float, sd: float, markets: int, level: float = LEVEL) -> float:
    """Power of a one-sided paired t-test on so many markets, for a true effect and the sd of its differences."""
    df = markets - 1
    return float(nct.sf(t.ppf(1 - level, df), df, effect / sd * np.sqrt(markets)))


def measured(profile: str, first_seed: int, contrasts: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """Contrasts on `MARKETS` markets of each domain: mean, sd, smallest effect found and power for both sizes of a run.

    Parameters
    ----------
    profile : whose markets, networks and epochs.
    first_seed : of the markets.
    contrasts : pairs of rows, the first supposed to be better.

    Returns
    -------
    Columns first_seed, dataset, contrast, metric, effect, sd, smallest, markets, power, after_holm (power at the level
    of the least of the three metrics).
    """
    given = get_profile(profile)
    study = Study(_on(given, first_seed))
    study.run_rows(only={name for pair in contrasts for name in pair})
    found = study.metrics()
    lines = []
    for dataset in study.datasets:
        evidence = Evidence(dataset, found)
        for better, other in contrasts:
            for metric in m.METRICS:
                gains = m.gain(metric, *evidence.paired(metric, better, other))
                effect, sd = float(np.mean(gains)), float(np.std(gains, ddof=1))
                for markets in sorted({given.first_markets or given.replicates, given.replicates}):
                    least = paired_t(_with(effect, sd, markets)).smallest
                    powers = [chance(effect, sd, markets, level) for level in (LEVEL, LEVEL / len(m.METRICS))]
                    lines.append(
                        (first_seed, dataset, f"{better} vs {other}", metric, effect, sd, least, markets, *powers)
                    )
    names = [
        "first_seed",
        "dataset",
        "contrast",
        "metric",
        "effect",
        "sd",
        "smallest",
        "markets",
        "power",
        "after_holm",
    ]
    return pl.DataFrame(lines, schema=names, orient="row")


def reading(profile: str, first_seed: int = SETTLING) -> pl.DataFrame:
    """How much of what least squares finds in the codes the networks find: LR-Recsys on `MARKETS` settling markets.

    Returns
    -------
    Columns dataset, task, codes, network, networks (shares of the biases' squared error removed, or AUC gained, on test
    records: by a ridge on the codes, single networks, their averages) and share (the averages' of the codes').
    """
    study = Study(_on(get_profile(profile), first_seed))
    study.run_rows(only=[r.LR])
    told = study.signal().filter(pl.col("part") == "test", pl.col("link").is_in(["codes", "network", "networks"]))
    mean = told.group_by("dataset", "task", "link", maintain_order=True).agg(pl.col("value").mean())
    wide = mean.pivot("link", index=["dataset", "task"], values="value")
    last = "networks" if "networks" in wide.columns else "network"
    return wide.with_columns(share=pl.col(last) / pl.col("codes"))


def _on(profile: Profile, first_seed: int) -> Profile:
    name = f"{profile.name}.seeds-{first_seed}"
    return replace(profile, name=name, first_seed=first_seed, replicates=MARKETS, first_markets=0)


def _with(effect: float, sd: float, markets: int) -> np.ndarray:
    """Differences of so many markets that have this mean and standard deviation."""
    shape = np.linspace(-1.0, 1.0, markets)
    return effect + sd * shape / shape.std(ddof=1)


def write_power(profile: str) -> str:
    """Measure both and write ``paper_tables/markets/power.csv``, ``.md``, ``.tex``; returns where."""
    strength = measured(profile, SETTLING, STRENGTH)
    power = measured(profile, HELD_BACK, CONTRASTS)
    read = reading(profile)
    body = [[str(v) if isinstance(v, str) else number(v) for v in line] for line in read.iter_rows()]
    told = f"What the networks find of what least squares finds in the same codes: {r.LR}, seeds 0-{MARKETS - 1}"
    grids = [
        Grid(told, read.columns, body),
        _grid(f"What can be gained over the biases: seeds {SETTLING}-{SETTLING + MARKETS - 1}, no network", strength),
        _grid(
            f"What a run could find: seeds {HELD_BACK}-{HELD_BACK + MARKETS - 1}, on which nothing was chosen", power
        ),
    ]
    notes = [
        "SIMULATED markets. Their strength is set, not found: it says how large the mechanism is made, so that "
        "networks that use it can be told from networks that do not.",
        f"Effect and sd over {MARKETS} markets of each domain, at the size of profile {profile}. Could have found: the "
        "true effect that a one-sided paired t-test at the 5% level finds in four of five runs of so many markets. "
        "Power: the chance that it finds the effect measured here; after Holm: at a third of the level.",
    ]
    folder = paths.root() / "paper_tables" / "markets"
    write_all(folder, "reading", read, "Whether networks read their codes (SIMULATED markets)", [], grids[:1])
    write_all(folder, "power", pl.concat([strength, power]), "Strength and power of the markets", notes, grids[1:])
    return str(folder / "power.md")


def _grid(caption: str, frame: pl.DataFrame) -> Grid:
    header = ("Data", "Contrast", "Metric", "Effect", "sd", "Markets", "Could have found", "Power", "After Holm")
    body = [
        (
            line["dataset"], line["contrast"], line["metric"], number(line["effect"]), number(line["sd"]),
            str(line["markets"]), number(line["smallest"]), number(line["power"], 2), number(line["after_holm"], 2),
        )
        for line in frame.to_dicts()
    ]  # fmt: skip
    return Grid(caption, header, body)

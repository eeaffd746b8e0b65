"""How strong the simulated markets are, and what a run on so many of them could find: measured before any run.

Size and strength of the markets were chosen on seeds 0-9 by what the true tastes and the match add to the biases.
Power is estimated on seeds 10-19, on which nothing is chosen. Reports use later ones.
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
from lrrecsys_core.app.verify import record
from lrrecsys_core.profiles import Profile, get_profile
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.formats import Grid, named, number, write_all
from lrrecsys_core.stats import POWER, POWER_LEVEL, detectable
from lrrecsys_core.study.study import Study

MARKETS = 10
SETTLING, HELD_BACK = 0, 10  # first seeds
STRENGTH = ((r.CEILING, r.BIASES), (r.MATCH, r.BIASES))
CONTRASTS = (
    (r.DIAL[100], r.DIAL[0]), (r.DIAL[100], r.ABLATION1), (r.LR, r.BIASES), (r.LR, r.ABLATION1), (r.LR, r.UNWHITENED),
    (r.LR, r.ABLATION2),
)  # fmt: skip
COLUMNS = (
    "first_seed", "dataset", "contrast", "metric", "effect", "sd", "markets", "smallest", "power", "corrected",
)  # fmt: skip


def chance(effect: float, sd: float, markets: int, level: float = POWER_LEVEL) -> float:
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
    frame with the columns `COLUMNS`; ``corrected`` is the power at the level that Holm's correction leaves the least p
    of all metrics and domains.
    """
    given = get_profile(profile)
    study = Study(_on(given, first_seed))
    study.run_rows(only={name for pair in contrasts for name in pair})
    found = study.metrics()
    least = POWER_LEVEL / (len(m.METRICS) * len(study.datasets))
    lines: list[tuple[object, ...]] = []
    for dataset in study.datasets:
        evidence = Evidence(dataset, found)
        for pair in contrasts:
            for metric in m.METRICS:
                gains = m.gain(metric, *evidence.paired(metric, *pair))
                effect, sd = float(np.mean(gains)), float(np.std(gains, ddof=1))
                about = (first_seed, dataset, " vs ".join(pair), metric, effect, sd)
                for markets in sorted({len(given.blocks[0]), given.replicates}):
                    smallest = sd / np.sqrt(markets) * detectable(markets - 1)
                    powers = chance(effect, sd, markets), chance(effect, sd, markets, least)
                    lines.append((*about, markets, smallest, *powers))
    return pl.DataFrame(lines, schema=list(COLUMNS), orient="row")


def reading(profile: str) -> pl.DataFrame:
    """How much of what least squares finds in the codes the networks find: LR-Recsys on `MARKETS` settling markets.

    Returns
    -------
    Columns dataset, task, codes, network, networks (shares of the biases' squared error removed, or AUC gained, on test
    records: by a ridge on the codes, single networks, their averages) and share (the averages' of the codes').
    """
    study = Study(_on(get_profile(profile), SETTLING))
    study.run_rows(only=[r.LR])
    told = study.signal().filter(pl.col("part") == "test", pl.col("link").is_in(["codes", "network", "networks"]))
    mean = told.group_by("dataset", "task", "link", maintain_order=True).agg(pl.col("value").mean())
    wide = mean.filter(pl.col("dataset").is_in(study.datasets)).pivot("link", index=["dataset", "task"], values="value")
    return wide.with_columns(share=pl.col("networks" if "networks" in wide.columns else "network") / pl.col("codes"))


def _on(profile: Profile, first_seed: int) -> Profile:
    name = f"{profile.name}.seeds-{first_seed}"
    return replace(profile, name=name, first_seed=first_seed, replicates=MARKETS, first_markets=0)


def write_power(profile: str) -> str:
    """Measure and write ``power`` and ``reading`` (csv, md, tex) into ``paper_tables/markets``; returns where."""
    strength = measured(profile, SETTLING, STRENGTH)
    power = measured(profile, HELD_BACK, CONTRASTS)
    read = reading(profile)
    notes = [
        "SIMULATED markets. Their strength is set, not found: it says how large the mechanism is made, so that "
        "networks that use it can be told from networks that do not.",
        f"Effect and sd over {MARKETS} markets of each domain, at the size of profile {profile}. Could have found: the "
        f"true effect that a one-sided paired t-test at {100 * POWER_LEVEL:g}% finds with {100 * POWER:g}% probability "
        "on so many markets. Power: the chance that it finds the effect measured here; corrected: at a ninth of the "
        "level, as the least p of three metrics in three domains needs under Holm's correction.",
    ]
    grids = [
        _grid(
            f"What can be gained over the biases: seeds {SETTLING} to {SETTLING + MARKETS - 1}, no network", strength
        ),
        _grid(f"What a run could find: seeds {HELD_BACK} to {HELD_BACK + MARKETS - 1}, never chosen on", power),
    ]
    folder = paths.root() / "paper_tables" / "markets"
    write_all(folder, "power", pl.concat([strength, power]), "Strength and power of the markets", notes, grids)
    body = [[named(v) if isinstance(v, str) else number(v) for v in line] for line in read.iter_rows()]
    caption = f"{r.LR}, means over the markets of seeds {SETTLING} to {SETTLING + MARKETS - 1}, test records"
    told = [notes[0], "Shares of the biases' squared error removed (regression) or AUC gained (classification)."]
    title = "What networks find of what least squares finds in the same codes"
    write_all(folder, "reading", read, title, told, [Grid(caption, read.columns, body)])
    record(folder.name)
    return str(folder)


def _grid(caption: str, frame: pl.DataFrame) -> Grid:
    header = ("Data", "Contrast", "Metric", "Effect", "sd", "Markets", "Could have found", "Power", "Corrected")
    body = [
        (
            named(line["dataset"]), line["contrast"], line["metric"], number(line["effect"]), number(line["sd"]),
            str(line["markets"]), number(line["smallest"]), number(line["power"], 2), number(line["corrected"], 2),
        )
        for line in frame.to_dicts()
    ]  # fmt: skip
    return Grid(caption, header, body)

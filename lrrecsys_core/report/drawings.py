"""Every figure once: its name, caption, and how it is drawn from the aggregate kept beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from matplotlib.figure import Figure

from lrrecsys_core import paths
from lrrecsys_core.report import bridge, environment_figures, figures, more_figures, routing, schematics, text_figures
from lrrecsys_core.report import theory_figures as theory
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.faults import TITLE as FAULTS
from lrrecsys_core.report.faults import faults
from lrrecsys_core.report.kept import file_of, keep, kept, needed, theory_of, understood
from lrrecsys_core.report.signal import TITLE, signal
from lrrecsys_core.report.style import FORMATS, parts_of, save

Collect = Callable[[Sequence[Evidence], Sequence[Evidence]], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure.

    Attributes
    ----------
    name : of its files, ``figures/<run>/<name>`` as .png, .pdf and .svg, and of its aggregate.
    caption : what the page says beneath it.
    draw : the figure from its aggregate, with the sentence that reads it where there is one.
    collect : the aggregate from the data sets and null markets of a run; None where a notebook, or the study's own
        results beside metrics and predictions, give it.
    theory : the same for all runs, so it lies in ``figures/theory``.
    bare : it has no aggregate.
    rows : its aggregate are the repetitions of a simulation, kept as Parquet.
    apart : it is drawn for each data set as well.
    markets : only simulated markets have it.
    """

    name: str
    caption: str
    draw: Callable[[pl.DataFrame], Figure | theory.Reading]
    collect: Collect | None = None
    theory: bool = False
    bare: bool = False
    rows: bool = False
    apart: bool = False
    markets: bool = False


def one_of(found: Sequence[Evidence]) -> list[Evidence]:
    """The data set of Figure 7: the paper shows Yelp, whose place the restaurants take."""
    return [next((source for source in found if source.dataset in ("restaurants", "yelp")), found[0])]


def _schematic(name: str, caption: str, draw: Callable[[], Figure]) -> Drawing:
    return Drawing(name, caption, lambda _: draw(), theory=True, bare=True)


def _simulation(name: str, caption: str, draw: Callable[[pl.DataFrame], theory.Reading]) -> Drawing:
    return Drawing(name, caption, draw, theory=True, rows=True)


# In the order of the page.
DRAWINGS: Final = (
    _schematic("fig01", "Figure 1. A generic recommender and LR-Recsys", schematics.fig01),
    Drawing("fig02", "Figure 2. A toy example", schematics.fig02, theory=True),
    _schematic("fig03", "Figure 3. The architecture", schematics.fig03),
    _schematic("fig04", "Figure 4. The AutoEncoder", schematics.fig04),
    _simulation("fig05", "Figure 5. Lasso against the oracle", theory.fig05),
    Drawing(
        "fig06", "Figure 6. Gain against disagreement of the models, with the placebo", figures.fig06,
        lambda found, _: figures.collect_fig06(found), apart=True,
    ),
    Drawing(
        "fig07", "Figure 7. Attention on positive and negative explanations, one data set", figures.fig09,
        lambda found, _: figures.collect_fig09(one_of(found)),
    ),
    _simulation("fig08", "Figure 8. General model against the oracle", theory.fig08),
    Drawing(
        "fig09", "Figure 9. Attention on positive and negative explanations, every data set", figures.fig09,
        lambda found, _: figures.collect_fig09(found),
    ),
    Drawing(
        "fig10", "Figure 10. Shares of attention, beside uniform attention", figures.fig10,
        lambda found, _: figures.collect_fig10(found),
    ),
    Drawing(
        "knowledge_dial", "Knowledge of the reasoner", more_figures.dial,
        lambda found, _: more_figures.collect_dial(found), markets=True,
    ),
    Drawing(
        "bridge", "Reasoners taught by other environments", bridge.bridge,
        lambda found, _: bridge.collect_bridge(pl.concat([source.metrics for source in found])), markets=True,
    ),
    Drawing(
        "controls", "Shuffled explanations, spurious reasoner and null market", more_figures.controls,
        more_figures.collect_controls,
    ),
    Drawing(
        "cold_start", "Gain by activity of users and items", more_figures.cold_start,
        lambda found, _: more_figures.collect_cold_start(found),
    ),
    Drawing("routing", routing.CAPTION, routing.routing, lambda found, _: routing.collect_routing(found)),
    Drawing(
        "learning_curves", "Less training data, same test set", more_figures.learning,
        lambda found, _: more_figures.collect_learning(found),
    ),
    Drawing("signal", f"{TITLE}: validation, where links are compared, and test", signal),
    Drawing("data_ratings", "Ratings", text_figures.ratings),
    Drawing("data_activity", "Activity of users and items", text_figures.activity),
    Drawing("faults", f"{FAULTS}, by explainer and slot", faults),
    Drawing("explanation_lengths", "Length of the explanations", text_figures.lengths),
    Drawing("keywords", "Words of the explanations of one item", text_figures.keywords),
    Drawing("autoencoder_curves", "The AutoEncoder's loss by rate", text_figures.curves),
    Drawing("autoencoder_codes", "Codes of sentences", text_figures.codes),
    _simulation("lasso_regimes", "Lasso over oracle in four regimes", theory.regimes),
    _simulation("lasso_sample_size", "Lasso and oracle by sample size", theory.sample_size),
    _simulation("eills_published", "EILLS on the published example", environment_figures.published),
    _simulation("eills_recovery", "Recovery of S* by EILLS", environment_figures.recovery),
    _simulation("eills_one_environment", "One environment against eight", environment_figures.one_environment),
    _simulation("eills_gamma_path", "EILLS along gamma", environment_figures.gamma_path),
    _simulation("spurious_shift", "Risk under a shift", environment_figures.shift),
    _simulation("fair_selection", "FAIR selection", environment_figures.fair),
    _simulation("nonlinear_sample_size", "Nonlinear learners by sample size", theory.nonlinear_records),
    _simulation("market_knowledge", "What markets tell about S*", environment_figures.knowledge),
)  # fmt: skip
BY_NAME: Final = {drawing.name: drawing for drawing in DRAWINGS}


def place(run: str, drawing: Drawing) -> str:
    """The run under whose name a figure of `run` lies."""
    return theory_of(run) if drawing.theory else run


def collect_figures(run: str, found: Sequence[Evidence], null: Sequence[Evidence]) -> None:
    """Keep the aggregates of all figures that rest on a run's results."""
    simulated = any(source.simulated for source in found)
    for drawing in DRAWINGS:
        if drawing.collect is not None and (simulated or not drawing.markets):
            keep(run, drawing.name, drawing.collect(found, null))


def draw(run: str, name: str, *, anew: bool = True) -> tuple[Path, str]:
    """Draw one figure from what is kept; return its PNG file and the sentence that reads it, if it was drawn.

    Parameters
    ----------
    run : that asks for the figure.
    name : of the figure.
    anew : if False, a figure that is newer than its aggregate is left as it is.

    Raises
    ------
    InputError
        Its aggregate was not kept.
    """
    drawing = BY_NAME[name]
    run = place(run, drawing)
    frame = pl.DataFrame() if drawing.bare else needed(run, name)
    parts = {name: frame}
    with understood(run):
        if drawing.apart and frame["title"].n_unique() > 1:
            parts |= {f"{name}_{title.partition(' ')[0]}": part for title, part in parts_of(frame)}
    sentence = ""
    age = 0.0 if drawing.bare else file_of(run, name).stat().st_mtime
    for stem, part in parts.items():
        files = [paths.figures(run) / f"{stem}.{suffix}" for suffix in FORMATS]
        if anew or not all(file.is_file() and file.stat().st_mtime >= age for file in files):
            with understood(run):
                drawn = drawing.draw(part)
            figure, sentence = drawn if isinstance(drawn, tuple) else (drawn, "")
            save(figure, run, stem)
    return paths.figures(run) / f"{name}.png", sentence


def draw_all(run: str, *, anew: bool = True, theory: bool = False) -> None:
    """Draw every figure of a run, or of its theory, whose aggregate is kept."""
    for drawing in DRAWINGS:
        if drawing.theory == theory and (drawing.bare or kept(place(run, drawing), drawing.name) is not None):
            draw(run, drawing.name, anew=anew)


def pictures(run: str) -> dict[str, tuple[str, Path]]:
    """Caption and SVG file of every figure of a run and of its theory, by name, in the order of the page."""
    found = {one.name: (one.caption, paths.figures(place(run, one)) / f"{one.name}.svg") for one in DRAWINGS}
    return {name: (caption, file) for name, (caption, file) in found.items() if file.is_file()}

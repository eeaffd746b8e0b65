"""Every figure once: its name, caption, and how it is drawn from the aggregate kept beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib
import polars as pl
import seaborn
from matplotlib.figure import Figure

from lrrecsys_core import paths
from lrrecsys_core.report import (
    against,
    bridge,
    environment_figures,
    figures,
    forest,
    more_figures,
    routing,
    schematics,
    text_figures,
)  # fmt: skip
from lrrecsys_core.report import theory_figures as theory
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.faults import TITLE as FAULTS
from lrrecsys_core.report.faults import faults
from lrrecsys_core.report.kept import file_of, keep, needed, theory_of, understood
from lrrecsys_core.report.signal import TITLE, signal
from lrrecsys_core.report.style import FORMATS, nothing_drawn, parts_of, save
from lrrecsys_core.source_code import package_hash

Collect = Callable[[Sequence[Evidence], Sequence[Evidence]], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure.

    Attributes
    ----------
    name : of its files, ``figures/<run>/<name>`` as .png, .pdf and .svg, and of its aggregate.
    caption : what ``captions.md`` and the page say beneath it, before the sentence that reads it.
    draw : the figure from its aggregate, with the sentence that reads it where there is one.
    collect : the aggregate from the data sets and null markets of a run; None where a notebook, or the study's own
        results beside metrics and predictions, give it.
    theory : the same for all runs, so it lies in ``figures/theory``.
    bare : it has no aggregate.
    of : the aggregate it is drawn from, if that is not its own.
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
    of: str = ""
    rows: bool = False
    apart: bool = False
    markets: bool = False

    @property
    def title(self) -> str:
        """The caption's first sentence, without its stop."""
        return self.caption.partition(". ")[0]


def one_of(found: Sequence[Evidence]) -> list[Evidence]:
    """The data set of Figure 7: the paper shows Yelp, whose place the restaurants take."""
    return [next((source for source in found if source.dataset in ("restaurants", "yelp")), found[0])]


def _schematic(name: str, caption: str, draw: Callable[[], Figure]) -> Drawing:
    return Drawing(name, caption, lambda _: draw(), theory=True, bare=True)


def _simulation(name: str, caption: str, draw: Callable[[pl.DataFrame], theory.Reading]) -> Drawing:
    return Drawing(name, caption, draw, theory=True, rows=True)


def _attention(name: str, what: str, one: bool, predicted: bool) -> Drawing:
    caption = f"{what}. Outlines: histograms over records; dashed lines: their means; dotted line: uniform attention"
    caption += "; high and low by the predicted rating" if predicted else ""
    return Drawing(
        name, caption, figures.fig09,
        lambda found, _: figures.collect_fig09(one_of(found) if one else found, predicted=predicted),
    )  # fmt: skip


NOT_DRAWN: Final = "Not drawn: "
# Kinds of intervals, as the captions tell them.
T_OR_USERS: Final = "95% intervals: by t over markets (three at least), on real data by resampled users"
BOOTSTRAP: Final = "Bands: 95%, bootstrap over repetitions"
WILSON: Final = "Bands: 95% Wilson intervals over repetitions"
# In the order of the page.
DRAWINGS: Final = (
    _schematic("fig01", "Figure 1. A generic recommender and LR-Recsys", schematics.fig01),
    Drawing("fig02", "Figure 2. A toy example, and what each writer answers", schematics.fig02, theory=True),
    _schematic(
        "fig03", "Figure 3. The architecture. Numbers beside arrows: widths of what is passed on; dashed: optional",
        schematics.fig03,
    ),
    _schematic("fig04", "Figure 4. The AutoEncoder: the eight numbers in the middle are the code", schematics.fig04),
    _simulation("fig05", f"Figure 5. Lasso against the oracle, as formula and simulated. {BOOTSTRAP}", theory.fig05),
    Drawing(
        "fig06", "Figure 6. Gain of LR-Recsys over the best baseline by disagreement of the models, on one scale. "
        "Points: means of bins of equal size. Lines: regression over all these records, with slope and p-value above; "
        "shaded between the ends of the slope's 95% interval (t over markets, on real data clustered by user). "
        "Placebo: the second-best baseline in our place", figures.fig06,
        lambda found, _: figures.collect_fig06(found), apart=True,
    ),
    _attention("fig07", "Figure 7. Attention on positive and negative explanations, one data set", True, False),
    _attention("fig07_predicted", "Figure 7 by prediction. Attention on both, one data set", True, True),
    _simulation(
        "fig08", f"Figure 8. General model against the oracle, as formula and simulated. {BOOTSTRAP}", theory.fig08
    ),
    _attention("fig09", "Figure 9. Attention on positive and negative explanations, every data set", False, False),
    _attention("fig09_predicted", "Figure 9 by prediction. Every data set", False, True),
    Drawing(
        "fig10", "Figure 10. Attention on each token minus uniform attention, and beneath it permutation importance: "
        f"the change of AUC when the explanations of the test records are permuted. {T_OR_USERS}", figures.fig10,
        lambda found, _: figures.collect_fig10(found),
    ),
    Drawing(
        "attention_map", "Who attends to whom: attention of each token (line) on every token (column) in one network, "
        "mean of all test records, and on markets of one record too. Colour: difference from uniform attention",
        figures.attention_map,
    ),
    Drawing(
        "paper_against_ours", "Paper against ours: published number and ours for every row of Table 2. The data sets "
        "are not the same, and neither is the LLM, unless the status in Table 2 says so: compare orders, not levels",
        against.against, of="metrics",
    ),
    Drawing(
        "reliability", f"Predicted against true, in ten groups of equal size by prediction. {T_OR_USERS}",
        more_figures.reliability, lambda found, _: more_figures.collect_reliability(found),
    ),
    Drawing(
        "knowledge_dial", f"Knowledge of the reasoner. {T_OR_USERS}", more_figures.dial,
        lambda found, _: more_figures.collect_dial(found), markets=True,
    ),
    Drawing(
        "bridge", f"Reasoners taught by other environments, here and in a shifted environment. {T_OR_USERS}",
        bridge.bridge, lambda found, _: bridge.collect_bridge(pl.concat([source.metrics for source in found])),
        markets=True,
    ),
    Drawing(
        "controls", f"What should not help beside what should: improvement over Ablation 1. {T_OR_USERS}",
        more_figures.controls, more_figures.collect_controls,
    ),
    Drawing("forest", f"The main contrasts and their placebos. {forest.CAPTION}", forest.forest,
            lambda found, _: forest.collect_forest(found)),
    Drawing(
        "cold_start", f"Gain by activity of users and items. {T_OR_USERS}", more_figures.cold_start,
        lambda found, _: more_figures.collect_cold_start(found),
    ),
    Drawing(
        "routing", f"{routing.CAPTION}. {T_OR_USERS}", routing.routing,
        lambda found, _: routing.collect_routing(found),
    ),
    Drawing(
        "learning_curves", "Less training data, same test set. Shaded: one standard deviation over the n replicates "
        "that all rows of a panel share, where these are three or more", more_figures.learning,
        lambda found, _: more_figures.collect_learning(found),
    ),
    Drawing(
        "signal", f"{TITLE}: validation, where links are compared, and test. 95% intervals by t over markets; none on "
        "real data", signal,
    ),
    Drawing("data_ratings", "Ratings", text_figures.ratings),
    Drawing("data_activity", "Activity of users and items", text_figures.activity),
    Drawing("faults", f"{FAULTS}, by explainer and slot", faults),
    Drawing("explanation_lengths", "Length of the explanations", text_figures.lengths),
    Drawing("keywords", "Phrases of the explanations of one item", text_figures.keywords),
    Drawing("autoencoder_curves", "The AutoEncoder's loss by rate", text_figures.curves),
    Drawing("autoencoder_codes", "Codes of sentences", text_figures.codes),
    _simulation("lasso_regimes", f"Lasso over oracle in four regimes. {BOOTSTRAP}", theory.regimes),
    _simulation("lasso_sample_size", f"Lasso and oracle by sample size. {BOOTSTRAP}", theory.sample_size),
    _simulation(
        "eills_published", "EILLS on the published example. Bands: 95%, bootstrap over repetitions for errors, Wilson "
        "intervals for shares", environment_figures.published,
    ),
    _simulation("eills_recovery", f"Recovery of S* by EILLS. {WILSON}", environment_figures.recovery),
    _simulation(
        "eills_one_environment", f"One environment against eight. {WILSON}", environment_figures.one_environment
    ),
    _simulation(
        "eills_gamma_path", "EILLS along gamma. Bands: 95%, bootstrap over repetitions for coefficients, Wilson "
        "intervals for shares", environment_figures.gamma_path,
    ),
    _simulation("spurious_shift", f"Risk under a shift. {BOOTSTRAP}", environment_figures.shift),
    _simulation("fair_selection", f"FAIR selection. {WILSON}", environment_figures.fair),
    _simulation(
        "nonlinear_sample_size", f"Nonlinear learners by sample size. {BOOTSTRAP}", theory.nonlinear_records
    ),
    _simulation("market_knowledge", f"What markets tell about S*. {BOOTSTRAP}", environment_figures.knowledge),
)  # fmt: skip
BY_NAME: Final = {drawing.name: drawing for drawing in DRAWINGS}


_CODE: Final = package_hash()  # as it was imported, whatever is edited meanwhile


def place(run: str, drawing: Drawing) -> str:
    """The run under whose name a figure of `run` lies."""
    return theory_of(run) if drawing.theory else run


def collect_figures(run: str, found: Sequence[Evidence], null: Sequence[Evidence]) -> None:
    """Keep the aggregates of all figures that rest on a run's results."""
    simulated = any(source.simulated for source in found)
    for drawing in DRAWINGS:
        if drawing.collect is not None and (simulated or not drawing.markets):
            keep(run, drawing.name, drawing.collect(found, null))


def captions(run: str) -> dict[str, str]:
    """What ``figures/<run>/captions.md`` says beneath each figure, by name."""
    file = paths.figures(run) / "captions.md"
    sections = file.read_text(encoding="utf-8").split("\n## ")[1:] if file.is_file() else []
    return {name: text.strip() for name, _, text in (section.partition("\n") for section in sections)}


def not_drawn(run: str) -> dict[str, str]:
    """Why a run has no picture of a figure although it kept its numbers, by name."""
    absent = {name: told for name, told in captions(run).items() if told.startswith(NOT_DRAWN)}
    return {name: told.removeprefix(NOT_DRAWN).removesuffix(".") for name, told in absent.items()}


def _in_words(sentence: str) -> str:
    """What stands beside a figure: no mathematics, and numbers with a minus."""
    return re.sub(r"(?<!\w)-(?=[\d.])", "\N{MINUS SIGN}", sentence.replace("$S^*$", "S*").replace("$", ""))


def _caption(run: str, name: str, caption: str) -> None:
    """Write the caption of a figure, or why there is none, into ``captions.md``, in its place."""
    told = captions(run) | {name: caption}
    shown = [
        name
        for name in BY_NAME
        if name in told and ((paths.figures(run) / f"{name}.png").is_file() or told[name].startswith(NOT_DRAWN))
    ]
    with paths.replacing(paths.figures(run) / "captions.md") as partial:
        text = f"# Captions of figures/{run}\n" + "".join(f"\n## {name}\n\n{told[name]}\n" for name in shown)
        partial.write_text(text, encoding="utf-8", newline="\n")


def _drawn(run: str, name: str, stem: str, about: str, part: pl.DataFrame) -> tuple[str, str]:
    """What `_saved` returns; drawn only if its aggregate (`about`), the package or a file of it is not as it was."""
    by = f"{about} {_CODE} {matplotlib.__version__} {seaborn.__version__}"
    saved = paths.memory().cache(_saved, ignore=["part"])
    if saved.check_call_in_cache(run, name, stem, by, part):
        words, reason, files = saved(run, name, stem, by, part)
        there = {name: paths.figures(run) / name for name in files}
        if all(file.is_file() and paths.digest(file) == files[name] for name, file in there.items()):
            return words, reason
    (words, reason, _), _ = saved.call(run, name, stem, by, part)
    return words, reason


def _saved(run: str, name: str, stem: str, by: str, part: pl.DataFrame) -> tuple[str, str, dict[str, str]]:
    """Draw and save a figure: the words that read it, why it shows nothing, and its files with their hashes."""
    with understood(run):
        drawn = BY_NAME[name].draw(part)
    figure, words = drawn if isinstance(drawn, tuple) else (drawn, "")
    reason = nothing_drawn(figure)
    files = [] if reason else save(figure, run, stem)
    return _in_words(words), reason, {file.name: paths.digest(file) for file in files}


def draw(run: str, name: str, *, anew: bool = True) -> tuple[Path | None, str]:
    """Draw one figure from what is kept, and write its caption.

    Parameters
    ----------
    run : that asks for the figure.
    name : of the figure.
    anew : if False, a figure that is newer than its aggregate is left as it is. One that this aggregate and this code
        gave before, and that nobody touched, is left in any case.

    Returns
    -------
    tuple of its PNG file and the sentence that reads it; or of None and why there is nothing to draw.

    Raises
    ------
    InputError
        Its aggregate was not kept.
    """
    drawing = BY_NAME[name]
    run, kept_as = place(run, drawing), drawing.of or name
    frame = pl.DataFrame() if drawing.bare else needed(run, kept_as)
    parts = {name: frame}
    with understood(run):
        if drawing.apart and frame["title"].n_unique() > 1:
            parts |= {f"{name}_{title.partition(' ')[0]}": part for title, part in parts_of(frame)}
    told, sentence = name in captions(run), ""
    age = 0.0 if drawing.bare else file_of(run, kept_as).stat().st_mtime
    for stem, part in parts.items():
        files = [paths.figures(run) / f"{stem}.{suffix}" for suffix in FORMATS]
        if anew or not all(file.is_file() and file.stat().st_mtime >= age for file in files):
            about = "" if drawing.bare else paths.digest(file_of(run, kept_as))
            words, reason = _drawn(run, name, stem, about, part)
            if reason:
                for file in files:
                    file.unlink(missing_ok=True)
                if stem == name:
                    _caption(run, name, f"{NOT_DRAWN}{reason}.")
                    return None, reason
                continue
            told, sentence = (False, words) if stem == name else (told, sentence)
    if not told:
        _caption(run, name, f"{drawing.caption}." + (f" {sentence}" if sentence else ""))
    return paths.figures(run) / f"{name}.png", sentence


def draw_all(run: str, *, anew: bool = True, theory: bool = False) -> None:
    """Draw every figure of a run, or of its theory, whose aggregate is kept."""
    absent = set(undrawn(run, theory=theory))
    for drawing in DRAWINGS:
        if drawing.theory == theory and drawing.name not in absent:
            draw(run, drawing.name, anew=anew)


def undrawn(run: str, *, theory: bool = False) -> list[str]:
    """Figures of a run, or of its theory, for which it kept no numbers."""
    wanted = [drawing for drawing in DRAWINGS if drawing.theory == theory and not drawing.bare]
    return [one.name for one in wanted if not file_of(place(run, one), one.of or one.name).is_file()]


def pictures(run: str) -> dict[str, tuple[str, Path]]:
    """Caption and SVG file of every figure of a run and of its theory, by name, in the order of the page."""
    found = {}
    for one in DRAWINGS:
        folder = paths.figures(place(run, one))
        file = folder / f"{one.name}.svg"
        if file.is_file():
            found[one.name] = captions(folder.name).get(one.name, one.caption), file
    return found

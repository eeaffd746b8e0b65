"""One self-contained page with every table, figure and verdict of a run; all text in it is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from lrrecsys_core import paths
from lrrecsys_core import rows as r
from lrrecsys_core.errors import InputError
from lrrecsys_core.report.claim_matrix import LOOKS
from lrrecsys_core.report.claim_report import COLUMNS, claim_grids, failures, headlines, matrix, write_claims
from lrrecsys_core.report.claims import verdicts
from lrrecsys_core.report.description import description_grid, description_notes, description_title, write_description
from lrrecsys_core.report.drawings import BY_NAME, draw_all, not_drawn, pictures
from lrrecsys_core.report.evidence import datasets_in_order
from lrrecsys_core.report.faults import faults_grids, faults_notes, faults_title, write_faults
from lrrecsys_core.report.formats import Grid, effect, named, percent
from lrrecsys_core.report.kept import kept, needed, theory_of, understood
from lrrecsys_core.report.notes import BY_CONSTRUCTION, MISPRINT, SIGNS, markets_told, table_notes, unordered
from lrrecsys_core.report.signal import signal_grids, signal_notes, signal_title, write_signal
from lrrecsys_core.report.sizes import costs_grid, costs_table, parts_grid, writers_grid, writers_table
from lrrecsys_core.report.tables import grids, table_title, write_tables

# The figures of each section, the first one open; whatever stands nowhere comes at the end.
FIGURES: Final[dict[str, tuple[str, ...]]] = {
    "Idea": ("fig01", "fig02"),
    "Data": ("data_ratings", "data_activity"),
    "Table 1": ("fig03", "fig04", "autoencoder_curves", "autoencoder_codes"),
    "Table 2": ("fig06", "paper_against_ours", "cold_start", "reliability"),
    "Table 3": ("learning_curves",),
    "Table 4": ("knowledge_dial", "bridge", "explanation_lengths", "keywords"),
    "Table 5": ("fig07", "fig07_predicted", "fig09", "fig09_predicted", "fig10", "attention_map"),
    "Table 6": ("controls",),
    "Rivals": ("forest", "routing"),
    "Signal": ("signal",),
    "Faults": ("faults",),
}
FOLDED: Final = ("Rivals", "Faults")  # sections none of whose figures is open
# What the columns, signs and words of the page mean, beside those of the claims.
GLOSSARY: Final = {
    "RMSE ↓, MAE ↓": "Root mean squared and mean absolute error of ratings mapped to [0, 1]; lower is better.",
    "AUC ↑": "Share of pairs of one liked and one disliked record that are ranked rightly; higher is better.",
    "% Improved": "LR-Recsys over the best baseline, in percent of the baseline; which one, validation decides. Of the "
    "means over replicates; claim C2 has the mean of each market's percentage, or of averaged predictions.",
    "Tier": "How near a method is to its publication: faithful, adapted (rating head or inputs added) or reduced "
    "(something dropped).",
    **{sign: f"Against the paper's number: {status}." for status, sign in SIGNS.items()},
    BY_CONSTRUCTION: "By construction: a programme, not an LLM, wrote the texts, so it is no evidence.",
    MISPRINT: "Printed otherwise by the paper than its own means give.",
    "supported, not supported": "The claim's criterion is met or not; docs/deviations.md lists what changed.",
    "mixed": "Met in some metrics, not in others.",
    "not tested": "Its LLM, data, number of markets or statistical power is missing.",
    "by construction": "A programmed answer decides it: no evidence.",
    "reported": "Shown beside a claim or control, deciding nothing.",
    "market": "A simulated data set in which known attributes, S*, drive the ratings; null: none do.",
    "Ablation 1": "LR-Recsys with freely learned vectors in the place of explanations.",
    "p (Holm)": "One-sided p-value, corrected for all contrasts of its claim.",
    "within": "p-value of equivalence: that two rows differ by less than 1% is shown where it is small.",
    "Contrast, Effect": "Which two rows are compared, and how much better the first is, with its 95% interval.",
    "Could have found": "The smallest true effect that the test would have found with a probability of 80%.",
    "% of ceiling": "An effect as a share of what a predictor gains that knows the true tastes of a market.",
    "Evidence": "Simulated markets, real ratings, simulations of the theory, or a benchmark.",
    "Where": "Which metrics gave which verdict, where they differ.",
    "bias-only": "A network that adds less than .01 logits to the biases of users and items under it.",
    "placebo": "Something that should not help: in our place, or, in lines of C13, as what ours is compared with.",
    "shifted environment": "A market in which spurious attributes behave otherwise than where networks were trained.",
    "lost here": "What a link of the chain loses of what the link before it explains, on validation.",
    "none; same ten sentences; distinct": "Of the answers of a writer: without a fault; one of the ten most frequent "
    "sentences; and how many different ones there are.",
    "Shared parameters; In id tables": "Trainable weights that all users and items share, and those of single ones.",
    "Seconds, all replicates; Epochs": "Training time of one core, and epochs trained by a network.",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as SVG without references to anything outside, and its caption."""

    caption: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, called `short` in the table of contents, with open grids, notes and figures, and folded grids.

    Three notes and the first `open` figures are open, too; the others are folded.
    """

    short: str
    title: str
    grids: Sequence[Grid] = ()
    notes: Sequence[str] = ()
    folded: Sequence[Grid] = ()
    pictures: Sequence[Picture] = ()
    open: int = 1


def inlined(svg: str) -> str:
    """An SVG file as part of a page: without preamble, metadata, style for all the page, or names nothing refers to."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>| xmlns(:xlink)?=\"[^\"]*\"", "", svg, flags=re.DOTALL)
    wanted = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r" id=\"([^\"]*)\"", lambda found: found[0] if found[1] in wanted else "", svg)
    return re.sub(r"\n\s*", "\n", svg)


def render(
    title: str, summary: Sequence[tuple[str, str]], sections: Sequence[Section], glossary: Mapping[str, str]
) -> str:
    """The page as HTML: no scripts, nothing loaded from elsewhere.

    Parameters
    ----------
    title : str
    summary : lines shown before everything else, each with its name.
    sections : sequence of Section
    glossary : meanings of words.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=loader, autoescape=True, trim_blocks=True).get_template("page.html")
    told = {"title": title, "summary": summary, "sections": sections, "glossary": glossary, "looks": LOOKS}
    return template.render(told).lstrip()


def write_reports(chosen: Sequence[str]) -> Iterator[tuple[str, Path | InputError]]:
    """Redraw runs and, once each, the theory behind them; yields each with its page or folder, or why it stopped.

    Raises
    ------
    InputError
        There is no run.
    """
    if not chosen:
        raise InputError("no run keeps aggregates in figures/*/data: run `lrrecsys reproduce` first")
    for theory, run in {theory_of(run): run for run in chosen}.items():
        yield theory, _or_why(theory, partial(_draw_theory, run))
    for run in chosen:
        yield run, _or_why(run, partial(write_report, run))


def _draw_theory(run: str) -> Path:
    draw_all(run, theory=True)
    return paths.figures(theory_of(run))


def _or_why(run: str, make: Callable[[], Path]) -> Path | InputError:
    try:
        with understood(run):
            return make()
    except InputError as error:
        return error


def write_report(run: str, *, redraw: bool = True) -> Path:
    """Write tables, claims, figures and ``results/<run>/report.html`` of a run from its kept aggregates alone.

    Parameters
    ----------
    run : str
    redraw : draw every figure; if False only those that are missing or older than their aggregate.

    Raises
    ------
    InputError
        The run keeps no aggregates.
    """
    metrics, parts = needed(run, "metrics"), kept(run, "parts")
    evidence = needed(run, "evidence")
    tables = write_tables(run, metrics, parts=parts, contrasts=evidence)
    claims = write_claims(run, evidence, metrics)
    draw_all(run, anew=redraw)
    with suppress(InputError):  # redrawing the theory itself says what is wrong with it
        draw_all(run, anew=False, theory=True)
    first = summary(metrics, tables[2], claims, evidence)
    page = paths.results(run) / "report.html"
    with paths.replacing(page) as partial:
        text = render(
            f"LR-Recsys on {_listed(metrics)} (run {run})", first, sections(run, metrics, tables, claims), GLOSSARY
        )
        partial.write_text(text, encoding="utf-8")
    return page


def _listed(metrics: pl.DataFrame) -> str:
    return ", ".join(map(named, datasets_in_order(metrics)))


def summary(
    metrics: pl.DataFrame, table2: pl.DataFrame, claims: pl.DataFrame, evidence: pl.DataFrame
) -> list[tuple[str, str]]:
    """What was run, on what, and what came out, from the aggregates."""
    tested = metrics.filter(pl.col("part") == "test")
    rows = set(tested["row"])
    where = [f"{_listed(metrics)}.", *markets_told(metrics), *unordered(metrics)]
    if metrics["simulated"].any():
        where.insert(1, "SIMULATED markets: built so that the theory holds, they test the mechanism, not the claim.")
    written = tested.filter(pl.col("explainer") != "")
    own = written.filter(pl.col("row") == r.LR)
    authors = (written if own.is_empty() else own)["explainer"].unique().sort().to_list()
    missing = "" if r.LR in rows else " LR-Recsys itself had nothing to read."
    further = len(rows - set(r.BASELINES) - {r.LR})
    lines = [
        ("What was run", f"{'LR-Recsys, ' * (r.LR in rows)}{len(rows & set(r.BASELINES))} of the paper's "
         f"{len(r.BASELINES)} baselines and {further} further rows.{missing} Explanations "
         f"by {' or '.join(authors) or 'nobody'}."),
        ("On what", " ".join(where)),
    ]  # fmt: skip
    found = verdicts(claims)
    for (dataset,), part in found.group_by("dataset", maintain_order=True):
        counts = part["verdict"].value_counts(sort=True).sort("count", "verdict", descending=[True, False])
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.iter_rows())
        gains = table2.filter(
            pl.col("row") == r.IMPROVED, pl.col("dataset") == dataset, pl.col("ours_mean").is_not_null()
        )
        over = ", ".join(f"{x['metric']} {percent(x['ours_mean'])}" for x in gains.to_dicts())
        said = [f"LR-Recsys over the best baseline: {over}."] if over else []
        free = (pl.col("dataset") == dataset) & (pl.col("contrast") == f"{r.LR} vs {r.ABLATION1}")
        for gain in evidence.filter(free, claim="C13", metric="RMSE").drop_nulls("effect").to_dicts():
            size = f"{effect(gain['effect'])} [{effect(gain['low'])}, {effect(gain['high'])}]"
            said.append(f"Its explanations over free vectors (Ablation 1): {size} of RMSE.")
        lines.append((named(str(dataset)), " ".join([*said, f"Claims: {told}."])))
    return [*lines, ("Controls", " ".join(failures(claims)))]


def sections(
    run: str, metrics: pl.DataFrame, tables: Mapping[int | str, pl.DataFrame], claims: pl.DataFrame
) -> list[Section]:
    """The page's sections in order; tables that this run has aggregates for are written on the way."""
    drawn = {name: Picture(caption, Markup(inlined(file.read_text(encoding="utf-8"))))
             for name, (caption, file) in pictures(run).items()}  # fmt: skip
    found = verdicts(claims)
    folded = claim_grids(claims, found)
    made = [
        Section("Claims", "The paper's claims, judged", [matrix(found)], [*headlines(claims), *COLUMNS], folded),
        Section("Idea", "The idea"),
    ]
    if (described := kept(run, "description")) is not None:
        write_description(run)
        made.append(
            Section("Data", description_title(described), [description_grid(described)], description_notes(described))
        )
    made.append(Section("Table 1", table_title(1, metrics), [parts_grid(tables[1])], unordered(metrics)))
    for k in (k for k in tables if k != 1):
        first, *others = grids(tables[k])
        shown, others = ([], [first, *others]) if k in r.SIDE_TABLES else ([first], others)
        short = f"Table {k}" if isinstance(k, int) else str(k).capitalize()
        made.append(Section(short, table_title(k, metrics), shown, table_notes(k, metrics), others))
    if kept(run, "signal") is not None:
        links = write_signal(run)
        first, *others = signal_grids(links)
        made.append(Section("Signal", signal_title(links), [first], signal_notes(links), others))
    if kept(run, "faults") is not None:
        answers = write_faults(run)
        made.append(Section("Faults", faults_title(answers), faults_grids(answers), faults_notes(answers)))
    costs = replace(costs_grid(costs_table(metrics)), caption="Size and training time of every row")
    writers = writers_grid(writers_table(paths.read_bench()))
    made.append(Section("Costs", "Size, training time, and what a writer costs", [writers], folded=[costs]))
    placed, absent = {name for section in made for name in FIGURES.get(section.short, ())}, not_drawn(run)
    for k, one in enumerate(made):
        wanted = FIGURES.get(one.short, ())
        of = [drawn[name] for name in wanted if name in drawn]
        for reason in dict.fromkeys(absent[name] for name in wanted if name in absent):
            titles = "; ".join(BY_NAME[name].title for name in wanted if absent.get(name) == reason)
            one = replace(one, notes=[*one.notes, f"Not drawn, {reason}: {titles}."])
        made[k] = replace(one, pictures=of, open=one.short not in FOLDED)
    for short, title, theory in (("Theory", "Simulations of the theory", True), ("More", "More figures", False)):
        rest = [drawn[name] for name in drawn if name not in placed and BY_NAME[name].theory == theory]
        made += [Section(short, title, pictures=rest)] if rest else []
    return [one for one in made if one.grids or one.folded or one.pictures]

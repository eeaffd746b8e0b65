"""One self-contained page with every table, figure and verdict of a run; all text in it is escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Final

import matplotlib.pyplot as plt
import polars as pl
from jinja2 import Environment
from matplotlib.figure import Figure

from lrrecsys_core import paths
from lrrecsys_core.report import bridge, figures, more_figures, schematics
from lrrecsys_core.report.claim_report import claim_grids, headlines, write_claims
from lrrecsys_core.report.claims import verdicts
from lrrecsys_core.report.evidence import sources
from lrrecsys_core.report.formats import Grid
from lrrecsys_core.report.notes import table_notes, unordered
from lrrecsys_core.report.sizes import costs_grid, costs_table, parts_grid
from lrrecsys_core.report.style import save
from lrrecsys_core.report.tables import grids, table_title, write_tables

# Captions of the figures a run may have, in the order of the page; files of another name follow with their own.
CAPTIONS: Final = {
    "fig01": "Figure 1. A generic recommender and LR-Recsys",
    "fig02": "Figure 2. A toy example",
    "fig03": "Figure 3. The architecture",
    "fig04": "Figure 4. The AutoEncoder",
    "fig05": "Figure 5. Lasso against the oracle",
    "fig06": "Figure 6. Gain against disagreement of the models, with the placebo",
    "fig07": "Figure 7. Attention on positive and negative explanations, one data set",
    "fig08": "Figure 8. General model against the oracle",
    "fig09": "Figure 9. Attention on positive and negative explanations, every data set",
    "fig10": "Figure 10. Shares of attention, beside uniform attention",
    "knowledge_dial": "Knowledge of the reasoner",
    "bridge": "Reasoners taught by other environments",
    "controls": "Shuffled explanations, spurious reasoner and null market",
    "cold_start": "Gain by activity of users and items",
    "learning_curves": "Less training data, same test set",
}
_TEMPLATE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 78rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; margin: .5rem 0 1rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border-bottom: 1px solid #e2e2e2; padding: .25rem .5rem; text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid #888; }
.first { background: #fff6e0; border-left: 4px solid #de8f05; padding: .5rem 1rem; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; } figcaption, .note { color: #555; font-size: .85rem; }
nav a { margin-right: 1rem; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<div class="first">{% for line in headlines %}<p>{{ line }}</p>{% endfor %}</div>
<nav>{% for section in sections %}<a href="#s{{ loop.index }}">{{ section.title }}</a>{% endfor %}
<a href="#figures">Figures</a></nav>
{% for section in sections %}
<h2 id="s{{ loop.index }}">{{ section.title }}</h2>
{% for note in section.notes %}<p class="note">{{ note }}</p>{% endfor %}
{% for grid in section.grids %}
<div class="scroll"><table>
{% if grid.caption %}<caption>{{ grid.caption }}</caption>{% endif %}
<thead><tr>{% for cell in grid.header %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in grid.body %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table></div>
{% endfor %}
{% endfor %}
<h2 id="figures">Figures</h2>
{% for caption, data in images %}
<figure><img alt="{{ caption }}" src="data:image/png;base64,{{ data }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with notes and grids."""

    title: str
    notes: Sequence[str]
    grids: Sequence[Grid]


@dataclass(frozen=True, slots=True)
class Toy:
    """Texts of Figure 2; arguments as in :func:`~lrrecsys_core.report.schematics.fig02`."""

    history: Sequence[str]
    candidate: str
    positive: str
    negative: str
    source: str


def render(title: str, first: Sequence[str], sections: Sequence[Section], pictures: Sequence[Path]) -> str:
    """The page as HTML: no scripts, nothing loaded from elsewhere.

    Parameters
    ----------
    title : str
    first : lines shown before everything else.
    sections : sequence of Section
    pictures : PNG files; captions go by their names.
    """
    images = [(_caption(file.stem), base64.b64encode(file.read_bytes()).decode("ascii")) for file in pictures]
    template = Environment(autoescape=True, trim_blocks=True).from_string(_TEMPLATE)
    return template.render(title=title, headlines=first, sections=sections, images=images)


def _caption(stem: str) -> str:
    whole, _, part = stem.partition("_")
    return CAPTIONS.get(stem) or (f"{CAPTIONS[whole]} ({part})" if whole in CAPTIONS else stem.replace("_", " "))


def pictures(run: str) -> list[Path]:
    """The PNG files of a run, the paper's figures first."""
    order = list(CAPTIONS)

    def place(file: Path) -> tuple[int, str]:
        stem = file.stem if file.stem in order else file.stem.partition("_")[0]
        return (order.index(stem) if stem in order else len(order), file.stem)

    return sorted(paths.figures(run).glob("*.png"), key=place)


def write_figures(
    run: str,
    metrics: pl.DataFrame,
    predictions: pl.LazyFrame | pl.DataFrame | None,
    toy: Toy | None = None,
    newer_than: float = inf,
) -> None:
    """Draw every figure that rests on these frames, and Figures 1-4 (2 where its texts are given).

    Figures whose files are newer than `newer_than` (seconds since 1970) are left as they are.
    """
    found = sources(metrics, predictions)
    draw: dict[str, Callable[[], Figure]] = {"fig01": schematics.fig01}
    if toy is not None:
        draw["fig02"] = partial(schematics.fig02, toy.history, toy.candidate, toy.positive, toy.negative, toy.source)
    draw |= {"fig03": schematics.fig03, "fig04": schematics.fig04, "fig06": partial(figures.fig06, found)}
    draw |= {f"fig06_{source.dataset}": partial(figures.fig06, [source]) for source in found if len(found) > 1}
    # The paper's Figure 7 shows Yelp, whose place the restaurants take.
    shown = next((source for source in found if source.dataset in ("restaurants", "yelp")), found[0])
    draw |= {"fig07": partial(figures.fig07, shown), "fig09": partial(figures.fig09, found)}
    draw |= {"fig10": partial(figures.fig10, found)}
    if any(source.simulated for source in found):  # only a market has a known S* and other environments
        draw |= {"knowledge_dial": partial(more_figures.dial, found), "bridge": partial(bridge.bridge, metrics)}
    draw |= {"controls": partial(more_figures.controls, metrics, predictions)}
    draw |= {"cold_start": partial(more_figures.cold_start, found)}
    draw |= {"learning_curves": partial(more_figures.learning, found)}
    for name, figure in draw.items():
        files = [paths.figures(run) / f"{name}.{suffix}" for suffix in ("png", "pdf")]
        if not all(file.is_file() and file.stat().st_mtime > newer_than for file in files):
            fig = figure()
            save(fig, run, name)
            plt.close(fig)


def write_report(
    run: str,
    metrics: pl.DataFrame,
    predictions: pl.LazyFrame | pl.DataFrame | None = None,
    *,
    parts: pl.DataFrame | None = None,
    toy: Toy | None = None,
    newer_than: float = inf,
) -> Path:
    """Write the tables, claims, figures and ``results/<run>/report.html`` of a run from its results alone.

    Parameters
    ----------
    run : str
    metrics, predictions : frames
        As in :class:`~lrrecsys_core.report.evidence.Evidence`.
    parts
        As in :func:`~lrrecsys_core.report.tables.write_tables`.
    toy : texts of Figure 2, or None.
    newer_than : as in :func:`write_figures`.
    """
    tables = write_tables(run, metrics, parts=parts)
    claims = write_claims(run, metrics, predictions)
    write_figures(run, metrics, predictions, toy, newer_than)
    sections = [Section("Claims", [], claim_grids(claims, verdicts(claims)))]
    sections.append(Section(table_title(1, metrics), unordered(metrics), [parts_grid(tables[1])]))
    sections += [Section(table_title(k, metrics), table_notes(k, metrics), grids(tables[k])) for k in tables if k != 1]
    sections.append(Section("Size and training time", [], [costs_grid(costs_table(metrics))]))
    first = headlines(claims) + unordered(metrics)
    page = paths.results(run) / "report.html"
    with paths.replacing(page) as partial:
        partial.write_text(render(f"LR-Recsys: {run}", first, sections, pictures(run)), encoding="utf-8")
    return page

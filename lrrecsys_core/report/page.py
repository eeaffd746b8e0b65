"""One self-contained page with every table, figure and verdict of a run; all text in it is escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from jinja2 import Environment

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError
from lrrecsys_core.report.claim_report import COLUMNS, claim_grids, headlines, write_claims
from lrrecsys_core.report.claims import verdicts
from lrrecsys_core.report.description import write_description
from lrrecsys_core.report.drawings import draw_all, pictures
from lrrecsys_core.report.faults import faults_grids, faults_notes, faults_title, write_faults
from lrrecsys_core.report.formats import Grid
from lrrecsys_core.report.kept import kept, needed, theory_of, understood
from lrrecsys_core.report.notes import markets_told, unordered
from lrrecsys_core.report.signal import signal_grids, signal_notes, signal_title, write_signal
from lrrecsys_core.report.sizes import costs_grid, costs_table, parts_grid, writers_grid, writers_table
from lrrecsys_core.report.tables import grids, table_notes, table_title, write_tables

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


def render(title: str, first: Sequence[str], sections: Sequence[Section], pictures: Sequence[tuple[str, Path]]) -> str:
    """The page as HTML: no scripts, nothing loaded from elsewhere.

    Parameters
    ----------
    title : str
    first : lines shown before everything else.
    sections : sequence of Section
    pictures : captions and PNG files.
    """
    images = [(caption, base64.b64encode(file.read_bytes()).decode("ascii")) for caption, file in pictures]
    template = Environment(autoescape=True, trim_blocks=True).from_string(_TEMPLATE)
    return template.render(title=title, headlines=first, sections=sections, images=images)


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
    if kept(run, "description") is not None:
        write_description(run)
    claims = write_claims(run, evidence, metrics)
    draw_all(run, anew=redraw)
    with suppress(InputError):  # redrawing the theory itself says what is wrong with it
        draw_all(run, anew=False, theory=True)
    sections = [Section("Claims", COLUMNS, claim_grids(claims, verdicts(claims)))]
    sections.append(Section(table_title(1, metrics), unordered(metrics), [parts_grid(tables[1])]))
    sections += [Section(table_title(k, metrics), table_notes(k, metrics), grids(tables[k])) for k in tables if k != 1]
    if kept(run, "signal") is not None:
        links = write_signal(run)
        sections.append(Section(signal_title(links), signal_notes(links), signal_grids(links)))
    if kept(run, "faults") is not None:
        answers = write_faults(run)
        sections.append(Section(faults_title(answers), faults_notes(answers), faults_grids(answers)))
    sections.append(Section("Size and training time", markets_told(metrics), [costs_grid(costs_table(metrics))]))
    sections.append(Section("What a writer costs", [], [writers_grid(writers_table(paths.read_bench()))]))
    first = headlines(claims) + unordered(metrics)
    page = paths.results(run) / "report.html"
    with paths.replacing(page) as partial:
        partial.write_text(render(f"LR-Recsys: {run}", first, sections, pictures(run)), encoding="utf-8")
    return page

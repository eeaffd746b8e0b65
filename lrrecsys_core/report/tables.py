"""Tables 1-6: our figures beside the published ones, each with a status; nothing is ever filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from lrrecsys_core import metrics as m
from lrrecsys_core import paths
from lrrecsys_core import rows as r
from lrrecsys_core.report import notes, stars
from lrrecsys_core.report.evidence import Evidence, datasets_in_order, null_markets
from lrrecsys_core.report.formats import Cell, Grid, named, number, one_note, percent, write_all
from lrrecsys_core.report.notes import BY_CONSTRUCTION, MISPRINT, SIGNS, markets_told, shown, table_notes
from lrrecsys_core.report.published import misprinted, misprints, published
from lrrecsys_core.report.scale import row_of_ceiling
from lrrecsys_core.report.sizes import costs_grid, costs_table, parts_grid, parts_table, writers_grid, writers_table

TITLES: Final[dict[int | str, str]] = {
    1: "Trainable parts of LR-Recsys",
    2: "LR-Recsys against the baselines",
    3: "Less training data, same test set",
    4: "Explanations by different reasoners",
    5: "Which explanations",
    6: "Ablations, robustness and controls",
    r.SENSITIVITY: "What choices of the shared protocol are worth: residual biases, aspects",
    r.RIVALS: "Other reasons why texts may help, or not: two models averaged, any text at all, a better conditioned "
    "input, a network that does not learn what ids tell",
}
SDS_ALLOWED: Final = 2.0
Line = dict[str, Any]
# What rows are, in the order of the groups of a table, and what stands above them; the paper's baselines by family.
FAMILIES: Final = {
    "Aspect-based": r.BASELINES[:6], "Sequential": r.BASELINES[6:10], "Interpretable": r.BASELINES[10:],
}  # fmt: skip
GROUPS: Final = {
    "ours": "", **{family: f"{family} baselines" for family in FAMILIES}, "baseline": "Best of the paper's baselines",
    "rival": "Baselines that the paper does not mention", "variant": "Variants", "ablation": "Ablations",
    "direct": "The LLM alone", "control": "Controls", "comparator": "Comparators, on markets alone",
    "floor": "Floors and ceilings",
}  # fmt: skip
# Rows that stand in a grid of their own, of what its name says, so that those of the paper are not lost among them.
APART: Final = {
    "Every baseline on less data": [row.name for row in r.ROWS if row.side and 3 in row.tables],
    "Reasoners taught by other environments": [*r.FROM_EILLS.values(), *r.FROM_POOLED.values()],
    "Where spurious attributes behave differently": [row.name for row in r.ROWS if row.name.endswith(r.shifted(""))],
}
SCHEMA: Final = {
    "row": pl.String, "dataset": pl.String, "metric": pl.String, "paper_mean": pl.Float64, "paper_sd": pl.Float64,
    "ours_mean": pl.Float64, "ours_sd": pl.Float64, "of_ceiling": pl.Float64, "replicates": pl.Int64,
    "status": pl.String, "tier": pl.String, "note": pl.String, **stars.SCHEMA, "cell": pl.String,
}  # fmt: skip


def _llm_of(spec: r.Row) -> str:
    """Short name of the LLM that wrote the texts of a row in the paper, "" where the row reads none."""
    reads_none = spec.kind in ("baseline", "rival", "floor") or spec.name == r.ABLATION1
    return "" if reads_none else spec.llm or r.DEFAULT_LLM


class _Lines:
    """Builds the lines of one table for one data set."""

    def __init__(self, table: int | str, evidence: Evidence) -> None:
        self.table, self.evidence = table, evidence

    def line(self, spec: r.Row, metric: str) -> dict[str, object]:
        source, extra = spec.name, ""
        if spec.name == r.at_fraction(r.BEST_BASELINE, 100):
            best = self.evidence.best_baseline(metric)
            source, extra = (best, f"{best}, best on validation") if best else (spec.name, "")
        elif source not in self.evidence.rows and spec.same_as:
            source = spec.same_as
        values = np.array(list(self.evidence.values(source, metric).values()))
        return self._finish(spec, source, metric, values, extra)

    def improved(self, metric: str) -> dict[str, object]:
        best = self.evidence.best_baseline(metric)
        values = self.evidence.paired(metric, r.LR, best) if best else []
        spec = r.Row(r.IMPROVED, (2,), "ours", same_as=r.LR)
        told = f"over {best}, best on validation" if best else ""
        if best is None or not values[0].size:
            return self._finish(spec, "", metric, np.array([]), told)
        # As the paper computes it: from the two means. The spread is that of the replicates' own percentages.
        gains = np.asarray(m.improvement(metric, *values))
        line = self._finish(spec, "", metric, gains, told)
        mean = float(m.improvement(metric, values[0].mean(), values[1].mean()))
        return line | {"ours_mean": mean, "cell": self.evidence.cells(metric, r.LR, best)}

    def _finish(self, spec: r.Row, source: str, metric: str, values: np.ndarray, extra: str) -> dict[str, object]:
        e = self.evidence
        key = (self.table, spec.name, r.PAPER_DATASET.get(e.dataset, ""), metric)
        paper_mean, paper_sd = published().get(key, (None, None))
        mean = float(values.mean()) if values.size else None
        explainer = e.explainer(source)
        words = [extra]
        if values.size:
            words += ["simulated" if e.simulated else "", "by construction" if e.by_construction(source) else ""]
            words += ["" if e.ordered else "unordered data"]
            words += [f"explanations: {explainer}" if explainer else "", e.words(source, "note")]
            if metric == "RMSE" and (lost := notes.gap(e, source)):
                words.append(f"RMSE {lost:.4f} behind the biases: {notes.reason(e, source)}")
            rmse = np.array(list(e.values(source, "RMSE").values()))
            if metric == "MAE" and mean is not None and rmse.size:
                words.append(f"MAE/RMSE {mean / rmse.mean():.3f}")
        status = self._status(spec, mean, paper_mean, paper_sd, e.words(source, "llm"))
        return {
            "row": spec.name, "dataset": e.dataset, "metric": metric, "paper_mean": paper_mean, "paper_sd": paper_sd,
            "ours_mean": mean, "ours_sd": float(values.std(ddof=1)) if values.size > 1 else None,
            "of_ceiling": row_of_ceiling(e, metric, source), "replicates": int(values.size), "status": status,
            "tier": e.words(source, "tier"), "note": one_note(*words), "cell": e.cells(metric, source),
        }  # fmt: skip

    def _status(self, spec: r.Row, mean: float | None, paper: float | None, sd: float | None, llm: str) -> str:
        """Only on the paper's own data, by the paper's own LLM, can a cell be "reproduced" or "differ"."""
        if mean is None:
            reason = r.absence(spec, self.evidence.item_text, self.evidence.ordered)
            return f"not run: {reason}" if reason else "not run"
        if paper is None:
            return "no published number"
        if not self.evidence.same_data or llm != _llm_of(spec) or sd is None:
            return "not comparable"
        # Half a unit of the last printed digit decides nothing.
        return "reproduced" if abs(mean - paper) <= SDS_ALLOWED * sd + 5e-5 else "differs"


def result_table(table: int | str, metrics: pl.DataFrame, contrasts: pl.DataFrame | None = None) -> pl.DataFrame:
    """One of Tables 2-6 in long form, a line per row, data set and metric.

    Parameters
    ----------
    table : int or str
        2 to 6, or one of `rows.SIDE_TABLES`.
    metrics : frame
        Columns dataset, row, metric, part, replicate, value, tier, explainer, note, simulated, by_construction,
        ordered; where known ``llm`` (short name of the LLM that wrote the row's texts, else ""), ``same_data`` (the
        paper's own records), ``cell`` (key of the kept cell) and ``markets`` (how many each domain has in the whole
        run). Only on the same data and with the paper's LLM can a number be "reproduced" or "differ".
    contrasts : the run's evidence, from which Table 2 takes the p-values of our rule; without them it has none.

    Returns
    -------
    frame with the columns of :data:`SCHEMA`; RMSE and MAE on [0, 1].
    """
    lines: list[dict[str, object]] = []
    metrics = shown(table, metrics)
    names = datasets_in_order(metrics)
    if table == 6:
        names += [market.dataset for market in null_markets(metrics)]
    for name in names:
        evidence = Evidence(name, metrics)
        make = _Lines(table, evidence)
        only_run = name.startswith(r.NULL_PREFIX)
        for spec in r.rows_of(table, metrics["row"]):
            absent = spec.name not in evidence.rows
            elsewhere = spec.written if evidence.simulated else spec.markets_only
            # The model that comes with the repository has no row of its own where another store of it is named.
            twice = any(name.startswith(f"{spec.name} (") for name in evidence.rows)
            if absent and (spec.optional or only_run or elsewhere or twice):
                continue
            lines += [make.line(spec, metric) for metric in m.METRICS]
            if table == 2 and spec.name == r.LR:
                lines += [make.improved(metric) for metric in m.METRICS]
        if table == 2:
            lines = [line | stars.marked(line, evidence, contrasts) for line in lines]
    return pl.DataFrame(lines, schema=SCHEMA)


def table_title(table: int | str, metrics: pl.DataFrame) -> str:
    """Title of a table, which says whether its data are simulated."""
    if table == 1:
        return f"Table 1. {TITLES[1]}"
    simulated, real = bool(metrics["simulated"].any()), not bool(metrics["simulated"].all())
    words = [word for word, there in (("SIMULATED markets", simulated), ("real data", real)) if there]
    number = f"Table {table}" if isinstance(table, int) else "Side table"
    return f"{number}. {TITLES[table]} ({' and '.join(words)})"


def grids(table: pl.DataFrame) -> list[Grid]:
    """The long table as people read it: ours, then the published numbers, then what belongs to neither."""
    everything = table["dataset"].unique(maintain_order=True).to_list()
    ordinary = [d for d in everything if not d.startswith(r.NULL_PREFIX)]
    own = table.filter(~pl.col("row").is_in([row for rows in APART.values() for row in rows]))
    theirs = table.filter(pl.col("paper_mean").is_not_null())
    there = [d for d in ordinary if d in theirs["dataset"]]
    # Two data sets that stand for the same one of the paper's share its numbers.
    there = list({r.PAPER_DATASET[d]: d for d in reversed(there)}.values())[::-1]
    out = [_wide(own, ordinary, "ours", "This run")]
    if there:
        out.append(_wide(theirs, there, "paper", "Published by the paper, on real data of its own"))
    for caption, rows in APART.items():
        if not (part := table.filter(pl.col("row").is_in(rows))).is_empty():
            out.append(_wide(part, ordinary, "ours", caption + _fewer(part, table)))
    few = pl.col("replicates").max().over("row") < pl.col("replicates").max()
    for part in (table.filter(~few), table.filter(few)):
        out += _shares(part, ordinary, _fewer(part, table))
    return out + [_wide(table, [d], "ours", f"Control: {named(d)}") for d in everything if d not in ordinary]


def _wide(table: pl.DataFrame, names: Sequence[str], side: str, caption: str) -> Grid:
    """A line per row, three columns per data set, with rules between the groups of rows."""
    table = table.filter(pl.col("dataset").is_in(list(names)))
    lines = {(x["row"], x["dataset"], x["metric"]): x for x in table.to_dicts()}
    columns = [(d, metric) for d in names for metric in m.METRICS]
    marked = _marked(lines, columns, side)
    tiers = {x["row"]: x["tier"] for x in lines.values() if x["tier"]} if side == "ours" else {}
    order = sorted(table["row"].unique().to_list(), key=_place)
    groups = [list(GROUPS.values())[_place(row)[0]] for row in order]
    body = [
        [row, *(_cell(lines.get((row, *at)), side, marked.get((row, *at), "")) for at in columns)]
        + ([tiers.get(row, "")] if tiers else [])
        for row in order
    ]
    untimed = {x["dataset"] for x in lines.values() if "unordered data" in x["note"]}
    label = r.PAPER_DATASET if side == "paper" else {d: named(d) + " (unordered)" * (d in untimed) for d in names}
    return Grid(
        caption,
        ["", *(f"{metric} {'↓' if m.LOWER_IS_BETTER[metric] else '↑'}" for _, metric in columns)]
        + (["Tier"] if tiers else []),
        body,
        [("", 1), *((label[d], len(m.METRICS)) for d in names)] + ([("", 1)] if tiers else []),
        {k: group for k, group in enumerate(groups) if k == 0 or group != groups[k - 1]},
        misprints(table, names) if side == "paper" else (),
    )


def _marked(
    lines: Mapping[tuple[str, str, str], Line], columns: Sequence[tuple[str, str]], side: str
) -> dict[tuple[str, str, str], str]:
    """Bold for the best of every column as printed, underlined for the best of the paper's baselines.

    On the run's side that is the baseline which validation chose, over which the improvement is told. Rows that know a
    market's truth, or whose outcome a programme decides, are not compared.
    """
    found: dict[tuple[str, str, str], str] = {}
    for dataset, metric in columns:
        line = lines.get((r.IMPROVED, dataset, metric), {})
        chosen = re.match("over (.+?), best on validation", str(line.get("note") or "")) if side == "ours" else None
        printed = {
            row: round(float(str(x[f"{side}_mean"])), 4)
            for (row, *at), x in lines.items()
            if at == [dataset, metric] and x[f"{side}_mean"] is not None and _compared(x, side)
        }
        baselines = {row for row in printed if row in r.BASELINES}
        for look, rows in (("bold", set(printed)), ("underlined", {chosen[1]} if chosen else baselines)):
            values = [printed[row] for row in rows if row in printed]
            if len(values) < 2 and not chosen:
                continue  # nothing to compare with
            best = (min if m.LOWER_IS_BETTER[metric] else max)(values)
            for row in rows:
                if printed[row] == best:
                    key = row, dataset, metric
                    found[key] = f"{found.get(key, '')} {look}".strip()
    return found


def _compared(line: Line, side: str) -> bool:
    spec = r.row_named(str(line["row"])) if line["row"] != r.IMPROVED else None
    if spec is None or spec.markets_only or spec.evaluates or spec.params.get("visibility") == "oracle":
        return False
    return side == "paper" or "by construction" not in str(line["note"])


def _fewer(part: pl.DataFrame, table: pl.DataFrame) -> str:
    """What a caption adds where no row of a part rests on as many replicates as the table."""
    some, most = (max(frame["replicates"], default=0) for frame in (part, table))
    return f" ({some} of {most} replicates)" if 0 < some < most else ""


def _shares(table: pl.DataFrame, names: Sequence[str], fewer: str = "") -> list[Grid]:
    """What the rows gain over the biases as a share of the ceiling; nothing where no data set has one."""
    known = table.filter(pl.col("of_ceiling").is_not_null(), pl.col("dataset").is_in(list(names)))
    if known.is_empty():
        return []
    shares = {(x["row"], x["dataset"], x["metric"]): x["of_ceiling"] for x in known.to_dicts()}
    there, metrics = [d for d in names if d in known["dataset"]], ("RMSE", "AUC")
    order = sorted(known["row"].unique().to_list(), key=_place)
    body = [[row, *(number(shares.get((row, d, k)), 1) for d in there for k in metrics)] for row in order]
    caption = f"Gain over the user and item biases, in % of what a predictor that knows the true tastes gains{fewer}"
    return [Grid(caption, ["", *(metrics * len(there))], body, [("", 1), *((named(d), len(metrics)) for d in there)])]


def _place(name: str) -> tuple[int, float, str]:
    """Where a row stands: its group, and its place in the registry."""
    if name == r.IMPROVED:
        return 0, 0.5, name  # beneath LR-Recsys, the first of all rows
    spec = r.row_named(name)
    kind: str = spec.kind
    if kind == "baseline":
        kind = next((k for k, rows in FAMILIES.items() if {spec.point, spec.same_as} & set(rows)), "baseline")
    # Writers of one's own follow the paper's LLMs.
    place = list(r.BY_NAME).index(name if name in r.BY_NAME else r.SMOLLM2)
    return list(GROUPS).index(kind), place + 0.5 * (name not in r.BY_NAME), name


def _cell(line: Line | None, side: str, look: str) -> str | Cell:
    if line is None:
        return ""
    mean, sd, ours = line[f"{side}_mean"], line[f"{side}_sd"], side == "ours"
    sign = SIGNS[str(line["status"])] if ours else ""
    if mean is None:
        return sign
    if ours and "by construction" in str(line["note"]):
        sign += BY_CONSTRUCTION
    below = f"({number(sd)})" if sd is not None else ""
    if line["row"] != r.IMPROVED:
        return Cell(number(mean) + sign, below, look)
    if not ours:  # the paper prints three stars at each of them
        return Cell(percent(mean), "***" + (MISPRINT if misprinted(line) else ""))
    return Cell(percent(mean) + sign, str(line.get("stars") or ""), look)


def write_tables(
    run: str, metrics: pl.DataFrame, *, parts: pl.DataFrame | None = None, contrasts: pl.DataFrame | None = None
) -> dict[int | str, pl.DataFrame]:
    """Write ``table1`` ... ``table6`` of a run (.csv, .md, .tex), its side tables with rows of their own, and
    ``results/<run>/costs`` and ``writers``.

    Parameters
    ----------
    run : str
    metrics : as in :func:`result_table`, with the columns of :func:`~lrrecsys_core.report.sizes.costs_table`.
    parts : as in :func:`~lrrecsys_core.report.sizes.parts_table`
    contrasts : as in :func:`result_table`
    """
    folder = paths.tables(run)
    tables: dict[int | str, pl.DataFrame] = {1: parts_table(parts)}
    write_all(folder, "table1", tables[1], table_title(1, metrics), notes.unordered(metrics), [parts_grid(tables[1])])
    ran = set(metrics["row"])
    sides = [side for side in r.SIDE_TABLES if any(x.name in ran for x in r.rows_of(side, ran) if x.tables == (side,))]
    for table in (*range(2, 7), *sides):
        tables[table] = result_table(table, metrics, contrasts)
        title, above = table_title(table, metrics), table_notes(table, metrics)
        stem = f"table{table}" if isinstance(table, int) else f"table_{table}"
        write_all(folder, stem, tables[table], title, above, grids(tables[table]))
    # Seconds differ from run to run, so they stay apart from the tables, which must not.
    costs = costs_table(metrics)
    title, above = "Size and training time of every row", markets_told(metrics)
    write_all(paths.results(run), "costs", costs, title, above, [costs_grid(costs)])
    writers = writers_table(paths.read_bench())
    write_all(paths.results(run), "writers", writers, "What a writer costs", [], [writers_grid(writers)])
    return tables

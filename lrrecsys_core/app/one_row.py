"""From a number to its code: what a row is, what it was trained with, where its cell lies, and the number again."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from lrrecsys_core import paths, rows
from lrrecsys_core.errors import InputError
from lrrecsys_core.models.base import TASKS
from lrrecsys_core.rows import Row
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.study import Study, runnable


def find_row(name: str) -> Row:
    """The row of that name, whatever the case.

    Raises
    ------
    InputError
        If there is none; the sentence names those that are spelled most alike.
    """
    by_lower = {row.name.lower(): row for row in (*rows.ROWS, *rows.rows_of(4))}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    near = get_close_matches(name.lower(), by_lower, n=3, cutoff=0.3) or list(by_lower)[:3]
    listed = ", ".join(repr(by_lower[word].name) for word in near)
    raise InputError(f"there is no row {name!r}: did you mean {listed}?")


def describe(study: Study, name: str, *, again: bool = False) -> Iterable[str]:
    """Lines about a row of a run: its declaration, then for each cell asked for point, texts, key, file and values.

    Parameters
    ----------
    again : compute every cell of the row anew and print the values beside the kept ones; nothing kept is replaced.

    Raises
    ------
    InputError
        If there is no such row, or it has no cell of its own on any data set of the run.
    """
    asked = find_row(name)
    if asked.averages:
        yield f"{asked.name}: the mean of what two rows predict; ask for each"
        for part in asked.averages:
            yield from describe(study, part, again=again)
        return
    row = rows.BY_NAME[asked.evaluates or asked.same_as] if asked.evaluates or asked.same_as else asked
    yield f"{asked.name}: {asked.kind}, tables {', '.join(map(str, asked.tables))}"
    if row is not asked:
        yield f"its numbers come from the networks of {row.name!r}"
    if row.model is not None:
        yield f"model {row.model.__name__}, {_place(row.model)}, with {row.params or 'no settings of its own'}"
    elif row.floor:
        yield f"no network: {row.floor}"
    names = [data for data in study.all_datasets if runnable(row.name, study.data(data)[0])]
    if not names:
        reasons = {study.absence(data, row.name) for data in study.all_datasets} - {""}
        why = ", ".join(reasons) or "its texts are not at hand"
        raise InputError(f"the row {row.name!r} has no cell in run {study.run!r}: {why}.")
    for data in names:
        for cell in study.cells_of(data, row.name):
            yield from _on(cell, asked.name, again)


def _place(model: type) -> str:
    """File and line of a class, below the repository."""
    file = Path(inspect.getfile(model)).resolve()
    return f"{file.relative_to(paths.repository()).as_posix()}:{inspect.getsourcelines(model)[1]}"


def _on(cell: Cell, shown: str, again: bool) -> Iterable[str]:
    yield f"\n{cell.dataset}" + (f", markets {_numbers(cell.replicates)}" if len(cell.run.blocks) > 1 else "")
    row, point = cell.row, cell.point
    if row.model is not None:
        steps = {task: getattr(point, task) for task in TASKS}
        told = "; ".join(f"{task}: lr {step.lr:g}, decay {step.weight_decay:g}" for task, step in steps.items())
        yield f"  point   {told}; network {point.params or 'as it is'}"
    for job in cell.text_jobs[:1]:
        yield f"  texts   {job.source}, variant {job.texts.variant!r}, slots {', '.join(job.texts.slots)}"
    key = cell.kept_key
    place = cell.filed(key, "metrics") if key else None
    yield f"  key     {key or cell.key or 'unknown until its texts are made'}"
    command = "make reproduce" + (" MARKETS=all" if cell.block else "")
    yield f"  file    {place.relative_to(paths.root()) if place else f'not kept: run `{command}`'}"
    kept = _values(pl.read_parquet(place), shown) if place else {}
    fresh = {}
    if again:
        results = cell.run_sizes()
        fresh = _values(pl.concat([result.metrics for result in results.values()]), shown)
    for metric in kept or fresh:
        values = " ".join(f"{value:.4f}" for value in kept.get(metric, ()))
        more = f", again {' '.join(f'{value:.4f}' for value in fresh[metric])}" if metric in fresh else ""
        yield f"  {metric:<7} {values or 'not kept'}{more}"


def _numbers(replicates: Sequence[int]) -> str:
    return "-".join(map(str, dict.fromkeys((replicates[0], replicates[-1]))))


def _values(metrics: pl.DataFrame, row: str) -> dict[str, Sequence[float]]:
    """Metric -> test value of each replicate."""
    tested = metrics.filter(pl.col("part") == "test", pl.col("row") == row).sort("replicate")
    return {str(m): part["value"].to_list() for (m,), part in tested.group_by("metric", maintain_order=True)}

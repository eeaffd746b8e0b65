"""Whether every table, figure, page and manifest is what its run left: nothing stale, nothing edited by hand.

Beside a run's manifest lies ``sums.json``, the hashes of all it left, aggregates too. Tables and page are made again
from the aggregates and compared byte for byte. Figures are not drawn again: other fonts or versions draw other bytes,
so of a figure the hash is compared, and that of the aggregate it was drawn from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from lrrecsys_core import paths
from lrrecsys_core.app import provenance
from lrrecsys_core.errors import InputError
from lrrecsys_core.report.as_collected import write_as_collected
from lrrecsys_core.report.claim_matrix import draw_matrix
from lrrecsys_core.report.forest import draw_real
from lrrecsys_core.report.kept import kept, theory_of, understood
from lrrecsys_core.report.page import write_report, write_reports

BESIDE: Final = ("manifest.json", "costs.csv")
MEND: Final = "run `lrrecsys report`, or the run itself"


def sums(run: str) -> dict[str, str]:
    """SHA-256 of everything a run left that is committed, by path below the root."""
    found = provenance.outputs(run)
    for name in BESIDE:
        file = paths.results(run) / name
        if file.is_file():
            found[f"results/{run}/{name}"] = paths.digest(file)
    return dict(sorted(found.items()))


def record(run: str) -> None:
    """Write the hashes of what a run left; a manifest there is then names the same outputs."""
    manifest = paths.results(run) / "manifest.json"
    if paths.sound(manifest):
        told = json.loads(manifest.read_text(encoding="utf-8"))
        now = provenance.outputs(run)
        if told.get("outputs", now) != now:
            paths.write_json(manifest, told | {"outputs": now})
    paths.write_json(paths.results(run) / "sums.json", sums(run))


def redraw(chosen: Sequence[str]) -> Iterator[Path | InputError]:
    """Write runs anew from their aggregates, with their hashes, and the claim matrix of all.

    Yields each page, or why there is none.

    Raises
    ------
    InputError
        There is no run, or another process is writing one.
    """
    with ExitStack() as held:
        for run in dict.fromkeys(chosen):
            held.enter_context(paths.locked(run))
        for run, made in write_reports(chosen):
            if isinstance(made, Path):
                record(run)
            yield made
        draw_matrix()
        draw_real()
        write_as_collected()


def known_runs() -> list[str]:
    """Names under which figures or tables lie, those of theory and markets too."""
    folders = [folder for kind in ("figures", "paper_tables") for folder in (paths.root() / kind).glob("[!.]*")]
    return sorted({folder.name for folder in folders if folder.is_dir() and any(folder.iterdir())})


def problems(run: str) -> list[str]:
    """What of a run is not as it was left, a line each, beginning with the file."""
    paths.checked_run(run)
    file = paths.root() / "results" / run / "sums.json"
    if not paths.sound(file):
        return [f"results/{run}/sums.json: missing or damaged, so nothing of {run} can be verified; {MEND}"]
    left, now = json.loads(file.read_text(encoding="utf-8")), sums(run)
    found = {name: "missing" for name in left if name not in now}
    found |= {name: "nothing recorded made it" for name in now if name not in left}
    found |= {name: "edited by hand, or stale" for name in now if left.get(name, now[name]) != now[name]}
    manifest = paths.root() / "results" / run / "manifest.json"
    if manifest.is_file() and manifest.relative_to(paths.root()).as_posix() not in found:
        outputs = json.loads(manifest.read_text(encoding="utf-8")).get("outputs", {})
        named = {name: digest for name, digest in now.items() if not name.endswith(BESIDE)}
        stale = [name for name in {*outputs, *named} - set(found) if outputs.get(name) != named.get(name)]
        if stale and outputs:
            found[f"results/{run}/manifest.json"] = f"stale: its outputs differ, for instance {min(stale)}"
    try:
        with understood(run):
            otherwise = _made_otherwise(run) if kept(run, "metrics") is not None else []
    except InputError as error:
        return [*(f"{name}: {why}; {MEND}" for name, why in sorted(found.items())), str(error)]
    found |= {name: "not what its aggregates give" for name in otherwise if name not in found}
    return [f"{name}: {why}; {MEND}" for name, why in sorted(found.items())]


def _made_otherwise(run: str) -> list[str]:
    """Tables and page of a run that come out different when made again from its aggregates and the benchmarks."""
    true = paths.root()
    with TemporaryDirectory() as place, _rooted(Path(place)) as made:
        for name in (f"figures/{run}", f"figures/{theory_of(run)}", "results/bench"):
            if (true / name).is_dir() and not (made / name).exists():
                # Copied files are as new as can be, so that no figure counts as older than its aggregate.
                shutil.copytree(true / name, made / name, copy_function=shutil.copyfile)
        for drawing in sorted((made / "figures").glob("*/*.*")):
            os.utime(drawing)
        write_report(run, redraw=False)
        again = [*paths.tables(run).iterdir(), *(paths.results(run) / name for name in ("report.html", "costs.csv"))]
        names = {file.relative_to(made).as_posix(): file.read_bytes() for file in again if file.is_file()}
        present = {file.relative_to(true).as_posix() for file in (true / "paper_tables" / run).glob("[!.]*")}
    stray = present - set(names)
    return sorted({name for name, content in names.items() if not _says(true / name, content)} | stray)


def _says(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


@contextmanager
def _rooted(folder: Path) -> Iterator[Path]:
    """Let `folder` stand for the repository."""
    before = os.environ.get(paths.ROOT_VARIABLE)
    os.environ[paths.ROOT_VARIABLE] = str(folder)
    try:
        yield paths.root()
    finally:
        os.environ.pop(paths.ROOT_VARIABLE)
        if before is not None:
            os.environ[paths.ROOT_VARIABLE] = before

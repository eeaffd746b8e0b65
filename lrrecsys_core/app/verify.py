"""Whether every table, figure, page and manifest is what its run left: nothing stale, nothing edited by hand.

Beside a run's manifest lies ``sums.json``, the hashes of all it left, aggregates too. Tables and page are made again
from the aggregates and compared byte for byte. Figures are not drawn again: other fonts or versions draw other bytes,
so of a figure the hash is compared, and that of the aggregate it was drawn from. What is drawn of several runs lies
above them, with hashes of its own in ``results/sums.json``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from lrrecsys_core import paths
from lrrecsys_core.app import provenance
from lrrecsys_core.errors import InputError
from lrrecsys_core.report import as_collected
from lrrecsys_core.report.claim_matrix import PROFILE, draw_matrix
from lrrecsys_core.report.forest import draw_real
from lrrecsys_core.report.kept import command_of, kept, theory_of, understood
from lrrecsys_core.report.page import write_report, write_reports

BESIDE: Final = ("manifest.json", "costs.csv")
ABOVE: Final = "results/sums.json"
PAGE: Final = "docs/as_collected.md"
REDRAW: Final = "run `lrrecsys report`"
MEND: Final = f"{REDRAW}, or the run itself"
RESTORE: Final = "restore it, or run the run again"


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


def edited(run: str) -> list[str]:
    """What of a run's aggregates and manifest is no longer as recorded: a drawing of it would hide that.

    A manifest may name other outputs, since redrawing renews those. What was never recorded cannot be told.
    """
    file = paths.root() / "results" / run / "sums.json"
    left = json.loads(file.read_text(encoding="utf-8")) if paths.sound(file) else {}
    found = [name for name in left if name.startswith(f"figures/{run}/data/") and _digest(name) != left[name]]
    name = f"results/{run}/manifest.json"
    return found + ([name] if name in left and not _is_recorded(name, left) else [])


def _is_recorded(name: str, left: Mapping[str, str]) -> bool:
    """Whether a manifest is the recorded one, its outputs apart: with those recorded it has the recorded hash."""
    file = paths.root() / name
    if not paths.sound(file):
        return False
    told = json.loads(file.read_text(encoding="utf-8"))
    if "outputs" in told:
        told["outputs"] = {output: digest for output, digest in left.items() if not output.endswith(BESIDE)}
    with TemporaryDirectory() as place:
        paths.write_json(again := Path(place) / file.name, told)
        return left[name] in (paths.digest(file), paths.digest(again))


def redraw(chosen: Sequence[str]) -> Iterator[Path | InputError]:
    """Write runs anew from their aggregates, with their hashes, and what is drawn of all.

    Yields each page, or why there is none. A run whose aggregates or manifest were edited is left as it is.

    Raises
    ------
    InputError
        There is no run, or another process is writing one.
    """
    with ExitStack() as held:
        for run in dict.fromkeys(chosen):
            held.enter_context(paths.locked(run))
        sound = []
        for run in chosen:
            # A page shows the theory, too.
            if changed := [*edited(theory_of(run)), *edited(run)]:
                yield InputError(
                    f"run {run!r} is not redrawn, since what it kept is not as recorded ({', '.join(changed)}): "
                    f"restore it, or run the run again by {command_of(run)}"
                )
            else:
                sound.append(run)
        for run, made in write_reports(sound) if sound or not chosen else ():
            if isinstance(made, Path):
                record(run)
            yield made
        draw_above()


def shown_above(run: str) -> bool:
    """Whether the drawings above the runs show a run."""
    return f"{run}-".startswith(f"{PROFILE}-")


def draw_above() -> None:
    """Draw what is drawn of several runs, write the page about the data, and record the hashes."""
    drawn = [file for file in (draw_matrix(), draw_real()) if file is not None]
    drawings = [of for file in drawn for of in file.parent.glob(f"{file.stem}.*")]
    told = {"drawings": _digests(drawings), "sources": _digests(_sources())}
    paths.write_json(paths.root() / ABOVE, told)
    if paths.sound(paths.root() / "results" / as_collected.RUN / "manifest.json"):
        as_collected.write_as_collected()


def _sources() -> list[Path]:
    """What the drawings above the runs are drawn from: verdicts, and the contrasts of real data."""
    found = [file for file in paths.root().glob("paper_tables/*/verdicts.csv") if shown_above(file.parent.name)]
    return [*found, *paths.root().glob(f"figures/{PROFILE}-*/data/forest.*")]


def _digests(files: Sequence[Path]) -> dict[str, str]:
    return {file.relative_to(paths.root()).as_posix(): paths.digest(file) for file in files}


def _digest(name: str) -> str | None:
    file = paths.root() / name
    return paths.digest(file) if file.is_file() else None


def known_runs() -> list[str]:
    """Names under which figures or tables lie, those of theory and markets too."""
    folders = [folder for kind in ("figures", "paper_tables") for folder in (paths.root() / kind).glob("[!.]*")]
    return sorted({folder.name for folder in folders if folder.is_dir() and any(folder.iterdir())})


def problems_above() -> list[str]:
    """What lies above the runs and is not as it was left, or not of the runs as they are; a line each."""
    root = paths.root()
    there = _digests([file for file in root.glob("figures/[!.]*") if file.is_file()])
    if paths.sound(root / ABOVE):
        left = json.loads((root / ABOVE).read_text(encoding="utf-8"))
        found = _differing(left.get("drawings", {}), there)
        if other := _differing(left.get("sources", {}), _digests(_sources())):
            found[ABOVE] = f"stale: drawn above the runs from other files, for instance {min(other)}"
    else:
        found = {ABOVE: "missing or damaged, so no drawing above the runs can be verified"} if there else {}
    if (root / as_collected.SOURCES).is_file():
        try:
            made = as_collected.as_collected(root).encode()
        except (OSError, ValueError, KeyError) as error:
            reason = f"{type(error).__name__}: {error}"[:200]
            found[PAGE] = f"{as_collected.SOURCES} or a manifest in results/ cannot be read ({reason}), so restore that"
        else:
            if not _says(root / PAGE, made):
                found[PAGE] = f"not what {as_collected.SOURCES} and the manifests in results/ give"
    return [f"{name}: {why}; {REDRAW}" for name, why in sorted(found.items())]


def _differing(left: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Why files differ from what was left of them, by name."""
    found = {name: "missing" for name in left if name not in now}
    found |= {name: "nothing recorded made it" for name in now if name not in left}
    return found | {name: "edited by hand, or stale" for name in now if left.get(name, now[name]) != now[name]}


def problems(run: str) -> list[str]:
    """What of a run is not as it was left, a line each, beginning with the file."""
    paths.checked_run(run)
    file = paths.root() / "results" / run / "sums.json"
    if not paths.sound(file):
        return [f"results/{run}/sums.json: missing or damaged, so nothing of {run} can be verified; {MEND}"]
    left, now = json.loads(file.read_text(encoding="utf-8")), sums(run)
    found, unsure = _differing(left, now), edited(run)
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
        return [*_lines(found, unsure), str(error)]
    found |= {name: "not what its aggregates give" for name in otherwise if name not in found}
    return _lines(found, unsure)


def _lines(found: Mapping[str, str], unsure: Collection[str]) -> list[str]:
    """A line a file; `unsure` are those that no drawing mends."""
    return [f"{name}: {why}; {RESTORE if name in unsure else MEND}" for name, why in sorted(found.items())]


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

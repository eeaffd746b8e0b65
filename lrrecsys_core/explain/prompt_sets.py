"""Sets of prompts as folders of text: the built-in ones, and those of the user.

A set is ``<set>/<domain>/<kind>.txt`` and ``<set>/set.toml``, which says what templates cannot: ``answer_tokens`` (by
kind, and ``default``), ``stop`` (texts that end an answer) and ``about`` (a remark for readers).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from lrrecsys_core.errors import InputError

FOLDER = Path(__file__).parent / "prompts"
BUILT_IN: Final = ("house", "zero-shot")
ANSWER_TOKENS: Final = 128
_SCALE = frozenset({"$low", "$high"})
_OF_RECORD = frozenset({"$history", "$candidate"})
PLACES: Final = {
    "profile": frozenset({"$item"}),
    "positive": _OF_RECORD,
    "negative": _OF_RECORD,
    "alternative_positive": _OF_RECORD,
    "alternative_negative": _OF_RECORD,
    "aspects": _OF_RECORD,
    "general": _OF_RECORD,
    "summary": frozenset({"$history"}),
    "direct": _OF_RECORD | _SCALE,
}
"""Kinds of template and the places for texts in each; of item texts every template holds at least one."""

_PLACE = re.compile(r"\$[A-Za-z_{][A-Za-z_0-9]*\}?")


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """One prompt with its places still open.

    Parameters
    ----------
    name
        Set, domain, kind and a hash of the text, as in "house/hotel/positive@1a2b3c4d": enters every key.
    text
        With ``$history``, ``$candidate``, ``$item``, ``$low`` and ``$high`` where :data:`PLACES` has them.
    answer_tokens
        Upper bound on the tokens of an answer.
    stop
        Texts that end an answer.
    """

    name: str
    text: str
    answer_tokens: int
    stop: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class PromptSet:
    """The templates of all kinds for some domains; make one by :func:`prompt_set`.

    Parameters
    ----------
    name
        Of a built-in set, or of the user's folder; shown in tables.
    folder
        Where the files lie.
    templates
        By domain and kind.
    digest
        Hash of everything that decides the prompts: templates and settings.
    """

    name: str
    folder: Path
    templates: Mapping[tuple[str, str], PromptTemplate]
    digest: str

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains there are prompts for."""
        return tuple(dict.fromkeys(domain for domain, _ in self.templates))

    def template(self, domain: str, kind: str) -> PromptTemplate:
        """The template of a domain and kind.

        Raises
        ------
        InputError
            When the set has no prompts for the domain.
        """
        if (domain, kind) not in self.templates:
            raise InputError(
                f"there is no prompt template for {domain!r} in {self.folder}: it has {', '.join(self.domains)}; "
                "choose one of these domains, or add a folder of templates."
            )
        return self.templates[domain, kind]


def prompt_set(place: str | Path) -> PromptSet:
    """A built-in set by its name ("house", "zero-shot"), or the set in a folder of the user's.

    Raises
    ------
    InputError
        When there is no such set or folder, a domain lacks a template, a template has a place its kind knows not or
        none for an item text, set.toml is not as it should be, or a folder goes by a built-in set's name.
    """
    if str(place) in BUILT_IN:
        return _built_in(str(place))
    folder = Path(place).resolve()
    if not folder.is_dir():
        raise InputError(
            f"there is no prompt set {str(place)!r}: name {' or '.join(BUILT_IN)}, or a folder of your own "
            "(begin one by 'lrrecsys explain prompts --copy house FOLDER')."
        )
    if folder.name in BUILT_IN and folder.parent != FOLDER:
        raise InputError(f"the prompt set {folder} bears the name of a built-in one: give its folder another name.")
    return read_set(folder)


@cache
def _built_in(name: str) -> PromptSet:
    return read_set(FOLDER / name)


def read_set(folder: Path) -> PromptSet:
    """The set in a folder, whole and checked; errors as of :func:`prompt_set`."""
    settings = read_settings(folder / "set.toml")
    domains = sorted({path.parent.name for path in folder.glob("*/*.txt")})
    if not domains:
        raise InputError(f"{folder} holds no templates: put them into DOMAIN/KIND.txt, such as hotel/positive.txt.")
    templates = {
        (domain, kind): _template(folder, domain, kind, settings) for domain in domains for kind in PLACES
    }  # fmt: skip
    digest = blake2b(digest_size=16)
    for one in templates.values():
        digest.update(repr((one.name, one.text, one.answer_tokens, one.stop)).encode())
    return PromptSet(folder.name, folder, templates, digest.hexdigest())


def _template(folder: Path, domain: str, kind: str, settings: dict[str, Any]) -> PromptTemplate:
    path = folder / domain / f"{kind}.txt"
    if not path.is_file():
        raise InputError(f"{path} is missing: every domain of a prompt set has {', '.join(PLACES)}.")
    text = _read(path).rstrip("\n")
    found = set(_PLACE.findall(text))
    if unknown := sorted(found - PLACES[kind]):
        raise InputError(f"{path} has the unknown place {unknown[0]}: it may hold {', '.join(sorted(PLACES[kind]))}.")
    if not found - _SCALE:
        raise InputError(f"{path} has no place for an item: put in {' or '.join(sorted(PLACES[kind] - _SCALE))}.")
    name = f"{folder.name}/{domain}/{kind}@{blake2b(text.encode(), digest_size=4).hexdigest()}"
    tokens = settings["answer_tokens"]
    return PromptTemplate(name, text, tokens.get(kind, tokens.get("default", ANSWER_TOKENS)), settings["stop"])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: save it so.") from error


def read_settings(path: Path) -> dict[str, Any]:
    """What a ``set.toml`` says: ``answer_tokens`` (kind to tokens), ``stop`` (tuple of texts) and ``about``.

    Raises
    ------
    InputError
        When the file is missing, is no TOML, or holds anything else.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: a prompt set has one; an empty file will do.")
    try:
        given = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML ({error}): see the set.toml of the set 'house'.") from error
    tokens, stop = given.get("answer_tokens", {}), given.get("stop", [])
    if strange := sorted(given.keys() - {"answer_tokens", "stop", "about"}):
        raise InputError(f"{path} has the unknown key {strange[0]!r}: it may say answer_tokens, stop and about.")
    if not isinstance(tokens, dict) or tokens.keys() - {*PLACES, "default"}:
        raise InputError(f"{path}: answer_tokens must be a table of numbers for {', '.join(PLACES)} or default.")
    if not all(type(number) is int and number > 0 for number in tokens.values()):
        raise InputError(f"{path}: answer_tokens must be whole numbers above 0.")
    if not isinstance(stop, list) or not all(isinstance(text, str) and text for text in stop):
        raise InputError(f'{path}: stop must be a list of texts, such as ["\\n\\n"].')
    if not isinstance(given.get("about", ""), str):
        raise InputError(f"{path}: about must be a text.")
    return {"answer_tokens": tokens, "stop": tuple(stop), "about": given.get("about", "")}


HOUSE: Final = prompt_set("house")
"""The set that is asked where none is named: our own words, one worked example, in the paper's structure."""

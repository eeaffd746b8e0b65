"""The real writers' texts that the environment names for the tables: stores of LLMs, and imported tables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.formats import EMBEDDED, PAPER_LLMS
from lrrecsys_core.explain.given import is_given, read_manifest
from lrrecsys_core.explain.prompt_sets import BUILT_IN, PromptSet, prompt_set
from lrrecsys_core.explain.recorded import holds, recorded_prompts

STORES_VARIABLE = "LRRECSYS_STORES"
PROGRAMMES = "metadata"  # first in the list: programmes write the texts of all rows that name no writer
SHIPPED = Path("results/texts")  # what an embedded model wrote about simulated markets (`make texts`)


@dataclass(frozen=True)
class NamedStore:
    """What LRRECSYS_STORES names for a writer.

    Attributes
    ----------
    path : the frozen folder or SQLite file of an LLM's answers, or the folder of an imported table.
    model : the LLM, or whoever wrote the table.
    chosen : the prompt set named behind "?prompts="; "" where none is.
    """

    path: str
    model: str
    chosen: str = ""

    def __str__(self) -> str:
        """As it stands in the environment."""
        return f"{self.model}={self.path}" + (f"?prompts={self.chosen}" if self.chosen else "")

    @property
    def prompts(self) -> PromptSet:
        """The set the store was asked in: the one named, or the built-in one whose templates it records.

        Raises
        ------
        InputError
            If there is no such set, or none is named and the store holds answers to several sets or to a user's.
        """
        return prompt_set(self.chosen) if self.chosen else recorded_prompts(self.path, self.model)


def store_of(model: str) -> NamedStore | None:
    """The store named for an LLM, or else the one that comes with this repository; None where there is neither."""
    named = stores().get(model)
    place = paths.repository() / SHIPPED / model
    if named is None and model in EMBEDDED and (place / "manifest.json").is_file():
        return NamedStore(str(place), model)
    return named


def programmes_first() -> bool:
    """Whether the environment says that rows which name no writer read no store."""
    return _entries()[:1] == [PROGRAMMES]


def listed(named: Iterable[NamedStore]) -> str:
    """The value of LRRECSYS_STORES that names these stores, and programmes before them where it does now."""
    return ",".join([*[PROGRAMMES] * programmes_first(), *map(str, named)])


def _entries() -> list[str]:
    return list(filter(None, os.environ.get(STORES_VARIABLE, "").split(",")))


def stores() -> dict[str, NamedStore]:
    """Texts of real writers named in LRRECSYS_STORES, as ``llama-3.1=folder,gpt-2=file.sqlite?prompts=folder``.

    Raises
    ------
    InputError
        If an entry is not of that form, or names a path where nothing is, or a writer that is neither in Table 4 nor
        in what lies there, or one that another entry names.
    """
    found: dict[str, NamedStore] = {}
    for entry in _entries()[programmes_first() :]:
        model, _, rest = entry.partition("=")
        place, _, option = rest.partition("?")
        chosen = option.removeprefix("prompts=")
        given = bool(place) and is_given(place)
        if given and (option or read_manifest(place)["name"] != model):
            raise InputError(
                f"{STORES_VARIABLE} has {entry!r}: the texts there are those of {read_manifest(place)['name']!r} and "
                "were asked for in no prompts, so write that name and the folder alone."
            )
        known = given or model in PAPER_LLMS | EMBEDDED or holds(place, model)
        if not known or not place or (option and chosen in ("", option)):
            raise InputError(
                f"{STORES_VARIABLE} has {entry!r}: write MODEL=PATH, or MODEL=PATH?prompts=FOLDER, with a MODEL among "
                f"{', '.join(PAPER_LLMS | EMBEDDED)}, or one whose answers the store holds, or NAME=FOLDER with an "
                "imported table."
            )
        if not Path(place).exists():
            raise InputError(
                f"{STORES_VARIABLE} names {place!r} for {model}, where nothing is: freeze its texts first."
            )
        if model in found:
            raise InputError(
                f"{STORES_VARIABLE} names {model} twice, for {found[model].path!r} and {place!r}: keep one of the two."
            )
        if chosen and chosen not in BUILT_IN:
            chosen = str(Path(chosen).resolve())
        found[model] = NamedStore(str(Path(place).resolve()), model, chosen)
    return found

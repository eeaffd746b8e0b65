"""Data sets by a short text such as "movielens:PATH", the form the command line and the notebooks take."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lrrecsys_core.data.amazon import load_amazon
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.data.kept_copy import kept_copy
from lrrecsys_core.data.movielens import load_movielens
from lrrecsys_core.data.table import load_table, parse_table
from lrrecsys_core.data.tripadvisor import load_tripadvisor
from lrrecsys_core.data.tripadvisor_peter import load_tripadvisor_peter
from lrrecsys_core.data.yelp import load_yelp
from lrrecsys_core.data.yelp_open import load_yelp_open
from lrrecsys_core.errors import InputError
from lrrecsys_core.paths import dataset_name

_PROFILES = "item_profile.json"


def load_dataset(spec: str) -> Dataset:
    """Load a data set named by a kind and a path.

    - ``movielens:FOLDER``: ratings, movies as published (latest, 100k or 1m); ``movielens:FOLDER?fold=u1``: with that
      official test part of 100k; ``movielens:FOLDER,PROFILES``: also with LLM-written texts of the movies described in
      the file or folder PROFILES.
    - ``movielens-imported:FOLDER`` or ``movielens-imported:FOLDER,PROFILES``: those movies alone; without
      PROFILES from item_profile.json in FOLDER or the folder imdb_exp3rt beside it.
    - ``amazon:FOLDER?category=Movies_and_TV&reviews=yes``: one category, as of 2023 or 2018.
    - ``yelp-open:FOLDER?restaurants=yes&reviews=yes``: the Yelp open dataset, whole or of restaurants alone.
    - ``tripadvisor-peter:FOLDER``: the reviews.pickle of NETE and PETER.
    - ``tripadvisor:FOLDER``, ``yelp:FOLDER``: the LARA table, and the samples of MTER and TheFacT.
    - ``table:FILE?key=value&...``: any table, with the attributes of `TableMap` as keys.

    Of the two large releases a copy is kept, as `kept_copy` says.

    Raises
    ------
    InputError
        If the text cannot be understood or the data cannot be loaded.
    """
    kind, _, place = spec.partition(":")
    if kind not in _KINDS:
        raise InputError(f"unknown kind of data set '{kind}' in '{spec}'; expected one of {', '.join(_KINDS)}.")
    if not place.partition("?")[0]:
        raise InputError(f"'{spec}' names no path; expected {kind}:PATH.")
    if kind == "table" and ((name := dataset_name(spec)) in _TAKEN or name.startswith("null-")):
        raise InputError(f"'{spec[:120]}': {name!r} is what another data set goes by here; rename the file.")
    if kind in _LARGE:
        return kept_copy(spec, Path(place.partition("?")[0]), lambda: _KINDS[kind](place))
    return _KINDS[kind](place)


def _movielens(place: str) -> Dataset:
    paths, options = _options(place, ("fold",), ())
    folder, _, given = paths.partition(",")
    return load_movielens(folder, _profiles(folder, given) if given else None, **options)


def _imported(place: str) -> Dataset:
    folder, _, given = place.partition(",")
    return load_movielens(folder, _profiles(folder, given), described_only=True)


def _loaded(load: Callable[..., Dataset], words: tuple[str, ...], switches: tuple[str, ...], place: str) -> Dataset:
    folder, options = _options(place, words, switches)
    return load(folder, **options)


def _options(place: str, words: tuple[str, ...], switches: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The folder and the options of ``FOLDER?word=value&switch=yes``."""
    folder, _, query = place.partition("?")
    options: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if key in words and value:
            options[key] = value
        elif key in switches and value in ("yes", "no"):
            options[key] = value == "yes"
        else:
            known = " & ".join([*(f"{word}=NAME" for word in words), *(f"{switch}=yes" for switch in switches)])
            raise InputError(f"'{pair[:60]}' after the ? of '{place[:120]}' is unknown; expected some of {known}.")
    return folder, options


def profiles_by_default(folder: str) -> Path:
    """The texts that ``movielens-imported:FOLDER`` is read with, as nobody names them.

    Raises
    ------
    InputError
        There are none.
    """
    return _profiles(folder, "")


def _profiles(folder: str, given: str) -> Path:
    candidates = [Path(given), Path(given) / _PROFILES]
    if not given:
        candidates = [Path(folder) / _PROFILES, Path(folder).resolve().parent / "imdb_exp3rt" / _PROFILES]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    where = given or f"{folder} or in imdb_exp3rt beside it"
    raise InputError(f"no {_PROFILES} at {where}; name the file or folder of the movie profiles: FOLDER,PROFILES.")


_KINDS: dict[str, Callable[[str], Dataset]] = {
    "movielens": _movielens,
    "movielens-imported": _imported,
    "amazon": partial(_loaded, load_amazon, ("category",), ("reviews",)),
    "yelp-open": partial(_loaded, load_yelp_open, (), ("restaurants", "reviews")),
    "tripadvisor-peter": load_tripadvisor_peter,
    "tripadvisor": load_tripadvisor,
    "yelp": load_yelp,
    "table": lambda place: load_table(*parse_table(place)),
}
_LARGE = ("amazon", "yelp-open")
# Grid points and results are filed by these names.
_TAKEN = {*_KINDS, *(domain.plural for domain in DOMAINS.values()), "markets"} - {"table"}

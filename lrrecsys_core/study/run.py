"""One run: a profile, its data sets, their splits and seeds, and the folder that keeps what is computed of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from lrrecsys_core import paths, rows
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import Profile, all_markets, get_profile

DOMAINS = ("hotels", "restaurants", "movies")
NULL_MARKET = f"{rows.NULL_PREFIX}hotels"


class Run:
    """Data, splits and seeds of one run; runs of equal profile and data are equal.

    Parameters
    ----------
    profile : name of a profile, or a `Profile`.
    datasets : specifications as for `load_dataset`; empty for the simulated markets.

    Raises
    ------
    InputError
        If the profile is unknown, or (when first needed) a data set cannot be loaded.
    """

    def __init__(self, profile: str | Profile = "smoke", datasets: Sequence[str] = ()) -> None:
        self.profile = profile if isinstance(profile, Profile) else get_profile(profile)
        self.specs = tuple(datasets)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._identity == self._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, ...]:
        return (self.profile, self.specs)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process gets many cells of one run: it loads and splits the data once.
        # Files of one name may hold other data than before, which a worker that lives on must not confuse.
        data = () if self.simulated else tuple(data.fingerprint for data in self._loaded.values())
        return _again, (type(self), data, *self._identity)

    @property
    def simulated(self) -> bool:
        """Whether the run is on simulated markets."""
        return not self.specs

    @property
    def seeds(self) -> tuple[int, ...]:
        """One seed per replicate."""
        return self.profile.seeds if self.simulated else self.profile.seeds_of_files

    @property
    def blocks(self) -> tuple[range, ...]:
        """Numbers of the replicates that are computed and kept together; where the data are real, all of them."""
        return self.profile.blocks if self.simulated else (range(len(self.seeds)),)

    @property
    def asked(self) -> range:
        """Which blocks the run is asked for: the first, or all of them (see `all_markets`)."""
        return range(len(self.blocks) if all_markets() else 1)

    @property
    def run(self) -> str:
        """Name under which results, figures and tables are kept."""
        return paths.run_name(self.profile.name, self.specs)

    @property
    def folder(self) -> Path:
        """results/<run>."""
        return paths.results(self.run)

    @cached_property
    def _loaded(self) -> dict[str, Dataset]:
        names = self.datasets
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two data sets of this run are called {twice!r}: rename a file, or run them apart.")
        return {name: load_dataset(spec) for name, spec in zip(names, self.specs, strict=True)}

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets that the tables show."""
        return DOMAINS if self.simulated else tuple(map(paths.dataset_name, self.specs))

    @property
    def all_datasets(self) -> tuple[str, ...]:
        """The data sets of the tables and, for simulated markets, the null market of the controls."""
        return (*DOMAINS, NULL_MARKET) if self.simulated else self.datasets

    def data(self, name: str) -> list[Dataset]:
        """One data set per replicate: fresh markets, or the same real data throughout."""
        if self.simulated:
            return [_market(name, seed, self.profile) for seed in self.profile.seeds]
        if name not in self._loaded:
            raise InputError(f"there is no data set {name!r} in this run: choose among {', '.join(self.datasets)}.")
        return [self._loaded[name]] * len(self.seeds)

    def split(self, name: str, replicate: int = 0, fraction: float = 1.0) -> Split:
        """The split of one replicate: the only place where a run's data are cut.

        Raises
        ------
        InputError
            If no record tests, or none of the whole data validates where some should.
        """
        profile = self.profile
        # not `data`, which makes all markets before it hands out one
        data = _market(name, self.seeds[replicate], profile) if self.simulated else self.data(name)[replicate]
        return _split(data, fraction, not profile.paper_strict, profile.split_by)


@cache
def _again(kind: type[Run], data: tuple[str, ...], *identity: Any) -> Run:
    return kind(*identity)


@lru_cache(maxsize=64)
def _market(name: str, seed: int, profile: Profile) -> Dataset:
    domain = name.removeprefix(rows.NULL_PREFIX)
    if domain not in DEFAULT_PARAMETERS:
        raise InputError(f"there is no simulated market {name!r}: choose among {', '.join((*DOMAINS, NULL_MARKET))}.")
    parameters = replace(DEFAULT_PARAMETERS[domain], **profile.sizes)
    return replace(simulate_market(domain, seed, parameters, null=name != domain), name=name)


_SPLITS: dict[tuple[str, float, bool, str], Split] = {}


def _split(data: Dataset, fraction: float, validation: bool, by: str) -> Split:
    """Splits are shared by identity, so that replicates on the same data share their tensors."""
    key = (data.fingerprint, fraction, validation, by)
    if key not in _SPLITS:
        if len(_SPLITS) >= 256:
            _SPLITS.pop(next(iter(_SPLITS)))
        split = make_split(data, by=by, train_fraction=fraction, validation=validation)  # type: ignore[arg-type]
        for part, records in (("test", split.test), ("validate", split.validation)):
            if fraction == 1 and not len(records) and (part == "test" or validation):
                raise InputError(
                    f"{data.source or data.name}: no record is left to {part} on; users test from two records on and "
                    "validate from three on, so expected some with more."
                )
        _SPLITS[key] = split
    return _SPLITS[key]

"""The simulations of notebook 06 in three sizes, each kept as Parquet rows under ``results/<profile>/theory``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.theory.fair import fair_repetition
from lrrecsys_core.theory.lasso import EQUAL, RANDOM, LinearSetting, linear_repetition
from lrrecsys_core.theory.markets import knowledge_repetition
from lrrecsys_core.theory.neural import NonlinearSetting, nonlinear_cell
from lrrecsys_core.theory.recovery import (
    gamma_repetition,
    one_environment_repetition,
    published_repetition,
    recovery_repetition,
    shift_repetition,
)
from lrrecsys_core.theory.repetitions import Row, cached, repeat
from lrrecsys_core.theory.structural import Family

STRONG, WEAK = 1.0, 0.1
GAMMAS = (0.0, 1.0, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0, 60.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
SHIFTS = (-1.5, -1.25, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Repetitions and grids of one size of the study.

    Attributes
    ----------
    linear, correlated : p for independent designs and for AR(0.5) designs, at n = 1000.
    linear_repetitions : of both, and of the sample-size curves over `records` at p = `records_p`.
    cross_validated, cross_validations : p and repetitions of the cross-validated Lasso.
    recovery_n, recovery_repetitions : records per environment, and repetitions, of all EILLS experiments.
    one_environment_n : sample sizes of the counterexample; published_n : of the published example.
    fair_n, fair_repetitions : of FAIR selection.
    inputs, inputs_n : p and n of the nonlinear p curves; nonlinear_n : n of the nonlinear n curves at s = 2, p = 10.
    kernel_limit : most records for kernel ridge, whose time grows with their cube.
    market_repetitions : of estimates of S* from simulated markets, which have the profile's size.
    jobs : processes.
    """

    linear: tuple[int, ...]
    correlated: tuple[int, ...]
    linear_repetitions: int
    records: tuple[int, ...]
    records_p: int
    cross_validated: tuple[int, ...]
    cross_validations: int
    recovery_n: tuple[int, ...]
    recovery_repetitions: int
    one_environment_n: tuple[int, ...]
    published_n: tuple[int, ...]
    fair_n: tuple[int, ...]
    fair_repetitions: int
    important: tuple[int, ...]
    inputs: tuple[int, ...]
    inputs_n: int
    nonlinear_n: tuple[int, ...]
    nonlinear_repetitions: int
    kernel_limit: int
    market_repetitions: int
    jobs: int


SIZES: dict[str, Sizes] = {
    "smoke": Sizes(
        linear=(25, 100, 400, 1600),
        correlated=(25, 100, 400),
        linear_repetitions=10,
        records=(500, 1000, 2000),
        records_p=200,
        cross_validated=(25, 100),
        cross_validations=3,
        recovery_n=(100, 200, 400, 800),
        recovery_repetitions=12,
        one_environment_n=(200, 800, 3200),
        published_n=(100, 300, 1000),
        fair_n=(250, 1000),
        fair_repetitions=6,
        important=(1, 2),
        inputs=(5, 10, 20),
        inputs_n=500,
        nonlinear_n=(250, 500, 1000),
        nonlinear_repetitions=5,
        kernel_limit=1000,
        market_repetitions=1,
        jobs=1,
    ),
    "demo": Sizes(
        linear=(25, 50, 100, 250, 500, 1000, 2000, 5000, 10000),
        correlated=(25, 50, 100, 250, 500, 1000, 2000),
        linear_repetitions=100,
        records=(400, 800, 1600, 3200),
        records_p=500,
        cross_validated=(50, 250, 1000),
        cross_validations=20,
        recovery_n=(100, 200, 400, 800, 1600),
        recovery_repetitions=100,
        one_environment_n=(200, 800, 3200, 12800),
        published_n=(100, 200, 300, 500, 700, 1000, 2000),
        fair_n=(125, 250, 500, 1000, 2000),
        fair_repetitions=50,
        important=(1, 2, 5),
        inputs=(5, 10, 20, 30),
        inputs_n=1000,
        nonlinear_n=(500, 1000, 2000, 4000, 8000, 16000),
        nonlinear_repetitions=20,
        kernel_limit=4000,
        market_repetitions=5,
        jobs=2,
    ),
    "full": Sizes(
        linear=(25, 50, 100, 250, 500, 1000, 2000, 5000, 10000, 20000),
        correlated=(25, 50, 100, 250, 500, 1000, 2000, 5000, 10000),
        linear_repetitions=500,
        records=(400, 800, 1600, 3200, 6400),
        records_p=1000,
        cross_validated=(50, 1000, 10000),
        cross_validations=20,
        recovery_n=(50, 100, 200, 400, 800, 1600, 3200),
        recovery_repetitions=500,
        one_environment_n=(200, 800, 3200, 12800, 51200),
        published_n=(100, 200, 300, 500, 700, 1000, 1500, 2000),
        fair_n=(125, 250, 500, 1000, 2000, 4000),
        fair_repetitions=200,
        important=(1, 2, 5),
        inputs=(5, 10, 15, 20, 25, 30),
        inputs_n=4000,
        nonlinear_n=(500, 1000, 2000, 4000, 8000, 16000, 32000),
        nonlinear_repetitions=50,
        kernel_limit=8000,
        market_repetitions=30,
        jobs=-1,
    ),
}


class Study:
    """All simulations of one run; every method loads its rows or makes them.

    Parameters
    ----------
    profile : name of a profile, whose ``theory`` field names the size.
    datasets : real data sets of the run; they name the run and change nothing else.
    seed : root seed of all simulations.
    """

    environments: tuple[int, ...] = (1, 2, 4, 8, 16)
    total = 1600
    family = Family()

    def __init__(self, profile: str = "smoke", datasets: Iterable[str] = (), seed: int = 0) -> None:
        self.profile = get_profile(profile)
        size = self.profile.theory
        if size not in SIZES:
            raise InputError(f"profile {profile!r} asks for theory size {size!r}: choose one of {', '.join(SIZES)}")
        if seed < 0:
            raise InputError(f"the simulations' seed is {seed}: give 0 or more")
        self.sizes = SIZES[size]
        self.run = paths.run_name(profile, datasets)
        self.seed = seed
        # No simulation reads the data sets: what one run of the profile made, the others read.
        self.kept = paths.results(self.profile.name) / "theory"

    def linear(self) -> pl.DataFrame:
        """Lasso and oracle at n = 1000, s = 20 as p grows, with strong and with weak signals.

        Columns are independent, or AR(0.5) with signs of the coefficients drawn at random or all equal.
        """
        sizes = self.sizes
        frames = []
        for rho, signs, p in (
            (0.0, EQUAL, sizes.linear), (0.5, RANDOM, sizes.correlated), (0.5, EQUAL, sizes.correlated)
        ):  # fmt: skip
            setting = LinearSetting(
                n=(1000,),
                p=p,
                signals=(STRONG, WEAK),
                rho=rho,
                signs=signs,
                cross_validated=() if rho else sizes.cross_validated,
                cross_validations=sizes.cross_validations,
            )
            make = partial(linear_repetition, setting, self.seed)
            frames.append(self._rows(f"linear-rho{rho:g}-{signs}", setting, make, sizes.linear_repetitions))
        return pl.concat(frames)

    def sample_size(self) -> pl.DataFrame:
        """Lasso and oracle with strong signals as n grows at one p."""
        setting = LinearSetting(n=self.sizes.records, p=(self.sizes.records_p,), signals=(STRONG,))
        make = partial(linear_repetition, setting, self.seed)
        return self._rows("sample-size", setting, make, self.sizes.linear_repetitions)

    def recovery(self) -> pl.DataFrame:
        """EILLS as records per environment and environments grow (Lemma 1)."""
        make = partial(
            recovery_repetition, self.family, self.sizes.recovery_n, self.environments, self.total, self.seed
        )
        grid = [self.family, self.sizes.recovery_n, self.environments, self.total]
        return self._rows("recovery", grid, make, self.sizes.recovery_repetitions)

    def one_environment(self) -> pl.DataFrame:
        """EILLS from one environment and from eight as n grows (Lemma 2)."""
        grid = self.sizes.one_environment_n
        make = partial(one_environment_repetition, self.family, grid, self.seed)
        return self._rows("one-environment", [self.family, grid], make, self.sizes.recovery_repetitions)

    def published(self) -> pl.DataFrame:
        """All methods on the published two-environment example."""
        grid = self.sizes.published_n
        return self._rows(
            "published", grid, partial(published_repetition, grid, self.seed), self.sizes.recovery_repetitions
        )

    def gamma_path(self) -> pl.DataFrame:
        """Coefficients of EILLS on the published example along gamma, n = 1000."""
        make = partial(gamma_repetition, 1000, GAMMAS, self.seed)
        return self._rows("gamma", [1000, GAMMAS], make, self.sizes.recovery_repetitions)

    def shift(self) -> pl.DataFrame:
        """Risk of three predictors when the spurious strengths move (App 9.2)."""
        make = partial(shift_repetition, self.family, 500, 8, SHIFTS, self.seed)
        return self._rows("shift", [self.family, 500, 8, SHIFTS], make, self.sizes.recovery_repetitions)

    def fair(self) -> pl.DataFrame:
        """FAIR selection from one environment and from four, with splines and with linear features."""
        make = partial(fair_repetition, self.sizes.fair_n, 4, self.seed)
        return self._rows("fair", self.sizes.fair_n, make, self.sizes.fair_repetitions)

    def nonlinear_inputs(self) -> pl.DataFrame:
        """Nets and references as the number of inputs grows, for each s."""
        sizes = self.sizes
        return self._nonlinear(
            "nonlinear-p",
            [NonlinearSetting(sizes.inputs_n, sizes.inputs, s, sizes.nonlinear_repetitions) for s in sizes.important],
        )

    def nonlinear_records(self) -> pl.DataFrame:
        """Nets and references as the number of records grows, s = 2 of p = 10."""
        sizes = self.sizes
        settings = [
            NonlinearSetting(n, (10,), 2, sizes.nonlinear_repetitions, kernel=n <= sizes.kernel_limit)
            for n in sorted(sizes.nonlinear_n, reverse=True)
        ]
        return self._nonlinear("nonlinear-n", settings)

    def knowledge(self) -> pl.DataFrame:
        """Share of S* that EILLS, pooled regression and a Lasso find in simulated markets taken as environments."""
        size = {name: getattr(self.profile, name) for name in ("users", "items", "records_per_user")}
        frames = []
        for domain, default in DEFAULT_PARAMETERS.items():
            parameters = replace(default, **size)
            make = partial(knowledge_repetition, domain, parameters, self.environments, self.seed)
            grid = [parameters, self.environments]
            frames.append(self._rows(f"knowledge-{domain}", grid, make, self.sizes.market_repetitions))
        return pl.concat(frames)

    def _rows(self, name: str, grid: object, repetition: Callable[[int], list[Row]], repetitions: int) -> pl.DataFrame:
        parameters: dict[str, object] = {"grid": repr(grid), "repetitions": repetitions, "seed": self.seed}
        what, code = f"theory, {name}", _module(repetition)
        return cached(self.kept, name, parameters, code, lambda: repeat(repetition, repetitions, self.sizes.jobs, what))

    def _nonlinear(self, name: str, settings: list[NonlinearSetting]) -> pl.DataFrame:
        parameters: dict[str, object] = {"settings": [asdict(s) for s in settings], "seed": self.seed}

        def cell(index: int) -> list[Row]:
            return nonlinear_cell(settings[index], self.seed)

        what, code = f"theory, {name}", _module(nonlinear_cell)
        return cached(self.kept, name, parameters, code, lambda: repeat(cell, len(settings), self.sizes.jobs, what))


def _module(made: Callable[..., object]) -> str:
    """Where in the package a simulation is written, as ``theory.lasso``."""
    named = made.func if isinstance(made, partial) else made
    return str(named.__module__).partition(".")[2]

"""The command ``lrrecsys``: expected failures are one sentence on standard error and exit status 2."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lrrecsys_core import __version__
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import MARKETS_VARIABLE, PROFILES, checked_markets
from lrrecsys_core.terminal import say


class _LazyGroup(click.Group):
    """Loads a subcommand's module only when it is asked for, so that ``lrrecsys --help`` stays quick."""

    modules = {"explain": "lrrecsys_core.explain.cli"}

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *self.modules])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in self.modules:
            command: click.Command = getattr(importlib.import_module(self.modules[name]), name)
            return command
        return super().get_command(context, name)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lrrecsys")
def lrrecsys() -> None:
    """LR-Recsys, reproduced: from records to every table and figure of the paper."""


profile_option = click.option(
    "--profile", default="demo", show_default=True, help=f"Size of the run: {', '.join(PROFILES)}."
)


def _split_specs(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Take ``a:path,b:path`` apart; a comma within one data set is not followed by a kind and a colon."""
    return tuple(spec.strip() for text in given for spec in re.split(r",(?=[a-z-]+:)", text) if spec.strip())


datasets_option = click.option(
    "--datasets",
    multiple=True,
    callback=_split_specs,
    metavar="KIND:PATH",
    help="Real data instead of the simulated markets: amazon, yelp-open, tripadvisor-peter, movielens, "
    "movielens-imported, tripadvisor, yelp or table; repeatable, or several separated by commas.",
)


def _ask_markets(context: click.Context, parameter: click.Parameter, given: str | None) -> None:
    """Put the answer where notebooks and their workers inherit it."""
    if given is not None:
        os.environ[MARKETS_VARIABLE] = checked_markets(given)


markets_option = click.option(
    "--markets",
    expose_value=False,
    callback=_ask_markets,
    help="all: every simulated market of the profile, not the first of each domain alone.",
)


@lrrecsys.command()
@profile_option
@datasets_option
@markets_option
@click.option(
    "-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A notebook parameter; repeatable."
)
@click.option("--only", multiple=True, metavar="NOTEBOOK", help="Run this notebook alone (04 or 04_train); repeatable.")
@click.option("--device", help="Train on cpu (the default) or cuda.")
def reproduce(
    profile: str,
    datasets: tuple[str, ...],
    parameters: tuple[tuple[str, str], ...],
    only: tuple[str, ...],
    device: str | None,
) -> None:
    """Run the notebooks in order and write tables, figures, the page and a manifest."""
    if device is not None:
        from lrrecsys_core.training.device import DEVICE_VARIABLE, checked_device

        os.environ[DEVICE_VARIABLE] = checked_device(device)  # notebooks and their workers inherit it
    from lrrecsys_core.app.provenance import other_data
    from lrrecsys_core.app.runner import run_notebooks
    from lrrecsys_core.explain.named_stores import STORES_VARIABLE, stores
    from lrrecsys_core.explain.sources import serving
    from lrrecsys_core.paths import dataset_name, run_name
    from lrrecsys_core.study.run import Run

    read: set[str] = set()
    waiting = list(datasets)

    def load(spec: str) -> None:
        """Read and cut the data as every notebook will, and say what was done on the way."""
        data = Run(profile, (spec,)).split(dataset_name(spec)).dataset
        for note in data.notes:
            say(note, err=True)
        read.update(serving(data))
        waiting.pop()
        if not waiting and (idle := sorted(set(stores()) - read)):
            raise InputError(
                f"{STORES_VARIABLE} names {', '.join(idle)}, which wrote about none of this run's data as this version "
                "asks and cuts them: name the store that did ('lrrecsys explain status'), or leave it out"
            )
        if before := other_data(run_name(profile, datasets), spec):
            say(before, err=True)

    manifest = run_notebooks(profile, datasets, dict(parameters), only=only, as_text=True, load=load)
    say(f"done: {manifest.parent}")


@lrrecsys.command()
@click.argument("spec", metavar="KIND:PATH")
@click.option(
    "--write", "file", type=click.Path(path_type=Path), help="Also write all of it as one Parquet file for table:FILE."
)
def data(spec: str, file: Path | None) -> None:
    """What was found in a data set, and what may be wrong, before any run."""
    from lrrecsys_core.app.look import doubts, found
    from lrrecsys_core.data.split import make_split
    from lrrecsys_core.data.written import write_dataset
    from lrrecsys_core.explain.open import load_data

    dataset = load_data(spec)
    split = make_split(dataset)
    for what, told in found(split).rows():
        say(f"{what:<20}{told}")
    for doubt in doubts(split):
        say(f"{'look at':<20}{doubt}")
    if file is not None:
        write_dataset(dataset, file)
        say(f"{'written':<20}table:{file}")


@lrrecsys.command()
@click.argument("user")
@click.option("--k", default=5, show_default=True, type=click.IntRange(min=1), help="How many items.")
@click.option("--run", default="demo", show_default=True, help="Name of the run that holds the fitted model.")
@click.option("--dataset", default=None, help="Name of the data set within the run (default: its first).")
def recommend(user: str, k: int, run: str, dataset: str | None) -> None:
    """Rank items for USER and show score, both reasons and the attention on each."""
    from lrrecsys_core.study import serve as serving

    say(serving.show(run, user, k, dataset=dataset))


@lrrecsys.command()
@datasets_option
@click.option("--again", is_flag=True, help="Forget the points chosen before.")
@click.option("--whole", is_flag=True, help="Try all points on all training and validation records: takes hours.")
def search(datasets: tuple[str, ...], again: bool, whole: bool) -> None:
    """Choose every model's grid point on validation, for the simulated markets or for each data set named.

    Rows already searched are kept, so an interrupted search goes on where it was.
    """
    from lrrecsys_core.study.search import SearchStudy, already, forget
    from lrrecsys_core.study.search import search as choose

    for spec in datasets or (None,):
        study = SearchStudy(() if spec is None else (spec,), whole=whole)
        if again:
            forget(study)
        elif kept := already(study):
            say(
                f"{study.datasets[0]}: {kept} rows have points under this name and keep them; --again chooses anew",
                err=True,
            )
        for row, point in choose(study).items():
            say(f"{row}: points {point['regression']['point']} and {point['classification']['point']}")


@lrrecsys.command()
@click.argument("name")
@click.option("--run", "profile", default="demo", show_default=True, help="Profile of the run that holds the row.")
@datasets_option
@markets_option
@click.option("--again", is_flag=True, help="Compute the row anew and print the values beside the kept ones.")
def rows(name: str, profile: str, datasets: tuple[str, ...], again: bool) -> None:
    """From a number to its code: model, point, texts, key, file and values of the row NAME."""
    from lrrecsys_core.app.one_row import describe
    from lrrecsys_core.study.study import Study

    for line in describe(Study(profile, datasets), name, again=again):
        say(line)


@lrrecsys.command()
@profile_option
def power(profile: str) -> None:
    """How strong the simulated markets are, and what a run on them could find, on seeds that no report uses."""
    from lrrecsys_core.app.power import write_power

    say(f"done: {write_power(profile)}")


@lrrecsys.command()
@click.option("--run", "chosen", multiple=True, help="Redraw this run alone, for example demo-yelp; repeatable.")
def report(chosen: tuple[str, ...]) -> None:
    """Redraw tables, figures, claims and pages of runs from the aggregates kept beside them, without training."""
    from lrrecsys_core.app.verify import redraw
    from lrrecsys_core.report.drawings import BY_NAME, undrawn
    from lrrecsys_core.report.kept import runs

    stopped = False
    for made in redraw(chosen or runs()):
        if isinstance(made, InputError):
            stopped = True
            say(f"lrrecsys: {made}", err=True)
            continue
        run = made.parent.name
        if made.is_file() and (names := ", ".join(one for one in undrawn(run) if not BY_NAME[one].markets)):
            say(f"not drawn: {names}; {run} kept no numbers for them, `lrrecsys reproduce` collects those there are")
        say(f"done: {made}")
    if stopped:
        sys.exit(2)


@lrrecsys.command()
@click.option("--run", "chosen", multiple=True, help="Verify this run alone; repeatable.")
def verify(chosen: tuple[str, ...]) -> None:
    """Name every table, figure, page and manifest that is stale or was edited by hand; status 1 if there is one."""
    from lrrecsys_core.app.verify import known_runs, problems, problems_above

    names = chosen or known_runs()
    found = [line for run in names for line in problems(run)] + ([] if chosen else problems_above())
    for line in found:
        say(line, err=True)
    if found:
        sys.exit(1)
    say(f"verified: {', '.join(names)}" + ("" if chosen else ", and what is drawn of all"))


@lrrecsys.command()
@click.option("--run", default="demo", show_default=True, help="A finished run on simulated markets.")
def notebooks(run: str) -> None:
    """Store what a finished run's copies of the notebooks show in notebooks/, for readers who run nothing."""
    from lrrecsys_core.app.stored import store

    for path in store(run):
        say(f"done: {path}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: an expected failure becomes one sentence on standard error and status 2."""
    try:
        lrrecsys.main(args=None if arguments is None else list(arguments), prog_name="lrrecsys", standalone_mode=False)
    except InputError as error:
        _refuse(str(error))
    except click.ClickException as error:
        _refuse(error.format_message())
    except OSError as error:
        _refuse(_of_system(error))
    except (click.Abort, KeyboardInterrupt):
        say("interrupted: run the same command again to go on", err=True)
        sys.exit(130)


def _of_system(error: OSError) -> str:
    """What the system refused, in one sentence with path and reason."""
    if error.filename == "standard output":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python fails once more when it flushes at its end
    places = " and ".join(str(place)[-150:] for place in (error.filename, error.filename2) if place is not None)
    reason = error.strerror or str(error) or type(error).__name__
    return f"{places or 'a file or connection'} cannot be used ({reason}): free it, or name another, and run this again"


def _refuse(sentence: str) -> None:
    say(f"lrrecsys: {sentence}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()

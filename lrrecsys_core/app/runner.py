"""Runs the notebooks in order: strict about parameters, safe to kill, and with a manifest of what was done."""

from __future__ import annotations

import ast
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from papermill.exceptions import PapermillExecutionError

from lrrecsys_core import paths
from lrrecsys_core.app import provenance, verify
from lrrecsys_core.app.kernel import OwnKernel
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import all_markets, get_profile
from lrrecsys_core.report.kept import theory_of
from lrrecsys_core.terminal import Watched

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
PARAMETERS_TAG = "parameters"


class NotebookError(InputError):
    """A notebook stopped: the message names the notebook, the cell and the reason."""


def find_notebooks(only: Sequence[str] = ()) -> list[Path]:
    """Return the notebooks in running order, or those of them named in `only` (``04_train`` or ``04``).

    Raises
    ------
    InputError
        There are none, or a name fits none of them.
    """
    found = sorted(paths.notebooks().glob("[0-9]*.ipynb"))
    if not found:
        raise InputError(f"there are no notebooks in {paths.notebooks()}")
    chosen = [path for path in found if not only or path.stem in only or path.stem.partition("_")[0] in only]
    for name in only:
        if not any(name in (path.stem, path.stem.partition("_")[0]) for path in chosen):
            raise InputError(f"there is no notebook {name!r}: choose among {', '.join(path.stem for path in found)}")
    return chosen


def notebook_parameters(path: Path) -> dict[str, Value]:
    """Return names and default values of the parameters cell of a notebook.

    Raises
    ------
    InputError
        The notebook cannot be read, or its parameters cell is missing or holds anything but ``name = literal`` lines.
    """
    try:
        cells = nbformat.read(path, as_version=4).cells
    except (OSError, ValueError) as error:
        raise InputError(f"notebook {path.name} cannot be read: {error}") from error
    sources = [cell.source for cell in cells if PARAMETERS_TAG in cell.metadata.get("tags", [])]
    if len(sources) != 1:
        raise InputError(f"notebook {path.name} needs one cell tagged {PARAMETERS_TAG!r}, and has {len(sources)}")
    defaults: dict[str, Value] = {}
    try:
        for line in ast.parse(sources[0]).body:
            match line:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    defaults[name] = ast.literal_eval(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    defaults[name] = ast.literal_eval(value)
                case _:
                    raise ValueError(f"line {line.lineno}")
    except (SyntaxError, ValueError) as error:
        raise InputError(
            f"the parameters cell of {path.name} may hold only 'name = literal' lines ({error})"
        ) from error
    return defaults


def parse_value(text: str, default: Value, name: str) -> Value:
    """Read the text of a parameter given on the command line as a value of the type of its default."""
    if isinstance(default, str):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"parameter {name!r} must be {type(default).__name__} written as JSON, not {text!r}"
        ) from error


def check_parameters(given: Mapping[str, object], defaults: Mapping[str, Value], where: str) -> None:
    """Refuse parameters that no notebook declares or whose type is not that of the declared default.

    An int stands for a float; nothing else is converted, because papermill would turn unknown types into text silently.

    Raises
    ------
    InputError
    """
    for name, value in given.items():
        if name not in defaults:
            raise InputError(f"{where}: no parameter {name!r}: choose among {', '.join(defaults) or 'none'}")
        default = defaults[name]
        fits = type(value) is type(default) or (type(value) is int and type(default) is float) or default is None
        if not fits or not _plain(value):
            expected = type(default).__name__
            raise InputError(
                f"parameter {name!r} of {where} must be {expected}, not {value!r} ({type(value).__name__})"
            )


def run_notebooks(
    profile: str,
    datasets: Sequence[str] = (),
    parameters: Mapping[str, Value | str] | None = None,
    *,
    only: Sequence[str] = (),
    as_text: bool = False,
    load: Callable[[str], object] | None = None,
    progress: bool = True,
) -> Path:
    """Execute the notebooks in order into ``results/<run>/notebooks/`` and return the path of the run's manifest.

    Everything is checked before anything runs. The run stops at the first cell that fails. A notebook's copy and the
    manifest are replaced in one step each, and notebooks keep their own work in cells written the same way, so a run
    that was killed is taken up by running it again.

    Parameters
    ----------
    profile : passed to every notebook; also names the run.
    datasets : ``"kind:path"`` of real data sets; paths relative to the working directory. Empty: the simulated markets.
    parameters : further parameters, given to each notebook that declares them.
    only : names of the notebooks to run (default all).
    as_text : the values in `parameters` are text from a command line, to be read by the type of each default.
    load : called with each data set before anything is written, to complain about bad data early.
    progress : show on standard error what is done of all, and how long the rest will take.

    Raises
    ------
    InputError
        Unknown profile, notebook, data path, store of texts, or demand for markets; unknown or ill-typed parameter;
        output folder not writable.
    NotebookError
        A cell failed.
    """
    get_profile(profile)
    all_markets()  # refuses what cannot be asked for
    specs = [_absolute(spec) for spec in datasets]
    notebooks = find_notebooks(only)
    declared = {path: notebook_parameters(path) for path in notebooks}
    everything = {name: default for defaults in declared.values() for name, default in defaults.items()}
    values: dict[str, Any] = dict(parameters or {})
    for fixed in ("profile", "datasets"):
        if fixed in values:
            raise InputError(f"give {fixed!r} by --{fixed}, not among the parameters")
    if as_text:
        check = {name: everything[name] for name in values if name in everything}
        values = {
            name: parse_value(text, check[name], name) if name in check else text for name, text in values.items()
        }
    check_parameters(values, everything, "no notebook" if not everything else "the notebooks")
    values = {"profile": profile, "datasets": specs, **values}
    for path, defaults in declared.items():
        check_parameters({name: value for name, value in values.items() if name in defaults}, defaults, path.stem)

    if load:
        for spec in specs:
            load(spec)
    texts = _named_texts()
    run = paths.run_name(profile, specs)
    with paths.locked(run):
        return _run_all(run, profile, specs, declared, values, texts, progress)


def _run_all(
    run: str, profile: str, specs: list[str], declared: dict[Path, dict[str, Value]], values: dict[str, Any],
    texts: dict[str, Path], progress: bool,
) -> Path:  # fmt: skip
    """Execute notebooks whose parameters are checked, and keep the manifest up to date."""
    folder = paths.writable(paths.results(run) / "notebooks")
    manifest = paths.results(run) / "manifest.json"
    for variable in provenance.THREAD_VARIABLES:  # kernels and their workers inherit it: sums come out in one order
        os.environ.setdefault(variable, "1")
    record = provenance.describe(profile, specs, {k: v for k, v in values.items() if k != "datasets"})
    record["texts"] = {name: paths.digest(place) for name, place in texts.items()}
    everything = find_notebooks()
    others = [path for path in everything if path not in declared]
    record["notebooks"] = provenance.carried_over(manifest, record, others)
    order = list(declared)
    try:
        for place, path in enumerate(order):
            about = {"source": provenance.source(path), "package": record["package"]}
            own = {name: value for name, value in values.items() if name in declared[path]}
            with Watched(f"run {run}, {path.stem}", folder.parent / ".progress", progress) as shown:
                for coming in order[place + bool(place) : place + 2]:
                    OwnKernel.prepare(coming)
                done = _execute(path, folder / path.name, own, shown.look)
            record["notebooks"][path.stem] = {**about, **done}
            paths.write_json(manifest, record)
    finally:
        OwnKernel.dismiss()
    record["status"] = provenance.status(record["notebooks"], everything)
    record["outputs"] = provenance.outputs(run)
    paths.write_json(manifest, record)
    for name in (run, theory_of(run)):
        verify.record(name)
    if verify.shown_above(run):
        verify.draw_above()
    return manifest


def _execute(source: Path, target: Path, parameters: dict[str, Any], look: Callable[[int], None]) -> dict[str, float]:
    """Run one notebook; return its wall time (s) and the peak memory (MiB) of its kernel and that kernel's children."""
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    memory = _PeakMemory(look)
    start = time.perf_counter()
    failed = target.with_name(f"{target.stem}.failed.ipynb")
    failed.unlink(missing_ok=True)
    # papermill saves after every cell; only a finished copy may stand under the notebook's name.
    with memory, paths.replacing(target) as partial:
        failure = _executed(source, partial, parameters)
        if failure and partial.exists():
            os.replace(partial, failed)
        if failure:
            raise NotebookError(f"{failure}; the stopped copy is {failed}")
    return {"seconds": round(time.perf_counter() - start, 2), "peak_memory_mib": round(memory.peak / 2**20, 1)}


def _executed(source: Path, partial: Path, parameters: dict[str, Any]) -> str:
    """Run one notebook, saved as `partial` after every cell; return why it stopped, or ""."""
    try:
        papermill.execute_notebook(
            _as_it_is(source),
            _as_it_is(partial),
            parameters=parameters,
            kernel_name="python3",
            kernel_manager_class=OwnKernel,
            cwd=str(source.parent),
            progress_bar=False,
            log_output=False,
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except PapermillExecutionError as error:
        reason = next((line for line in str(error.evalue).splitlines() if line.strip()), "no message")
        # papermill has put one cell of its own before this one when there were parameters to inject
        where = f"cell {error.cell_index + 1 - bool(parameters)} ({_first_line(error.source)})"
        return f"notebook {source.stem} stopped in {where}: {error.ename}: {reason}"
    except OSError as error:
        raise InputError(
            f"notebook {source.stem} could not be read or written: {error.strerror or error} ({error.filename})"
        ) from error
    except Exception as error:  # a kernel that died raises one of several unrelated classes
        return f"notebook {source.stem} stopped with its kernel ({error}); if memory ran out, use a smaller profile"
    return ""


def _as_it_is(path: Path) -> str:
    """A path as papermill takes it, which fills in whatever stands between braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


class _PeakMemory:
    """Samples the resident memory (bytes) of this process's children while the block runs, and reports it."""

    def __init__(self, report: Callable[[int], None], every: float = 0.5) -> None:
        self.peak = 0
        self._report = report
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(self._every):
            total = 0
            waiting = {process.pid for process in OwnKernel.waiting}
            for child in own.children(recursive=True):
                if child.pid in waiting:
                    continue
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)
            self._report(total)


def _first_line(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip() and not line.startswith("#")), "empty")


def _named_texts() -> dict[str, Path]:
    """The stores that the environment names; its relative paths, the encoder's too, become absolute, as for data."""
    from lrrecsys_core.explain.embeddings import ENCODER_VARIABLE
    from lrrecsys_core.explain.named_stores import STORES_VARIABLE, listed, stores

    named = stores()
    if named:
        os.environ[STORES_VARIABLE] = listed(named.values())
    encoder = os.environ.get(ENCODER_VARIABLE)
    if encoder and Path(encoder).is_dir():
        os.environ[ENCODER_VARIABLE] = str(Path(encoder).resolve())
    return {model: Path(store.path) for model, store in named.items()}


def _absolute(spec: str) -> str:
    """Make the paths of ``kind:path`` absolute, because notebooks run in another folder than the caller."""
    kind, colon, place = spec.partition(":")
    if not kind or not colon or not place:
        raise InputError(f"data set {spec!r} must be written kind:path, for example movielens:data/ml-latest-small")
    found, query = provenance.data_paths(spec)
    for path in found:
        if not path.exists():
            raise InputError(f"data set {spec!r}: there is no file or folder {str(path)!r}")
    return f"{kind}:{','.join(str(path.resolve()) for path in found)}{query}"


def _plain(value: object) -> bool:
    """Whether papermill passes the value on as it is."""
    match value:
        case None | bool() | int() | float() | str():
            return True
        case list():
            return all(_plain(entry) for entry in value)
        case dict():
            return all(isinstance(key, str) and _plain(entry) for key, entry in value.items())
        case _:
            return False

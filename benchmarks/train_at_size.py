"""Training at the size of the paper's largest release: seconds per million records beside those of a small set.

Records are made, not read: users sorted as `make_split` leaves them, items long-tailed, two codes of eight numbers each
in a Parquet file. One network at a time, the step not compiled.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import torch
from scipy.optimize import minimize

from benchmarks.record import apart, load, machine, spent
from benchmarks.scale_amazon import long_tailed
from lrrecsys_core import paths
from lrrecsys_core.data.releases import RELEASES
from lrrecsys_core.errors import InputError
from lrrecsys_core.models import biases
from lrrecsys_core.models.base import Recommender, Sizes
from lrrecsys_core.models.biased_mf import BiasedMF
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.models.sequential.sasrec import SASRec
from lrrecsys_core.training.fit import Replicate, as_tensors
from lrrecsys_core.training.stack import Stack, Stepper

STEPS, TURN, BATCH, SMALL = 2_000, 50, 128, 100_000
MODELS: dict[str, type[Recommender]] = {model.name: model for model in (LRRecsys, SASRec, BiasedMF)}
BIASES = "Residual biases"
_MODULE = "benchmarks.train_at_size"
_LARGE = RELEASES["amazon-2023-movies"]
SIZES = {"small": (SMALL, 9_765, 6_280), "large": (_LARGE.records, _LARGE.users, _LARGE.items)}
_CONDITIONS = (
    f"made records, one network at a time, step not compiled, one thread, batches of {BATCH} at random, both sizes by"
    " turns; what is prepared before the first step is told apart. An epoch is all records once. Residual biases: a fit"
    " of one pair of priors, in so many evaluations of loss and gradient"
)


def main(steps: int = STEPS, *names: str) -> None:
    """Measure every model, or those named, at both sizes and write what is known so far to ``train_at_size.json``."""
    place = paths.root() / "results" / "bench" / "train_at_size.json"
    about: dict[str, Any] = {"name": "train_at_size", "conditions": f"{_CONDITIONS}; {machine()}"}
    about["large"] = dict(zip(("records", "users", "items"), SIZES["large"], strict=True))
    before = json.loads(place.read_text(encoding="utf-8")) if place.is_file() and names else about | {"models": []}
    if before["conditions"] != about["conditions"]:
        raise InputError(f"{place.name} was measured otherwise: run this benchmark without names, for all models.")
    kept = before["models"]
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            apart(_MODULE, "make", folder, size)
        for name in names or (*MODELS, BIASES):
            row = {"model": name, "steps": 0 if name == BIASES else steps, "load_average": load()}
            row |= apart(_MODULE, name, folder, steps)
            small, large = (row[size]["cpu_seconds_per_million"] for size in SIZES)
            whole = "a_fit" if name == BIASES else "an_epoch"
            row |= {"times_small": large / small, f"cpu_hours_{whole}": large * _LARGE.records / 1e6 / 3600}
            kept = [one for one in kept if one["model"] != name] + [row]
            paths.write_json(place, about | {"models": kept})
            print(f"train_at_size: {row}", flush=True)


def make(folder: Path, size: str) -> dict[str, int]:
    """Write the records of a size as ``<size>.parquet``."""
    (records, users, items), rng = SIZES[size], np.random.default_rng(0)
    stars = rng.choice(5, records, p=[0.1, 0.06, 0.1, 0.18, 0.56])
    frame = pl.DataFrame(
        {
            "user": np.sort(1 + long_tailed(rng, records, users)),
            "item": 1 + long_tailed(rng, records, items),
            "history": 1 + (items * rng.random((records, 5)) ** 2).astype(np.int64),
            "target": (stars / 4).astype(np.float32),
            "liked": (stars >= 3).astype(np.float32),
            "positive": rng.standard_normal((records, 8), np.float32),
            "negative": rng.standard_normal((records, 8), np.float32),
        }
    )
    frame.write_parquet(folder / f"{size}.parquet", compression="uncompressed")
    return {"records": frame.height}


def read(folder: Path, size: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Columns of the records of a size."""
    return {name: pl.read_parquet(folder / f"{size}.parquet", columns=[name])[name].to_numpy() for name in names}


def steps_of(name: str, folder: Path, steps: int) -> dict[str, dict[str, float]]:
    """So many steps of one network at both sizes, some of the one and some of the other by turns, as `fit` takes them.

    By turns, so that whatever else the machine does slows both alike.
    """
    found: dict[str, dict[str, float]] = {}
    steppers, weight = {}, torch.ones(1, BATCH)
    for size, (records, users, items) in SIZES.items():
        began = spent()
        torch.manual_seed(0)
        module = MODELS[name](Sizes(users + 1, items + 1))
        stored = tuple(field for field in (*module.reads, "target", "liked") if field != "history_mask")
        fields = as_tensors(read(folder, size, stored))
        fields["history_mask"] = torch.ones(records, 5, dtype=torch.bool)
        chosen = np.random.default_rng(1).integers(0, records, steps * BATCH)
        stack = Stack([module], [fields], [Replicate(0, chosen, chosen[:0])], torch.device("cpu"))
        steppers[size] = Stepper(stack, "loss", "adam", compiled=False), torch.from_numpy(chosen).view(steps, 1, BATCH)
        found[size] = {"cpu_seconds_per_million": 0.0, "seconds_per_million": 0.0}
        found[size]["prepare_cpu_seconds"] = began()["cpu_seconds"]
        steppers[size][0](steppers[size][1][0], weight, {})  # the first step of a process is slower
    for low in range(0, steps, TURN):
        for size, (step, orders) in steppers.items():
            began = spent()
            for order in orders[low : low + TURN]:
                step(order, weight, {})
            taken = began()
            for clock in ("cpu_seconds", "seconds"):
                found[size][f"{clock}_per_million"] += taken[clock] / steps / BATCH * 1e6
            found[size]["peak_gib"] = taken["peak_gib"]
    return found


def biases_of(folder: Path) -> dict[str, dict[str, float]]:
    """Residual biases of one pair of priors at both sizes."""
    found = {}
    for size, (records, users, items) in SIZES.items():
        made = read(folder, size, ("user", "item", "target"))
        split: Any = SimpleNamespace(**made, train=np.arange(records), n_users=users + 1, n_items=items + 1)
        solved: list[Any] = []

        def solver(*given: Any, solved: list[Any] = solved, **options: Any) -> Any:
            solved.append(minimize(*given, **options))
            return solved[-1]

        with patch.object(biases, "minimize", solver):
            began = spent()
            biases.fit_biases(split, 10.0, 10.0)
            taken = began()
        found[size] = {f"{k}_per_million": taken[k] / records * 1e6 for k in ("cpu_seconds", "seconds")}
        found[size] |= {"evaluations": solved[0].nfev, "peak_gib": taken["peak_gib"]}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    kind, *given = sys.argv[1:] or [str(STEPS)]
    if kind == "make":
        print(json.dumps(make(Path(given[0]), given[1])))
    elif kind == BIASES:
        print(json.dumps(biases_of(Path(given[0]))))
    elif kind in MODELS:
        print(json.dumps(steps_of(kind, Path(given[0]), int(given[1]))))
    else:
        main(int(kind), *given)

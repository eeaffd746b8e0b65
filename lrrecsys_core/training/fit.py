"""Train R replicates of one model in one pass.

A replicate is one independently seeded run: its own initial weights, record order, task, learning rate and, when
markets differ, its own records. All replicates advance together: dense parameters are stacked, the step is
vectorised with `torch.func.vmap`, and of each per-entity table only the rows a batch touches are read and written.

Choice of optimiser. Dense parameters follow Adam; table rows follow the lazy variant (`torch.optim.SparseAdam`): a
row that a batch does not touch keeps its weight and its moments. Row 0 (unseen in training) never moves. The plain
loop of `training.reference` makes the same choice, and `fit` gives the same numbers replicate by replicate.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from lrrecsys_core.errors import InputError
from lrrecsys_core.models.base import Recommender
from lrrecsys_core.training.device import checked_device
from lrrecsys_core.training.stack import Fields, Replicate, Stack, Stepper, cast

__all__ = ["Fields", "Fit", "Replicate", "as_tensors", "fit", "predict"]
Model = TypeVar("Model", bound=Recommender)
EVALUATION_ROWS = 4096
# A compiled step is bound to the number of replicates, so finished ones run along until the steps they take for nothing
# have cost about what compiling anew does: at worst that is twice what the better choice would have been.
IDLE_STEPS = 20_000
RECOMPILES = 512  # one compiled step per network and number of replicates; the default of 8 would fall back to eager


@dataclass
class Fit(Generic[Model]):
    """What `fit` returns: one plain module per replicate, holding its best state, and how it got there.

    `epochs` counts the epochs up to the best validation loss; `curves` holds the validation loss of every epoch.
    """

    modules: list[Model]
    epochs: list[int]
    curves: list[list[float]]
    seconds: float
    examples: int


def can_compile() -> bool:
    """Whether a C++ compiler, which `torch.compile` needs on a CPU, is on the path."""
    return any(shutil.which(name) for name in ("g++", "c++", "clang++"))


def fit(
    modules: Sequence[Model],
    fields: Sequence[Fields],
    replicates: Sequence[Replicate],
    *,
    epochs: int = 100,
    pretrain_epochs: int = 100,
    batch_size: int = 128,
    patience: int = 5,
    optimizer: str = "adam",
    compiled: bool = False,
    device: str = "cpu",
) -> Fit[Model]:
    """Train one module per replicate, side by side.

    Parameters
    ----------
    modules : freshly built modules of one class and shape, one per replicate.
    fields : record fields of each replicate, tensors (N, ...); replicates may share one mapping.
    replicates : seeds, tasks, record numbers and step sizes.
    epochs, patience : early stopping per replicate: the best validation loss wins, `patience` epochs without a better
        one end the run. The validation loss is the task's own (MSE or BCE).
    pretrain_epochs : at most so many epochs of ``pretrain_loss`` first, for modules with ``pretrains``; stopped by
        the same rule on the native loss.
    optimizer : "adam", or "sgd" for the plain gradient descent of Eq 5 and Algorithm 1.
    compiled : compile the step, which takes 10 to 140 seconds and makes it 1.4 to 4 times as fast; finished replicates
        then run along for a while, and sums round otherwise. Without a C++ compiler it stays eager, and warns.
    device : where tensors live, "cpu" or "cuda".

    Returns
    -------
    Fit
        The same modules, holding each replicate's best state, in evaluation mode.

    Raises
    ------
    InputError
        If the optimiser is unknown, the device is not there, a needed field is missing, a replicate has nothing to
        train on, or its loss never becomes finite. Where it is finite at first and then no more, a `RuntimeWarning`.
    """
    if optimizer not in ("adam", "sgd"):
        raise InputError(f"unknown optimizer {optimizer!r}: choose 'adam' or 'sgd'.")
    if not len(modules) == len(fields) == len(replicates):
        raise InputError(
            f"fit got {len(modules)} modules, {len(fields)} field sets and {len(replicates)} replicates: "
            "pass one of each per run."
        )
    for replicate in replicates:
        if not len(replicate.train):
            raise InputError(f"the replicate with seed {replicate.seed} has no training records: check the split.")
    checked_device(device)
    if compiled:
        torch._dynamo.config.recompile_limit = RECOMPILES
        torch._dynamo.config.accumulated_recompile_limit = RECOMPILES
    if compiled and not can_compile():
        compiled = False
        warnings.warn(
            "no C++ compiler found: networks train without compiling their step, which is slower and rounds otherwise.",
            RuntimeWarning, stacklevel=2,
        )  # fmt: skip
    started = time.perf_counter()
    seen = 0
    if modules[0].pretrains:
        twin = _twins(modules, fields, replicates)
        first = sorted(set(twin))
        leaders = [modules[k] for k in first]
        stack = Stack(leaders, [fields[k] for k in first], [replicates[k] for k in first], torch.device(device))
        _, _, states, count = _stage(
            stack, leaders, "pretrain_loss", pretrain_epochs, batch_size, patience, optimizer, compiled
        )
        seen += count
        for module, leader in zip(modules, twin, strict=True):
            module.load_state_dict(states[first.index(leader)], strict=False)
            module.prepare_rating_stage()
    stack = Stack(modules, fields, replicates, torch.device(device))
    best, curves, states, count = _stage(stack, modules, "loss", epochs, batch_size, patience, optimizer, compiled)
    for module, state in zip(modules, states, strict=True):
        module.load_state_dict(state, strict=False)
        module.eval()
    return Fit(list(modules), best, curves, time.perf_counter() - started, seen + count)


def _twins(modules: Sequence[Model], fields: Sequence[Fields], replicates: Sequence[Replicate]) -> list[int]:
    """Whose pre-training each module shares: the first that starts and goes on exactly like it, often itself.

    Two tasks of one seed are such twins where the native loss knows nothing of ratings.
    """
    if modules[0].pretrain_reads_outcome:
        return list(range(len(modules)))
    twin: list[int] = []
    for k, (module, own, run) in enumerate(zip(modules, fields, replicates, strict=True)):
        for j in dict.fromkeys(twin):
            other = replicates[j]
            same_run = (run.seed, run.lr, run.weight_decay) == (other.seed, other.lr, other.weight_decay)
            same_records = own is fields[j] and run.train is other.train and run.validation is other.validation
            if same_run and same_records and _equal(module, modules[j]):
                twin.append(j)
                break
        else:
            twin.append(k)
    return twin


def _equal(left: Recommender, right: Recommender) -> bool:
    """Whether two modules of one class have the same weights."""
    return all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))


def _orders(stack: Stack, generators: Sequence[np.random.Generator], batch_size: int) -> tuple[Tensor, Tensor]:
    """Shuffled record numbers (R, steps * batch_size) of one epoch, padded, and the weight that marks real ones."""
    longest = max(len(r.train) for r in stack.replicates)
    width = -(-longest // batch_size) * batch_size
    order = np.zeros((stack.count, width), dtype=np.int64)
    weight = np.zeros((stack.count, width))
    for row, (replicate, rng) in enumerate(zip(stack.replicates, generators, strict=True)):
        order[row, : len(replicate.train)] = rng.permutation(replicate.train)
        weight[row, : len(replicate.train)] = 1.0
    return torch.from_numpy(order).to(stack.device), torch.from_numpy(weight).to(stack.device, stack.dtype)


def _drawn(
    stack: Stack,
    modules: Sequence[Recommender],
    counts: Sequence[int],
    generators: Sequence[np.random.Generator],
    width: int,
) -> dict[str, Tensor]:
    """Each replicate's random fields, (R, width, ...), zero where a replicate has fewer records."""
    parts = [m.draws(n, rng) for m, n, rng in zip(modules, counts, generators, strict=True)]
    out = {}
    for name, values in parts[0].items():
        block = np.zeros((stack.count, width, *values.shape[1:]), dtype=values.dtype)
        for row, part in enumerate(parts):
            block[row, : len(part[name])] = part[name]
        out[name] = cast(torch.from_numpy(block), stack.dtype).to(stack.device)
    return out


def _validation_loss(stack: Stack, modules: Sequence[Recommender], method: str) -> Tensor:
    """Mean `method` loss (R,) over each replicate's validation records."""
    longest = max(len(r.validation) for r in stack.replicates)
    index = np.zeros((stack.count, longest), dtype=np.int64)
    weight = np.zeros((stack.count, longest))
    for row, replicate in enumerate(stack.replicates):
        index[row, : len(replicate.validation)] = replicate.validation
        weight[row, : len(replicate.validation)] = 1.0
    generators = [np.random.default_rng([r.seed, 1]) for r in stack.replicates]
    drawn = _drawn(stack, modules, [len(r.validation) for r in stack.replicates], generators, longest)
    numbers = torch.from_numpy(index).to(stack.device)
    weights = torch.from_numpy(weight).to(stack.device, stack.dtype)
    total = torch.zeros(stack.count, device=stack.device, dtype=stack.dtype)
    for low in range(0, longest, EVALUATION_ROWS):
        part = slice(low, low + EVALUATION_ROWS)
        losses = stack.evaluate(method, numbers[:, part], weights[:, part], {n: v[:, part] for n, v in drawn.items()})
        total += losses * weights[:, part].sum(1)
    return total / weights.sum(1).clamp_min(1.0)


def _stage(
    stack: Stack,
    modules: Sequence[Recommender],
    method: str,
    epochs: int,
    batch_size: int,
    patience: int,
    optimizer: str,
    compiled: bool,
) -> tuple[list[int], list[list[float]], list[dict[str, Tensor]], int]:
    """Run one loss to its early stop; returns best epochs, curves, best states and the examples seen."""
    total = stack.count
    monitored = "own_loss" if method == "loss" else method
    generators = [np.random.default_rng([r.seed, 0]) for r in stack.replicates]
    members = list(range(total))
    best_loss = [float("inf")] * total
    best_epoch, curves = [0] * total, [[] for _ in range(total)]  # type: tuple[list[int], list[list[float]]]
    states = [stack.state(k) for k in range(total)]
    validated = all(len(r.validation) for r in stack.replicates)
    step, seen, idle = Stepper(stack, method, optimizer, compiled), 0, 0
    for epoch in range(1, epochs + 1):
        local = [modules[k] for k in members]
        order, weight = _orders(stack, generators, batch_size)
        drawn = _drawn(stack, local, [len(r.train) for r in stack.replicates], generators, order.shape[1])
        for low in range(0, order.shape[1], batch_size):
            part = slice(low, low + batch_size)
            step(order[:, part], weight[:, part], {n: v[:, part] for n, v in drawn.items()})
        seen += sum(len(r.train) for r in stack.replicates)
        if not validated:
            continue
        losses = _validation_loss(stack, local, monitored).tolist()
        for position, (member, loss) in enumerate(zip(members, losses, strict=True)):
            curves[member].append(loss)
            if loss < best_loss[member] and epoch - best_epoch[member] <= patience:
                best_loss[member], best_epoch[member], states[member] = loss, epoch, stack.state(position)
        alive = [p for p, member in enumerate(members) if epoch - best_epoch[member] < patience]
        if not alive:
            break
        idle += (len(members) - len(alive)) * (order.shape[1] // batch_size)
        if len(alive) < len(members) and (not compiled or idle >= IDLE_STEPS):
            stack.keep(alive)
            members, generators = [members[p] for p in alive], [generators[p] for p in alive]
            idle = 0
    if not validated:
        states, best_epoch = [stack.state(k) for k in range(total)], [epochs] * total
    for k, state in enumerate(states):
        if (validated and not np.isfinite(best_loss[k])) or not all(bool(v.isfinite().all()) for v in state.values()):
            raise InputError(
                f"{type(modules[0]).__name__} diverged in replicate {k}: no epoch had a finite loss; "
                "lower its learning rate."
            )
    lost = [k for k, curve in enumerate(curves) if not np.isfinite(curve[: best_epoch[k] + patience]).all()]
    if lost:
        warnings.warn(
            f"{type(modules[0]).__name__}: the validation loss of replicates {lost} of {total} ceased to be a number; "
            "they stay at their best epoch before, which a lower learning rate may improve.",
            RuntimeWarning, stacklevel=3,
        )  # fmt: skip
    return best_epoch, curves, states, seen


def as_tensors(fields: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Record fields as tensors, ready for `fit` and `predict`."""
    return {name: torch.from_numpy(np.array(value)) for name, value in fields.items()}


def predict(module: Recommender, fields: Fields, rows: np.ndarray, method: str = "forward") -> np.ndarray:
    """Predicted outcomes in [0, 1] of the records `rows`; or another per-record output, such as "attention"."""
    module.eval()
    dtype = next(module.parameters()).dtype
    wanted = [name for name in module.reads if name in fields]
    out = []
    with torch.no_grad():
        for low in range(0, len(rows), EVALUATION_ROWS):
            chosen = torch.from_numpy(np.array(rows[low : low + EVALUATION_ROWS]))
            value = getattr(module, method)({name: cast(fields[name][chosen], dtype) for name in wanted})
            out.append((torch.sigmoid(value) if method == "forward" else value).numpy())
    return np.concatenate(out) if out else np.zeros(0)

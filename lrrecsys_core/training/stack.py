"""R replicates of one model as one stack of tensors, and the optimiser step that moves them all.

Dense parameters are stacked; tables with one row per user or item lie end to end, and a step gathers just the rows a
batch looks up, hands the module that small table with the ids renumbered to match, and writes the new rows back. The
cost of a step does not depend on how many users there are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from lrrecsys_core.errors import InputError
from lrrecsys_core.models.base import Batch, Recommender
from lrrecsys_core.models.layers import Noise, set_noise

Fields = Mapping[str, Tensor]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Replicate:
    """One run: seed, task, record numbers to train and validate on, step size, L2 weight.

    Without validation records the run lasts all epochs and keeps its last state.
    """

    seed: int
    train: np.ndarray
    validation: np.ndarray
    task: str = "regression"
    lr: float = 0.01
    weight_decay: float = 0.0


def take(values: Tensor, index: Tensor) -> Tensor:
    """Rows (..., *) of `values` at `index` (...); `index_select` costs a quarter of what indexing does."""
    return values.index_select(0, index.flatten()).view(*index.shape, *values.shape[1:])


class Pool:
    """One record field or frozen table of all replicates, resident: once when they share it, else end to end."""

    def __init__(self, parts: Sequence[Tensor], device: torch.device) -> None:
        shared = all(part is parts[0] for part in parts)
        starts = [0] * len(parts) if shared else np.cumsum([0, *(len(p) for p in parts[:-1])]).tolist()
        self.values = (parts[0] if shared else torch.cat(list(parts))).to(device)
        self.start = torch.tensor(starts, device=device).unsqueeze(1)

    def rows(self, index: Tensor) -> Tensor:
        """Rows (R, K, ...) of `index` (R, K)."""
        return take(self.values, index + self.start)


class Call(nn.Module):
    """Lets `functional_call` reach any method of a module."""

    def __init__(self, module: Recommender) -> None:
        super().__init__()
        self.module = module

    def forward(self, method: str, batch: Batch) -> Tensor:
        return getattr(self.module, method)(batch)


def cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if value.is_floating_point() else value


class Stack:
    """The replicates' parameters, optimiser state and records, and the steps that move them."""

    def __init__(
        self,
        modules: Sequence[Recommender],
        fields: Sequence[Fields],
        replicates: Sequence[Replicate],
        device: torch.device,
    ) -> None:
        first = modules[0]
        for module, replicate in zip(modules, replicates, strict=True):
            set_noise(module, replicate.seed)
        self.steps = [f"{name}.step" for name, layer in first.named_modules() if isinstance(layer, Noise)]
        self.device, self.replicates = device, list(replicates)
        self.count, self.entities = len(modules), first.entities
        self.call = Call(copy.deepcopy(first)).to(device)
        row_tables = first.row_tables()
        parameters = [dict(m.named_parameters()) for m in modules]
        buffers = [dict(m.named_buffers()) for m in modules]
        self.dtype = next(iter(parameters[0].values())).dtype
        self.dense = {
            name: torch.stack([p[name].detach() for p in parameters]).to(device)
            for name in parameters[0]
            if name not in row_tables
        }
        self.tables = {
            name: torch.cat([p[name].detach() for p in parameters]).to(device)
            for name in parameters[0]
            if name in row_tables
        }
        self.frozen = {n: Pool([b[n] for b in buffers], device) for n in buffers[0] if n in row_tables}
        self.table_entity = row_tables
        self.lookups = {name: first.lookups(name) for name in row_tables}
        self.constants = {n: torch.stack([b[n] for b in buffers]).to(device) for n in buffers[0] if n not in row_tables}
        wanted = {*first.reads, "target", "liked"} & set(fields[0])
        missing = set(first.reads) - set(fields[0])
        if missing:
            raise InputError(
                f"{type(first).__name__} reads the record fields {sorted(missing)}, which it was not given: "
                "pass the fields of Split.fields together with its own record_fields."
            )
        self.fields: dict[str, Pool] = {}
        for name in sorted(wanted):
            if all(f[name] is fields[0][name] for f in fields):
                parts = [cast(fields[0][name], self.dtype)] * self.count
            else:
                parts = [cast(f[name], self.dtype) for f in fields]
            self.fields[name] = Pool(parts, device)
        self.entities_used = sorted(set(row_tables.values()))
        self.starts = {
            name: torch.arange(self.count, device=device).unsqueeze(1) * (len(table) // self.count)
            for name, table in self.tables.items()
        }
        self.classification = torch.tensor(
            [float(r.task == "classification") for r in replicates], device=device, dtype=self.dtype
        )
        self.lr = torch.tensor([r.lr for r in replicates], device=device, dtype=self.dtype)
        self.decay = torch.tensor([r.weight_decay for r in replicates], device=device, dtype=self.dtype)
        self.lr_scale, self.decay_scale, self.nonnegative = first.lr_scale, first.decay_scale, first.nonnegative
        self.restart()

    def restart(self) -> None:
        """Fresh optimiser state."""
        everything = {**self.dense, **self.tables}
        self.mean = {name: torch.zeros_like(value) for name, value in everything.items()}
        self.square = {name: torch.zeros_like(value) for name, value in everything.items()}
        self.scratch = {name: torch.zeros_like(value) for name, value in self.tables.items()}
        self.taken = torch.zeros(self.count, device=self.device, dtype=self.dtype)

    def batch(self, index: Tensor, weight: Tensor, drawn: Fields) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Record fields (R, B, ...) of record numbers `index` (R, B), renumbered, and the row numbers behind them."""
        batch = {name: pool.rows(index) for name, pool in self.fields.items()}
        batch.update(drawn)
        liked, target = batch.pop("liked"), batch["target"]
        batch["target"] = torch.where(self.classification.unsqueeze(1) > 0, liked, target)
        batch["weight"] = weight
        batch["classification"] = self.classification
        real = (weight > 0).unsqueeze(-1)
        flat: dict[str, Tensor] = {}
        for entity in self.entities_used:
            start = 0
            for name in self.entities[entity]:
                if name not in batch:
                    continue
                # Padding records look up the reserved row, else their rows would move by momentum alone.
                flat[name] = (batch[name].view(*weight.shape, -1) * real).flatten(1)
                numbers = torch.arange(start, start + flat[name].shape[1], device=self.device)
                batch[name] = numbers.view(1, *batch[name].shape[1:]).expand(self.count, *batch[name].shape[1:])
                start += flat[name].shape[1]
        return batch, {table: self._looked_up(table, flat) for table in self.lookups}

    def _looked_up(self, table: str, flat: Mapping[str, Tensor]) -> Tensor:
        """Row numbers (R, M) of one table, ordered as the renumbered fields; 0 where another field's rows stand."""
        fields = [name for name in self.entities[self.table_entity[table]] if name in flat]
        last = max(k for k, name in enumerate(fields) if name in self.lookups[table])
        return torch.cat(
            [flat[n] if n in self.lookups[table] else torch.zeros_like(flat[n]) for n in fields[: last + 1]], 1
        )

    def small_tables(self, rows: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The rows of every table that the batch touches, one per occurrence: trained and frozen."""
        trained = {name: take(table, rows[name] + self.starts[name]) for name, table in self.tables.items()}
        frozen = {name: pool.rows(rows[name]) for name, pool in self.frozen.items()}
        return trained, frozen

    def evaluate(self, method: str, index: Tensor, weight: Tensor, drawn: Fields) -> Tensor:
        """The module's `method` on records `index` (R, K), without gradients."""
        self.call.eval()
        batch, rows = self.batch(index, weight, drawn)
        trained, frozen = self.small_tables(rows)

        def one(parameters: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
            named = {f"module.{name}": value for name, value in parameters.items()}
            return functional_call(self.call, named, (method, batch))

        with torch.no_grad():
            return vmap(one)({**self.dense, **trained, **frozen, **self.constants}, batch)

    def factor(self, name: str, scales: Mapping[str, float]) -> float:
        return next((value for prefix, value in scales.items() if name.startswith(prefix)), 1.0)

    def keep(self, alive: Sequence[int]) -> None:
        """Drop every replicate but `alive` (positions in the current stack)."""
        chosen = torch.tensor(alive, device=self.device)

        def of_table(value: Tensor) -> Tensor:
            return value.view(self.count, -1, *value.shape[1:])[chosen].flatten(0, 1)

        for group in (self.dense, self.mean, self.square, self.scratch, self.tables):
            for name, value in group.items():
                group[name] = of_table(value) if name in self.tables else value[chosen]
        for pool in (*self.fields.values(), *self.frozen.values()):
            pool.start = pool.start[chosen]
        self.constants = {name: value[chosen] for name, value in self.constants.items()}
        self.starts = {name: value[: len(alive)] for name, value in self.starts.items()}
        self.classification, self.lr, self.decay = self.classification[chosen], self.lr[chosen], self.decay[chosen]
        self.taken = self.taken[chosen]
        self.replicates = [self.replicates[k] for k in alive]
        self.count = len(alive)

    def state(self, position: int) -> dict[str, Tensor]:
        """A copy of one replicate's parameters."""
        out = {name: value[position].clone() for name, value in self.dense.items()}
        for name, value in self.tables.items():
            out[name] = value.view(self.count, -1, *value.shape[1:])[position].clone()
        return out


def _spread(per_replicate: Tensor, like: Tensor) -> Tensor:
    return per_replicate.view(-1, *([1] * (like.dim() - 1)))


class Stepper:
    """One optimiser step for a stack and a loss; the gradient part can be compiled."""

    def __init__(self, stack: Stack, method: str, optimizer: str, compiled: bool) -> None:
        self.stack, self.optimizer = stack, optimizer
        call = stack.call

        def loss(dense: Any, trained: Any, fixed: Any, batch: Any) -> Tensor:
            named = {f"module.{name}": value for name, value in {**dense, **trained, **fixed}.items()}
            return functional_call(call, named, (method, batch))

        gradient = vmap(grad_and_value(loss, argnums=(0, 1)), randomness="error")
        self.gradient: Callable[..., Any] = torch.compile(gradient, dynamic=False) if compiled else gradient
        self.adam: Callable[..., Any] = torch.compile(_adam, dynamic=False) if compiled else _adam

    def __call__(self, index: Tensor, weight: Tensor, drawn: Fields) -> None:
        stack = self.stack
        stack.call.train()
        batch, rows = stack.batch(index, weight, drawn)
        trained, frozen = stack.small_tables(rows)
        fixed = {**frozen, **stack.constants, **dict.fromkeys(stack.steps, stack.taken.long())}
        (dense_gradient, row_gradient), _ = self.gradient(stack.dense, trained, fixed, batch)
        active = (weight.sum(1) > 0).to(stack.dtype)
        stack.taken += active
        value, mean, square = dict(stack.dense), dict(stack.mean), dict(stack.square)
        slots: dict[str, Tensor] = {}
        for name in stack.tables:
            ids = rows[name]
            slot = (ids + stack.starts[name]).flatten()
            seen = (ids > 0).unsqueeze(-1).to(stack.dtype)
            flat = (row_gradient[name] * seen).flatten(0, 1)
            # Occurrences of one row are added up in a scratch table and read back, so that each of them carries the
            # row's whole gradient, computes the same new row and may be written in any order.
            scratch = stack.scratch[name].index_add_(0, slot, flat)
            dense_gradient[name] = take(scratch, slot).view_as(row_gradient[name])
            scratch.index_fill_(0, slot, 0.0)
            value[name] = trained[name]
            for moments in (mean, square):
                moments[name] = take(moments[name], slot).view_as(row_gradient[name])
            slots[name] = slot
        if self.optimizer == "sgd":
            updated = {
                n: (v - _spread(stack.lr * active, v) * dense_gradient[n], mean[n], square[n]) for n, v in value.items()
            }
        else:
            scales = {n: (stack.factor(n, stack.lr_scale), stack.factor(n, stack.decay_scale)) for n in value}
            lazy = {n: n in slots for n in value}
            updated = self.adam(
                value, dense_gradient, mean, square, stack.lr, stack.decay, stack.taken, active, scales, lazy
            )
        for name, (new, new_mean, new_square) in updated.items():
            if name in stack.nonnegative:
                new = new.clamp_min(0.0)
            if name in slots:
                slot = slots[name]
                stack.tables[name].index_copy_(0, slot, new.flatten(0, 1))
                stack.mean[name].index_copy_(0, slot, new_mean.flatten(0, 1))
                stack.square[name].index_copy_(0, slot, new_square.flatten(0, 1))
            else:
                stack.dense[name], stack.mean[name], stack.square[name] = new, new_mean, new_square


def _adam(
    value: dict[str, Tensor],
    gradient: dict[str, Tensor],
    mean: dict[str, Tensor],
    square: dict[str, Tensor],
    lr: Tensor,
    decay: Tensor,
    taken: Tensor,
    active: Tensor,
    scales: dict[str, tuple[float, float]],
    lazy: dict[str, bool],
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Adam for the dense parameters, SparseAdam's arithmetic for table rows; replicates at rest stay as they are."""
    steps = taken.clamp_min(1.0)
    correction1, correction2 = 1 - BETA1**steps, 1 - BETA2**steps
    out = {}
    for name, old in value.items():
        lr_scale, decay_scale = scales[name]
        slope = gradient[name] + _spread(decay * decay_scale, old) * old
        moved = _spread(active, old) > 0
        new_mean = torch.where(moved, BETA1 * mean[name] + (1 - BETA1) * slope, mean[name])
        new_square = torch.where(moved, BETA2 * square[name] + (1 - BETA2) * slope**2, square[name])
        root = _spread(correction2.sqrt(), old)
        if lazy[name]:
            change = root * new_mean / (new_square.sqrt() + EPSILON)
        else:
            change = new_mean / (new_square.sqrt() / root + EPSILON)
        new = torch.where(moved, old - _spread(lr * lr_scale / correction1, old) * change, old)
        out[name] = (new, new_mean, new_square)
    return out

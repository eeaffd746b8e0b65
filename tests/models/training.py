"""Small stand-ins for the trainer: an Adam loop, replicates side by side, and a batch's rows gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from lrrecsys_core.models.base import Recommender
from lrrecsys_core.models.layers import set_noise

Arrays = Mapping[str, Any]


def batch_of(fields: Arrays, *, classification: bool = False) -> dict[str, Tensor]:
    """Fields as tensors, with the flags `fit` adds; the target defaults to 0.5."""
    batch = {name: torch.as_tensor(np.array(values)) for name, values in fields.items()}
    n = len(batch["user"])
    batch = {k: v.float() if v.dtype == torch.float64 else v for k, v in batch.items()}
    batch.setdefault("target", torch.full((n,), 0.5))
    batch.setdefault("weight", torch.ones(n))
    batch["classification"] = torch.tensor(float(classification))
    return batch


def train(
    model: Recommender,
    fields: Arrays,
    *,
    steps: int,
    lr: float = 0.01,
    decay: float = 0.0,
    classification: bool = False,
    batch_size: int = 0,
    seed: int = 0,
    loss: str = "loss",
) -> Recommender:
    """`steps` of Adam on ``getattr(model, loss)``, with the draws, the projection and the zero rows of `fit`."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    everything = batch_of(fields, classification=classification)
    n = len(everything["user"])
    groups = [
        {"params": [p], "lr": lr * factor(model.lr_scale, k), "weight_decay": decay * factor(model.decay_scale, k)}
        for k, p in model.named_parameters()
    ]
    optimiser = torch.optim.Adam(groups)
    model.train()
    for step in range(steps):
        if step % 25 == 0:
            everything |= {k: torch.as_tensor(v) for k, v in model.draws(n, rng).items()}
        rows = torch.as_tensor(rng.permutation(n)[: batch_size or n])
        set_noise(model, seed, step)
        optimiser.zero_grad()
        getattr(model, loss)({k: v[rows] if v.dim() else v for k, v in everything.items()}).backward()
        optimiser.step()
        with torch.no_grad():
            for name in model.nonnegative:
                model.get_parameter(name).clamp_(min=0)
            for name in model.row_tables():
                if isinstance(tensor := dict(model.named_parameters()).get(name), nn.Parameter):
                    tensor[0] = 0
    return model.eval()


def factor(scales: Mapping[str, float], name: str) -> float:
    """The scale of the first prefix that `name` starts with, else 1."""
    return next((scale for prefix, scale in scales.items() if name.startswith(prefix)), 1.0)


def area(scores: Tensor, labels: Any) -> float:
    """Area under the ROC curve by counting pairs."""
    labels = torch.as_tensor(labels) > 0.5
    difference = scores[labels][:, None] - scores[~labels][None, :]
    return float(((difference > 0).float() + 0.5 * (difference == 0)).mean())


def side_by_side(models: Sequence[Recommender], batches: Sequence[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Logits (R, B) and losses (R,) of several replicates under one `vmap`; gradients must exist too."""
    models = [m.eval() for m in models]
    parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]
    stacked = {k: torch.stack([b[k] for b in batches]) for k in batches[0]}
    skeleton = Through(models[0])

    def run(method: str) -> Any:
        def call(p: Any, b: Any, batch: Any) -> Tensor:
            named = {f"model.{k}": v for k, v in {**p, **b}.items()}
            return functional_call(skeleton, named, (method, batch))

        return call

    logits = vmap(run("forward"))(parameters, buffers, stacked)
    losses = vmap(run("loss"))(parameters, buffers, stacked)
    gradients = vmap(grad(run("loss")))(parameters, buffers, stacked)
    assert all(torch.isfinite(g).all() for g in gradients.values())
    return logits, losses


class Through(nn.Module):
    """Lets `functional_call` reach any method of a model."""

    def __init__(self, model: Recommender) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, batch: dict[str, Tensor]) -> Tensor:
        return getattr(self.model, method)(batch)


def gathered(model: Recommender, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits and loss when the model gets only the table rows a batch touches, renumbered as `fit` does."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    batch = dict(batch)
    rows = model.row_tables()
    for entity in set(rows.values()):
        names = [name for name in model.entities[entity] if name in batch]
        touched, numbers = torch.unique(torch.cat([batch[n].flatten() for n in names]), return_inverse=True)
        touched = touched.flip(0)  # so that no row keeps its number by luck
        numbers = len(touched) - 1 - numbers
        for name, part in zip(names, numbers.split([batch[n].numel() for n in names]), strict=True):
            batch[name] = part.view(batch[name].shape)
        tensors |= {name: tensors[name][touched] for name, of in rows.items() if of == entity}
    named = {f"model.{k}": v for k, v in tensors.items()}
    skeleton = Through(model.eval())
    return functional_call(skeleton, named, ("forward", batch)), functional_call(skeleton, named, ("loss", batch))


def hold_random_biases(model: Recommender, sd: float = 0.3) -> None:
    """Residual biases as `build_module` puts them in, of any size, so that a row mixed up shows."""
    if model.biases:
        users, items = len(model.user_bias.weight), len(model.item_bias.weight)
        known = [(torch.arange(rows) > 0).float() for rows in (users, items)]
        model.hold_biases(*(sd * torch.randn(len(row)) * row for row in known))


def assert_trainable_side_by_side(models: Sequence[Recommender], batches: Sequence[dict[str, Tensor]]) -> None:
    """The contract with `fit`: replicates under `vmap`, and gathered rows, give what each model gives alone."""
    for model in models:
        hold_random_biases(model)
    logits, losses = side_by_side(models, batches)
    for r, (model, batch) in enumerate(zip(models, batches, strict=True)):
        torch.testing.assert_close(logits[r], model(batch), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(losses[r], model.loss(batch), rtol=1e-4, atol=1e-5)
        few, loss = gathered(model, batch)
        torch.testing.assert_close(few, model(batch), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(loss, model.loss(batch), rtol=1e-4, atol=1e-5)


def count(model: Recommender) -> tuple[int, int]:
    """Trained numbers: (shared, in tables with one row per entity)."""
    rows = model.row_tables()
    sizes = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    return sum(v for k, v in sizes.items() if k not in rows), sum(v for k, v in sizes.items() if k in rows)

"""The same training, one replicate at a time, in the plainest PyTorch: what `training.fit.fit` must equal."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Recommender
from lrrecsys_core.models.layers import set_noise
from lrrecsys_core.training.stack import BETA1, BETA2, EPSILON, Fields, Replicate

Model = TypeVar("Model", bound=Recommender)


def fit_plain(
    module: Model,
    fields: Fields,
    replicate: Replicate,
    *,
    epochs: int = 100,
    batch_size: int = 128,
    patience: int = 5,
) -> tuple[Model, int]:
    """Train one module without stacking, vectorising or renumbering; returns its best state and epoch.

    Tables named by ``module.row_tables()`` must be `nn.Embedding` weights; they follow `torch.optim.SparseAdam`,
    everything else `torch.optim.Adam`. Row 0 receives no gradient. No pre-training, no weight decay on tables.
    """
    module = copy.deepcopy(module)
    tables = set(module.row_tables())
    for name, child in module.named_modules():
        if isinstance(child, nn.Embedding) and f"{name}.weight" in tables:
            child.sparse, child.padding_idx = True, 0
    named = dict(module.named_parameters())
    betas = (BETA1, BETA2)
    dense = torch.optim.Adam(
        [p for n, p in named.items() if n not in tables], lr=replicate.lr, betas=betas, eps=EPSILON
    )
    rows = torch.optim.SparseAdam(
        [p for n, p in named.items() if n in tables], lr=replicate.lr, betas=betas, eps=EPSILON
    )
    rng = np.random.default_rng([replicate.seed, 0])
    step = 0
    best, best_epoch, best_state = float("inf"), 0, copy.deepcopy(module.state_dict())
    for epoch in range(1, epochs + 1):
        module.train()
        order = rng.permutation(replicate.train)
        for low in range(0, len(order), batch_size):
            dense.zero_grad()
            rows.zero_grad()
            set_noise(module, replicate.seed, step)
            step += 1
            module.loss(_batch(module, fields, order[low : low + batch_size], replicate.task)).backward()
            dense.step()
            rows.step()
        if not len(replicate.validation):
            continue
        module.eval()
        with torch.no_grad():
            loss = float(module.own_loss(_batch(module, fields, replicate.validation, replicate.task)))
        if loss < best:
            best, best_epoch, best_state = loss, epoch, copy.deepcopy(module.state_dict())
        if epoch - best_epoch >= patience:
            break
    if len(replicate.validation):
        module.load_state_dict(best_state)
        return module, best_epoch
    return module, epochs


def _batch(module: Recommender, fields: Fields, rows: np.ndarray, task: str) -> dict[str, Tensor]:
    index = torch.from_numpy(rows)
    dtype = next(module.parameters()).dtype
    batch = {name: fields[name][index] for name in module.reads}
    batch = {name: value.to(dtype) if value.is_floating_point() else value for name, value in batch.items()}
    batch["target"] = fields["liked" if task == "classification" else "target"][index].to(dtype)
    batch["weight"] = torch.ones(len(rows), dtype=dtype)
    batch["classification"] = torch.tensor(float(task == "classification"), dtype=dtype)
    return batch

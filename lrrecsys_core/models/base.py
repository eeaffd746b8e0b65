"""What every recommender shares: one score per record, a loss, and the names of its tables."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

Batch = Mapping[str, Tensor]
TASKS = ("regression", "classification")
EMBEDDING_SD = 0.1
STARS = 16.0  # a squared error on 1-5 stars is 16 times that on [0, 1] (rule P5)


@dataclass(frozen=True)
class Sizes:
    """Rows of the tables; row 0 of each stands for "unseen in training" and stays zero.

    Replicates trained side by side share one `Sizes`, the element-wise largest of theirs.
    """

    users: int
    items: int
    context: int = 0
    aspects: int = 1

    @classmethod
    def of(cls, *splits: Split) -> Sizes:
        """The sizes that hold every one of `splits`."""
        return cls(
            users=max(s.n_users for s in splits),
            items=max(s.n_items for s in splits),
            context=max(sum(s.context_sizes) for s in splits),
            aspects=max(len(s.aspect_names) for s in splits),
        )


def embedding(rows: int, width: int, sd: float = EMBEDDING_SD) -> nn.Embedding:
    """An id table (Eq 4), N(0, sd), whose reserved row 0 starts at zero (and is never updated by `fit`)."""
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=sd)
    with torch.no_grad():
        table.weight[0] = 0.0
    return table


class FixedTable(nn.Module):
    """One number per entity that training leaves alone, looked up like an embedding of width 1."""

    weight: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(rows, 1))

    def forward(self, index: Tensor) -> Tensor:
        return F.embedding(index, self.weight)


def padded_rows(values: np.ndarray, rows: int) -> Tensor:
    """`values` (n, ...) as a float tensor with zero rows appended up to `rows`: entity tables of one shape."""
    out = np.zeros((rows, *values.shape[1:]), dtype=np.float32)
    out[: len(values)] = values
    return torch.from_numpy(out)


def base_rate(split: Split, task: str) -> float:
    """Mean training outcome of the task, kept inside (0.001, 0.999) so that its logit is finite."""
    outcome = split.target if task == "regression" else split.liked
    return float(np.clip(outcome[split.train].mean(), 1e-3, 1 - 1e-3))


def stated_deviations(model: type) -> str:
    """The paragraph "Deviations:" of a class's docstring, or else of its module's, on one line; "" without any."""
    for told in (model.__doc__, sys.modules[model.__module__].__doc__):
        found = re.search(r"^ *Deviations: (.*?)(?:\n\s*\n|\Z)", told or "", re.DOTALL | re.MULTILINE)
        if found:
            return " ".join(found[1].replace("``", "").split())
    return ""


class Recommender(nn.Module):
    """A plain single-replicate model of one score per record.

    A subclass writes ``score(batch) -> (B,)`` and lists its per-entity tables; `fit` trains many replicates of
    it at once without the module knowing.

    Class attributes
    ----------------
    name : printed name of the row that trains the model.
    own_biases : biases are part of the method: ``biases=False`` changes nothing.
    sees_own_aspects : ``visibility="oracle"`` shows it the aspects of the very record it judges, a leak to measure.
    needs_order : it learns from the order of a user's records, so that records without times leave it nothing.
    inputs : record fields the model reads, each (B, ...) in a batch.
    entities : which fields hold row numbers of which entity.
    tables : parameter or buffer name -> entity. `fit` hands the module only the rows a batch touches, with the
        fields renumbered to match; `row_tables` leaves out those read as a whole (a softmax over all items).
    table_fields : the fields that a table is looked up by, where those are not all fields of its entity; a row is
        updated when a batch looks it up.
    nonnegative : parameters projected to >= 0 after every step.
    lr_scale, decay_scale : factor per parameter-name prefix on the learning rate or the weight decay.
    pretrain_reads_outcome : whether ``pretrain_loss`` depends on ratings, and so on the task.
    tier : *faithful*, *adapted* or *reduced*.
    deviations : in which way; read off the docstrings (`stated_deviations`), never typed a second time.
    """

    name: ClassVar[str] = ""
    own_biases: ClassVar[bool] = False
    sees_own_aspects: ClassVar[bool] = False
    needs_order: ClassVar[bool] = False
    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "history", "history_mask")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item", "history")}
    tables: ClassVar[dict[str, str]] = {}
    table_fields: ClassVar[dict[str, tuple[str, ...]]] = {}
    nonnegative: ClassVar[tuple[str, ...]] = ()
    lr_scale: ClassVar[dict[str, float]] = {}
    decay_scale: ClassVar[dict[str, float]] = {}
    tier: ClassVar[str] = ""
    deviations: ClassVar[str] = ""
    pretrain_reads_outcome: ClassVar[bool] = False
    pretrains: bool = False

    offset: Tensor

    def __init__(self, sizes: Sizes, rate: float = 0.5, biases: bool = True) -> None:
        super().__init__()
        self.biases = biases
        self.register_buffer("offset", torch.tensor(float(np.log(rate / (1 - rate)))))
        if biases:
            self.user_bias = FixedTable(sizes.users)
            self.item_bias = FixedTable(sizes.items)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.deviations = stated_deviations(cls)

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        """The model for one replicate: whatever it must fit beforehand is fitted here, on training records only."""
        return cls(sizes, rate=base_rate(split, task), **params)

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, **params: Any) -> dict[str, np.ndarray]:
        """Record fields (N, ...) this model needs beside `Split.fields`: documents, profiles, native targets.

        Whatever aggregates over a user or an item uses strictly earlier training records, never the record itself.
        Fields that describe the record itself (its aspects, its text) may be read by the losses only.
        """
        return {}

    @property
    def reads(self) -> tuple[str, ...]:
        """Record fields this instance is given in a batch."""
        return self.inputs

    def entity_tables(self) -> dict[str, str]:
        """Every table of this instance with a row per entity, the residual biases included."""
        biases = {"user_bias.weight": "user", "item_bias.weight": "item"} if self.biases else {}
        return {**self.tables, **biases}

    def row_tables(self) -> dict[str, str]:
        """Those of them that are read by row only, never as a whole."""
        return self.entity_tables()

    def lookups(self, table: str) -> tuple[str, ...]:
        """The fields `table` is looked up by."""
        known = {"item_bias.weight": ("item",), **self.table_fields}
        return known.get(table, self.entities[self.row_tables()[table]])

    def score(self, batch: Batch) -> Tensor:
        """The model's own part of the logit, (B,)."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B,), whose sigmoid is Eq 1: the model's score on top of base rate and residual biases (rule P2)."""
        return self.with_biases(self.score(batch), batch)

    def with_biases(self, score: Tensor, batch: Batch) -> Tensor:
        """Base rate and residual biases (rule P2) added to a score, where the instance has them."""
        return score + self.offset + self.bias(batch) if self.biases else score

    def bias(self, batch: Batch) -> Tensor:
        """Residual biases b_u + b_i (B,), in logits of the task; a single 0 where the instance has none."""
        if not self.biases:
            return torch.zeros_like(self.offset)
        return (self.user_bias(batch["user"]) + self.item_bias(batch["item"])).squeeze(-1)

    def hold_biases(self, of_user: Tensor, of_item: Tensor) -> None:
        """Take over the residual biases, (users,) and (items,), in logits of the task: see `biases`."""
        if self.biases:
            self.user_bias.weight[: len(of_user), 0] = of_user
            self.item_bias.weight[: len(of_item), 0] = of_item

    def rating_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Eq 14 and its twin for ratings: BCE, or MSE of sigmoid(logits), averaged over the real records.

        ``batch["classification"]`` is 1 for the high/low task; ``batch["weight"]`` is 0 on padding.
        """
        squared = (torch.sigmoid(logits) - batch["target"]) ** 2
        entropy = F.binary_cross_entropy_with_logits(logits, batch["target"], reduction="none")
        return weighted_mean(torch.where(batch["classification"] > 0, entropy, squared), batch["weight"])

    def loss(self, batch: Batch) -> Tensor:
        """Scalar training loss; methods with a loss of their own add it here."""
        return self.own_loss(batch)

    def own_loss(self, batch: Batch) -> Tensor:
        """The task's loss alone, which early stopping watches whatever else a method trains on."""
        return self.rating_loss(self(batch), batch)

    def joint_loss(self, logits: Tensor, native: Tensor, weight: float, batch: Batch) -> Tensor:
        """Rating loss plus `weight` x native loss, in the balance that `weight` has beside stars (rule P5)."""
        balance = torch.where(batch["classification"] > 0, weight, weight / STARS)
        return self.rating_loss(logits, batch) + balance * native

    def pretrain_loss(self, batch: Batch) -> Tensor:
        """Scalar native loss of the first stage, for models with ``pretrains = True``."""
        raise NotImplementedError

    def draws(self, records: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Random fields of one epoch, (records, ...) each: sampled negatives, masks. Default: none."""
        return {}

    def prepare_rating_stage(self) -> None:
        """Called between pre-training and the rating stage (freeze or re-initialise parts here)."""


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `values` (B,) where `weight` (B,) is 1; 0 when nothing is."""
    return (values * weight).sum() / weight.sum().clamp_min(1.0)

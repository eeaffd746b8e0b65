"""MTER, and ComparER-Sub, which adds comparisons to it.

N. Wang, H. Wang, Y. Jia, Y. Yin. Explainable Recommendation via Multi-Task Learning in Opinionated Text Data.
SIGIR 2018, 165-174. T.-H. Le, H. W. Lauw. Explainable Recommendation with Comparative Constraints on Product Aspects.
WSDM 2021, 967-975. The paper's row is named after the first and cites the second; here they are two rows of one module.

Non-negative factors u, i, a, o and cores, a_0 standing for the overall rating::

    x_{u,i,a} = G1 (u, i, a)     y_{u,a,o} = G2 (u, a, o)     z_{i,a,o} = G3 (i, a, o)        Tucker products
    X_{u,i,a} = 1 + 4 / (1 + exp(-sum of sentiments)),  Y, Z = 1 + 4 (2 / (1 + exp(-count)) - 1)
    rating    = (x_{u,i,0} - 1) / 4 + sigmoid(mu + b_u + b_i) - sigmoid(mu)                    (B,), on [0, 1]
    high/low  = c (x_{u,i,0} - t) + b_u + b_i                                                  (B,), in logits

Loss: the rating's + [squared errors on the observed cells of X, Y, Z + `ranking` x BPR(x_{u,i,0} - x_{u,j,0})
+ `constraint` x mean of -log sigmoid(x_{u,later,a} - x_{u,earlier,a})] / 16; comparisons are made where the same user
found the later item better on a. MTER has no constraints, ComparER-Sub has.

Deviations: D1 every training rating enters by its own loss. D2 affine link (rule P3): (x - 1) / 4 for ratings, the sum
with the biases clipped to [0, 1]; c (x - t) with trained c > 0 and t for high/low. D3 Adam with projection instead of
AdaGrad; every sum is a mean, and auxiliary terms are divided by 16 (rule P5); cells and pairs are the batch's own
instead of separate samples. D4 the A most frequent aspects. D5 opinion words are not at hand: the polarity of a mention
is its opinion, so the row is *reduced*. D6 reference items are the last five, and both items must mention the aspect.
D7 residual biases (rule P2) enter ratings through the sigmoid they were fitted behind, since added in stars they
predict worse; an unseen user or item gets the base rate in place of x. D8 factors start in U(.495 c, .505 c), where c
makes E[x] the mean rating; the released U(0, 1) starts at 32 or more, and with a spread that a user with few records
never loses. D9 ComparER's own ranking mixes in aspect scores; ratings do not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrrecsys_core.models.aspect.cells import STARS, cells, others
from lrrecsys_core.models.base import Batch, Recommender, Sizes, base_rate, embedding, weighted_mean

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

SCALE = 1 / STARS**2


class MTER(Recommender):
    """Joint Tucker factorisation of who praises what, and of the rating as one more aspect.

    Parameters
    ----------
    widths : lengths of u, i, a and o.
    aspects : A.
    opinions : rows of the opinion table; polarities need two.
    ranking : weight of the BPR term.
    constraint : weight of the comparisons; 0 is MTER.
    """

    name: ClassVar[str] = "MTER"
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item", "other", "reference")}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    nonnegative: ClassVar[tuple[str, ...]] = (
        "users.weight", "items.weight", "aspects", "opinions", "core", "user_core", "item_core",
    )  # fmt: skip
    decay_scale: ClassVar[dict[str, float]] = {"slope": 0.0, "threshold": 0.0}
    tier: ClassVar[str] = "reduced"
    matched: ClassVar[dict[str, Any]] = {"widths": (8, 8, 8, 8)}
    as_published: ClassVar[dict[str, Any]] = {"widths": (15, 15, 12, 12), "aspects": 104}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 1e-4, "ranking": ranking}
        for lr in (1e-4, 3e-4, 1e-3, 3e-3)
        for ranking in (0.0, 1.0)
    ]

    classification: Tensor

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        widths: tuple[int, int, int, int] = (8, 8, 8, 8),
        aspects: int = 20,
        opinions: int = 2,
        ranking: float = 0.0,
        constraint: float = 0.0,
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.ranking, self.constraint = ranking, constraint
        u, i, a, o = widths
        top = 2 * (3 / (u * i * a)) ** 0.25
        self.users, self.items = embedding(sizes.users, u), embedding(sizes.items, i)
        self.aspects = nn.Parameter(torch.empty(aspects + 1, a))
        self.opinions = nn.Parameter(torch.empty(opinions, o))
        self.core = nn.Parameter(torch.empty(u, i, a))
        self.user_core = nn.Parameter(torch.empty(u, a, o))
        self.item_core = nn.Parameter(torch.empty(i, a, o))
        with torch.no_grad():
            for name in self.nonnegative:
                self.get_parameter(name).uniform_(0.495 * top, 0.505 * top)
            for table in (self.users, self.items):
                table.weight[0] = 0.0
        self.slope = nn.Parameter(torch.tensor(math.log(math.e - 1)))  # c = softplus(slope) = 1 at first
        self.threshold = nn.Parameter(3 - self.offset.clone())
        self.register_buffer("classification", torch.tensor(0.0))

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        model = super().build(split, sizes, task, **params)
        model.classification = torch.tensor(float(task == "classification"))
        if task == "regression":
            model.core.data *= (1 + STARS * base_rate(split, task)) / 3  # x starts at the mean rating
        return model

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, *, aspects: int = 20, **_: Any) -> dict[str, np.ndarray]:
        """`known` (N,), whether user and item are; for the losses, zero outside training: the cells a record's mentions
        touch (N, 5), `other` items with their order (N, 4), and compared `reference` items (N, 5)."""
        known = ((split.user > 0) & (split.item > 0)).astype(np.float32)
        return {"known": known, **cells(split, aspects), **others(split)}

    @property
    def reads(self) -> tuple[str, ...]:
        cells = ("cell_aspect", "cell_opinion", "cell_quality", "cell_user", "cell_item", "cell_mask")
        ranking = ("other", "other_order") if self.ranking else ()
        constraint = ("reference", "reference_aspect", "reference_mask") if self.constraint else ()
        return ("user", "item", "known", *cells, *ranking, *constraint)

    def qualities(self, user: Tensor, items: Tensor, aspects: Tensor) -> Tensor:
        """x (B, n) of one user vector (B, u), item vectors (B, n, i) and aspect vectors (B, n, a)."""
        mixed = torch.einsum("...u,uia->...ia", user, self.core)
        return ((items @ mixed) * aspects).sum(-1)

    def score(self, batch: Batch) -> Tensor:
        """Expected stars (B,), biases apart."""
        items = self.items(batch["item"]).unsqueeze(-2)
        stars = self.qualities(self.users(batch["user"]), items, self.aspects[:1].expand(*items.shape[:-1], -1))
        rating, high = 1 + STARS * torch.sigmoid(self.offset), self.threshold + self.offset / F.softplus(self.slope)
        base = torch.where(self.classification > 0, high, rating)
        return torch.where(batch["known"] > 0, stars.squeeze(-1), base)

    def rating(self, batch: Batch) -> Tensor:
        """Expected rating (B,) on [0, 1], not clipped."""
        of_biases = torch.sigmoid(self.offset + self.bias(batch)) - torch.sigmoid(self.offset)
        return (self.score(batch) - 1) / STARS + of_biases

    def high(self, batch: Batch) -> Tensor:
        """Logit of a high rating (B,)."""
        return F.softplus(self.slope) * (self.score(batch) - self.threshold) + self.bias(batch)

    def forward(self, batch: Batch) -> Tensor:
        rating = torch.logit(self.rating(batch).clamp(1e-4, 1 - 1e-4))
        return torch.where(self.classification > 0, self.high(batch), rating)

    def loss(self, batch: Batch) -> Tensor:
        squared = (self.rating(batch) - batch["target"]) ** 2
        entropy = F.binary_cross_entropy_with_logits(self.high(batch), batch["target"], reduction="none")
        total = weighted_mean(torch.where(self.classification > 0, entropy, squared), batch["weight"])
        extra = self.cell_loss(batch)
        if self.ranking:
            extra = extra + self.ranking * self.ranking_loss(batch)
        if self.constraint:
            extra = extra + self.constraint * self.constraint_loss(batch)
        return total + SCALE * extra

    def cell_loss(self, batch: Batch) -> Tensor:
        """Mean squared errors on the cells of the three tensors that the batch's mentions touch."""
        user, item = self.users(batch["user"]), self.items(batch["item"])
        aspect, opinion = self.aspects[batch["cell_aspect"]], self.opinions[batch["cell_opinion"]]
        items = item.unsqueeze(-2).expand(*aspect.shape[:-1], -1)
        by_user = torch.einsum("...u,uao->...ao", user, self.user_core)
        by_item = torch.einsum("...i,iao->...ao", item, self.item_core)
        errors = (
            (self.qualities(user, items, aspect) - batch["cell_quality"]) ** 2
            + (((aspect @ by_user) * opinion).sum(-1) - batch["cell_user"]) ** 2
            + (((aspect @ by_item) * opinion).sum(-1) - batch["cell_item"]) ** 2
        )
        return weighted_mean(errors, batch["cell_mask"] * batch["weight"].unsqueeze(-1))

    def ranking_loss(self, batch: Batch) -> Tensor:
        """BPR of the overall aspect between the record's item and others, in the order the user put them."""
        items = torch.cat([self.items(batch["item"]).unsqueeze(-2), self.items(batch["other"])], -2)
        stars = self.qualities(self.users(batch["user"]), items, self.aspects[:1].expand(*items.shape[:-1], -1))
        gap = (stars[..., :1] - stars[..., 1:]) * batch["other_order"]
        return weighted_mean(F.softplus(-gap), batch["other_order"].abs() * batch["weight"].unsqueeze(-1))

    def constraint_loss(self, batch: Batch) -> Tensor:
        """Later items above earlier ones on the aspects where the user found them so."""
        gap = self.gaps(batch)
        return weighted_mean(F.softplus(-gap), batch["reference_mask"] * batch["weight"].unsqueeze(-1))

    def gaps(self, batch: Batch) -> Tensor:
        """x of the record's item minus x of each reference item (B, 5), on the compared aspect."""
        user, aspect = self.users(batch["user"]), self.aspects[batch["reference_aspect"]]
        later = self.items(batch["item"]).unsqueeze(-2).expand(*aspect.shape[:-1], -1)
        return self.qualities(user, later, aspect) - self.qualities(user, self.items(batch["reference"]), aspect)


class ComparER(MTER):
    """ComparER-Sub: MTER with comparative constraints (subjective quality)."""

    name: ClassVar[str] = "ComparER"

    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 1e-4, "ranking": ranking, "constraint": constraint}
        for lr in (1e-4, 1e-3)
        for ranking in (0.0, 1.0)
        for constraint in (0.2, 1.0)
    ]

    def __init__(self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, constraint: float = 0.2, **params: Any):
        super().__init__(sizes, rate, biases, constraint=constraint, **params)

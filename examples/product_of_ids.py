"""Does LR-Recsys' network learn products of user and item vectors? It, it with the product added, and biased MF.

Run it on ratings with ``python examples/product_of_ids.py movielens:FOLDER?fold=u1``: minutes, and nothing is kept. The
network is Ablation 1's, so that no texts are needed; each step is tried, and validation chooses.
"""

import sys
from dataclasses import replace

import numpy as np
from scipy.special import expit
from torch import Tensor

from lrrecsys_core import metrics, rows
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.models.ablations import FreeVectors
from lrrecsys_core.models.base import Batch
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.study.points import Step
from lrrecsys_core.study.train_row import Given, Training, train_row
from lrrecsys_core.training.fit import predict

STEPS = (Step(0.003, 1e-4), Step(0.01, 1e-4))
TRAINING = Training(epochs=14, patience=14)


class WithProduct(FreeVectors):
    """The network of Ablation 1, with the product of its user and item vectors added to its score."""

    def score(self, batch: Batch) -> Tensor:
        user, item = self.id_tokens(batch)
        return super().score(batch) + (user * item).sum(-1)


def compare(split: Split, training: Training = TRAINING) -> dict[str, tuple[float, float]]:
    """RMSE on validation and test of the biases, both networks and biased MF, each at its better step."""
    parts = (split.validation, split.test)
    logits = bias_logits(split, "regression", *residual_biases(split, "regression"))
    found = {rows.BIASES: tuple(metrics.rmse(expit(logits[part]), split.target[part]) for part in parts)}
    plain = rows.row_named(rows.ABLATION1)
    tried = {"the network": plain, "with the product": replace(plain, model=WithProduct)}
    for name, row in (tried | {rows.BIASED_MF: rows.row_named(rows.BIASED_MF)}).items():
        given = Given(split, None, seed=0, networks=tuple(("regression", step) for step in STEPS), replicate=0)
        trained = train_row(row, [given], training)
        (modules,) = trained.modules
        best = modules[int(np.argmin([min(curve) for curve in trained.fit.curves]))][0]
        outcomes = [predict(best, trained.fields[0], part) for part in parts]
        found[name] = tuple(metrics.rmse(said, split.target[part]) for said, part in zip(outcomes, parts, strict=True))
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("name the ratings, one KIND:PATH as for `lrrecsys data`: movielens:FOLDER, for example")
    for name, (validation, test) in compare(make_split(load_dataset(sys.argv[1]))).items():
        print(f"{name:20} validation {validation:.4f}  test {test:.4f}", flush=True)

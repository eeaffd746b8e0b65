"""The product of id vectors in the score: by hand, and a planted one that the plain network finds too late."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import expit

from lrrecsys_core import metrics, rows
from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.models.with_product import FreeVectorsWithProduct, LRRecsysWithProduct
from lrrecsys_core.study.points import Step
from lrrecsys_core.study.train_row import Given, Training, train_row
from lrrecsys_core.training.fit import predict
from tests.models.test_ablations import lr_batch


@pytest.mark.parametrize("kind", [LRRecsysWithProduct, FreeVectorsWithProduct])
def test_the_product_of_both_vectors_is_added(kind: type[LRRecsysWithProduct]) -> None:
    model, batch = kind(Sizes(7, 9)), lr_batch(n=2)
    batch["user"], batch["item"] = torch.tensor([3, 0]), torch.tensor([4, 4])  # a user known to training, and none
    with torch.no_grad():
        model.users.weight[3] = torch.arange(1.0, 9.0)
        model.items.weight[4] = torch.tensor([2.0, -1, 0, 0, 0, 0, 0, 0.5])
        rest = super(LRRecsysWithProduct, model).score(batch)
    assert (model.score(batch) - rest).tolist() == pytest.approx([2 - 2 + 4, 0], abs=1e-5)


def test_the_rows_differ_in_their_texts_alone() -> None:
    texts, free, shuffled = map(rows.row_named, (rows.PRODUCT, rows.PRODUCT_FREE, rows.PRODUCT_SHUFFLED))
    assert (texts.model, shuffled.model, free.model) == (*[LRRecsysWithProduct] * 2, FreeVectorsWithProduct)
    assert texts.texts == shuffled.texts == rows.FULL and free.texts is None
    assert (texts.shuffle, shuffled.shuffle) == ("", "item") and texts.params == shuffled.params == free.params
    assert (texts.point, shuffled.point, free.point) == (rows.PRODUCT, rows.PRODUCT, rows.PRODUCT_FREE)
    assert texts.model.tier == "adapted" and "first summand" in texts.model.deviations


def planted() -> Split:
    """Ratings that are the product of a user's and an item's sign: neither alone says anything."""
    rng = np.random.default_rng(0)
    taste, kind = rng.choice([-1, 1], 80), rng.choice([-1, 1], 50)
    met = [(u, i) for u in range(80) for i in rng.permutation(50)[:30]]
    ratings = [(f"u{u}", f"i{i}", 3 + 2 * int(taste[u] * kind[i]), k) for k, (u, i) in enumerate(met)]
    frame = pl.DataFrame(ratings, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(50)]}).with_columns(name=pl.col("item_id"))
    return make_split(make_dataset("planted", "movie", frame, items))


def test_a_planted_product_is_learnt_where_the_score_has_one() -> None:
    split = planted()
    biases = expit(bias_logits(split, "regression", *residual_biases(split, "regression")))
    base = metrics.rmse(biases[split.test], split.target[split.test])
    given = Given(split, None, seed=0, networks=(("regression", Step(0.01, 1e-4)),), replicate=0)
    found = {}
    for name in (rows.ABLATION1, rows.PRODUCT_FREE, rows.BIASED_MF):
        trained = train_row(rows.row_named(name), [given], Training(epochs=14, patience=14))
        outcome = predict(trained.modules[0][0][0], trained.fields[0], split.test)
        found[name] = metrics.rmse(outcome, split.target[split.test])
    assert base > 0.45, "a user's or an item's mean says nothing"
    assert found[rows.PRODUCT_FREE] < 0.7 * base and found[rows.BIASED_MF] < 0.7 * base
    assert found[rows.ABLATION1] > 0.9 * base, "too few steps for the network alone"

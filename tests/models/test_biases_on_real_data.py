"""On real ratings the biases that every network stands on are as good as an independent ridge on the same records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.linear_model import Ridge

from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.metrics import rmse
from lrrecsys_core.models.biases import bias_logits, residual_biases

SHARED = Path(__file__).parents[3] / "shared" / "data"
SETS = {
    "movielens_latest_small": "movielens:{}", "movielens_100k_u1": "movielens:{}?fold=u1",
    "tripadvisor_lara_full": "tripadvisor:{}", "yelp_mter": "yelp:{}",
    "amazon_upr": "table:{}/test.txt?sep=tab&header=none&user=1&item=2&rating=3&domain=movie",
    "tripadvisor_peter_fifth": "table:{}/test.txt?sep=tab&header=none&user=1&item=2&rating=3&domain=hotel",
}  # fmt: skip


def one_hot(split: Split, records: np.ndarray) -> csr_matrix:
    """(n, users + items) with a one for the record's user and one for its item."""
    users = int(split.user_position.max()) + 1
    columns = np.column_stack([split.user_position[records], users + split.item_position[records]])
    shape = len(records), users + int(split.item_position.max()) + 1
    return csr_matrix((np.ones(columns.size), columns.ravel(), 2 * np.arange(len(records) + 1)), shape=shape)


@pytest.mark.parametrize("name", SETS)
def test_biases_are_within_a_thousandth_of_a_ridge(name: str) -> None:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not beside the repository")
    split = make_split(load_dataset(SETS[name].format(folder)))
    train, validation, test = (one_hot(split, part) for part in (split.train, split.validation, split.test))
    fitted = [Ridge(alpha).fit(train, split.target[split.train]) for alpha in (1, 2, 3, 5, 8, 12, 20)]
    best = min(fitted, key=lambda model: rmse(model.predict(validation), split.target[split.validation]))
    ridge = rmse(np.clip(best.predict(test), 0, 1), split.target[split.test])
    logits = bias_logits(split, "regression", *residual_biases(split, "regression"))
    ours = rmse(expit(logits)[split.test], split.target[split.test])
    assert ours < ridge + 0.001, f"{ours:.4f} beside {ridge:.4f}"

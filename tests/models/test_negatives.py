from __future__ import annotations

import numpy as np

from lrrecsys_core.models.negatives import some_record_of, unseen_items
from tests.models.markets import market


def test_negatives_are_items_the_user_has_no_training_record_of() -> None:
    split = market()
    drawn = unseen_items(split, 3)
    assert drawn.shape == (len(split.user), 3) and drawn.min() >= 1 and drawn.max() < split.n_items
    seen = {(u, i) for u, i in zip(split.user[split.train].tolist(), split.item[split.train].tolist(), strict=True)}
    clashes = [(u, i) in seen for u, row in zip(split.user.tolist(), drawn.tolist(), strict=True) for i in row]
    assert np.mean(clashes) < 0.001
    assert len(np.unique(drawn)) > 0.9 * (split.n_items - 1)
    np.testing.assert_array_equal(drawn, unseen_items(split, 3))


def test_a_record_of_each_item() -> None:
    split = market()
    items = unseen_items(split, 2)
    records = some_record_of(split, items)
    np.testing.assert_array_equal(split.item[records], items)
    assert split.in_training[records].all() and len(np.unique(records)) > split.n_items

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lrrecsys_core import metrics as m


def test_errors_by_hand_for_two_replicates() -> None:
    prediction, target = [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]], [0.0, 0.5, 1.0]
    assert m.rmse(prediction, target) == pytest.approx([np.sqrt(0.5 / 3), np.sqrt(1.25 / 3)])
    assert m.mae(prediction, target) == pytest.approx([1 / 3, 0.5])


def test_auc_by_hand_counts_ties_half() -> None:
    # pairs (liked, not liked): .9>.1, .9>.5, .5>.1, .5=.5 -> (3 + 1/2) / 4
    assert m.auc([0.9, 0.5, 0.1, 0.5], [1, 1, 0, 0]) == pytest.approx(3.5 / 4)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_agrees_with_scikit_learn(records: list[tuple[int, bool]]) -> None:
    scores, liked = [s for s, _ in records], [y for _, y in records]
    if len(set(liked)) < 2:
        assert np.isnan(m.auc(scores, liked))
    else:
        assert float(m.auc(scores, liked)) == pytest.approx(roc_auc_score(liked, scores))


def test_improvement_has_the_sign_of_better() -> None:
    # The paper's own columns: RMSE .1889 against .1996, AUC .7500 against .7226 (printed as 3.65%).
    assert float(m.improvement("RMSE", 0.1889, 0.1996)) == pytest.approx(5.36, abs=0.005)
    assert float(m.improvement("AUC", 0.7500, 0.7226)) == pytest.approx(3.79, abs=0.005)
    assert float(m.gain("MAE", 0.3, 0.2)) < 0 < float(m.gain("AUC", 0.3, 0.2))

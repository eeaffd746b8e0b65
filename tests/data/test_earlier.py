"""Windows of usable training records, and fair draws from them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lrrecsys_core.data.earlier import earlier_training, order_by


def test_windows_hold_strictly_earlier_training_records() -> None:
    group = np.array([0, 1, 0, 0, 1, 0])
    time = np.array([3, 1, 1, 3, 2, 5])
    train = np.array([True, True, True, False, False, True])
    window = earlier_training(group, time, train)
    assert window.count.tolist() == [1, 0, 0, 1, 1, 2]
    assert window.last(2).tolist() == [[-1, 2], [-1, -1], [-1, -1], [-1, 2], [-1, 1], [2, 0]]
    values = np.array([[1.0, 10.0]]) * np.arange(1, 7)[:, None]
    assert window.sums(values).tolist() == [[3, 30], [0, 0], [0, 0], [3, 30], [2, 20], [4, 40]]


def test_without_time_windows_hold_all_other_training_records() -> None:
    group, train = np.array([0, 0, 0, 1]), np.array([True, False, True, True])
    window = earlier_training(group, None, train)
    assert window.count.tolist() == [1, 2, 1, 0]
    assert window.last(2).tolist() == [[-1, 2], [0, 2], [-1, 0], [-1, -1]]
    assert window.sums(np.array([1, 2, 4, 8])).tolist() == [4, 5, 1, 0]


def test_draws_are_different_records_each_equally_often() -> None:
    copies = 4000
    # groups of eight training records, each of which draws five of the seven others
    group = np.repeat(np.arange(copies), 8)
    window = earlier_training(group, None, np.ones(8 * copies, bool))
    drawn = window.draw(5, np.random.default_rng(0))
    assert (np.sort(drawn, axis=1) == drawn).all(), "in the order of the records"
    assert (np.diff(drawn, axis=1) > 0).all()
    assert (drawn // 8 == group[:, None]).all()
    assert (drawn != np.arange(8 * copies)[:, None]).all()
    first = drawn[::8] % 8
    often = np.bincount(first.ravel(), minlength=8) / copies
    assert often[0] == 0
    np.testing.assert_allclose(often[1:], 5 / 7, atol=0.04)
    pairs = np.zeros((8, 8))
    for left in range(5):
        for right in range(left + 1, 5):
            np.add.at(pairs, (first[:, left], first[:, right]), 1 / copies)
    np.testing.assert_allclose(pairs[np.triu_indices(8, 1)][7:], 5 * 4 / (7 * 6), atol=0.04)


EXTREMES = st.sampled_from([-(2**63), -(2**62), -1, 0, 1, 2, 2**40, 2**62, 2**63 - 1])


@given(st.lists(st.tuples(EXTREMES | st.integers(0, 3), st.integers(0, 3), EXTREMES), min_size=1, max_size=40))
def test_records_are_ordered_by_one_key_then_the_next_and_stay_where_all_are_equal(
    records: list[tuple[int, int, int]],
) -> None:
    keys = [np.array(key, dtype=np.int64) for key in zip(*records, strict=True)]
    before = [key.copy() for key in keys]
    expected = sorted(range(len(records)), key=lambda place: records[place])
    assert order_by(*keys).tolist() == expected
    assert order_by(*(key[expected] for key in keys)).tolist() == list(range(len(records)))
    for key, copy in zip(keys, before, strict=True):
        np.testing.assert_array_equal(key, copy)

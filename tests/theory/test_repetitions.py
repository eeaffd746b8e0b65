"""Seeds, cache, bootstrap: what every simulation rests on."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.theory import repetitions
from lrrecsys_core.theory.repetitions import bands, bootstrap, cached, generator, matrix, rates, repeat, slope_on


def test_named_generators_repeat_and_differ() -> None:
    first = generator(0, "a", 1).standard_normal(3)
    assert np.array_equal(first, generator(0, "a", 1).standard_normal(3))
    others = [generator(1, "a", 1), generator(0, "b", 1), generator(0, "a", 2)]
    assert all(not np.allclose(first, other.standard_normal(3)) for other in others)


def test_cache_is_read_until_a_parameter_or_the_code_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def make() -> pl.DataFrame:
        calls.append(1)
        return pl.DataFrame({"a": [len(calls)]})

    assert cached(tmp_path, "x", {"n": 1}, "theory.lasso", make)["a"][0] == 1
    assert cached(tmp_path, "x", {"n": 1}, "theory.lasso", make)["a"][0] == 1
    assert cached(tmp_path, "x", {"n": 2}, "theory.lasso", make)["a"][0] == 2
    assert len(list(tmp_path.glob("*.parquet"))) == len(list(tmp_path.iterdir())) == 2
    assert cached(tmp_path, "x", {"n": 1}, "theory.recovery", make)["a"][0] == 3
    monkeypatch.setattr(repetitions, "code_hash", lambda *_: "another gamma")
    assert cached(tmp_path, "x", {"n": 1}, "theory.lasso", make)["a"][0] == 4


def test_a_failed_simulation_leaves_no_file(tmp_path: Path) -> None:
    def make() -> pl.DataFrame:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "x", {}, "theory.lasso", make)
    assert not list(tmp_path.iterdir())


def test_repeat_keeps_order_for_any_number_of_jobs() -> None:
    one = repeat(lambda index: [{"repetition": index, "v": index**2}], 5)
    two = repeat(lambda index: [{"repetition": index, "v": index**2}], 5, jobs=2)
    assert one.equals(two)
    assert one["v"].to_list() == [0, 1, 4, 9, 16]


def test_matrix_sorts_levels_and_repetitions() -> None:
    frame = pl.DataFrame({"repetition": [1, 0, 0, 1], "x": [10, 100, 10, 100], "v": [3.0, 2.0, 1.0, 4.0]})
    levels, values = matrix(frame, "x", "v")
    assert levels.tolist() == [10, 100]
    assert values.tolist() == [[1, 2], [3, 4]]


def test_slope_and_its_interval() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0])
    exact = bootstrap(np.tile(5 - 2 * x, (6, 1)), slope_on(x))
    assert (exact.effect, exact.low, exact.high) == pytest.approx((-2, -2, -2))
    assert exact.p == 1
    rng = np.random.default_rng(0)
    noisy = bootstrap(0.5 * x + rng.standard_normal((200, 4)), slope_on(x))
    # Standard error of a slope on 0..3 is 1 / sqrt(5), over sqrt(200) repetitions 0.032.
    assert noisy.high - noisy.low == pytest.approx(2 * 1.96 * 0.0316, rel=0.2)
    assert noisy.low < 0.5 < noisy.high
    assert noisy.p == pytest.approx(1 / 2001)


def test_bands_cover_the_mean_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    cells = [(cell, r, v) for cell in range(200) for r, v in enumerate(rng.standard_normal(40))]
    frame = pl.DataFrame(cells, schema=["cell", "repetition", "v"], orient="row")
    band = bands(frame, ["cell"], "v", draws=400)
    covered = ((band["low"] < 0) & (band["high"] > 0)).mean()
    assert 0.88 < covered < 0.98  # type: ignore[operator]


def test_a_rate_of_one_has_an_interval_of_some_width() -> None:
    frame = pl.DataFrame({"n": [1] * 20, "hit": [1.0] * 20, "repetition": range(20)})
    row = rates(frame, ["n"], "hit").row(0, named=True)
    assert row["mean"] == 1
    # Wilson's lower end for 20 of 20 is n / (n + z^2).
    assert row["low"] == pytest.approx(20 / (20 + 1.959964**2), abs=1e-6)

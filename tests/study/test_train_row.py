"""A row's numbers: averaged networks, and floors that know a market's truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.models.base import TASKS
from lrrecsys_core.profiles import PROFILES
from lrrecsys_core.rows import Texts
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.points import Step
from lrrecsys_core.study.study import Study, runnable
from lrrecsys_core.study.texts import make_text_set
from lrrecsys_core.study.train_row import SEED_STEP, CellResult, Given, Training, run_row

BOTH = (("regression", Step()), ("classification", Step()))
AT = ["replicate", "task", "record"]


def hotels(**size: int) -> Split:
    return make_split(simulate_market("hotels", 3, replace(DEFAULT_PARAMETERS["hotels"], **size)))


def test_a_row_s_prediction_is_the_mean_of_networks_that_differ_in_their_seed() -> None:
    split = hotels(users=40, items=40, records_per_user=10)
    texts = make_text_set(split, Texts(), seed=7, epochs=30, with_shift=False)[0]

    def run(seeds: tuple[int, ...], networks: int) -> CellResult:
        given = [Given(split, texts, seed, BOTH, k) for k, seed in enumerate(seeds)]
        return run_row(rows.BY_NAME[rows.LR], "hotels", given, Training(3, 3, networks=networks))

    def predictions(result: CellResult) -> pl.DataFrame:
        return result.predictions.filter(row=rows.LR).sort(AT)

    def metrics(result: CellResult) -> pl.DataFrame:
        return result.metrics.filter(row=rows.LR).sort("replicate", "metric", "part")

    seeds = (7, 8)
    both = run(seeds, 2)
    alone = [run(tuple(seed + SEED_STEP * k for seed in seeds), 1) for k in range(2)]
    assert both.trained is not None and [len(own) for own in both.trained.modules[1]] == [2, 2]
    for column in ("prediction", "attention_positive", "attention_user"):
        one, two = (predictions(result)[column].to_numpy() for result in alone)
        assert np.abs(one - two).max() > 1e-3
        np.testing.assert_allclose(predictions(both)[column], (one + two) / 2, atol=2e-5)
    told, singles = metrics(both), [metrics(result) for result in alone]
    at = ["replicate", "metric", "part"]
    assert all(told.select(at).equals(frame.select(at)) for frame in singles)
    mean = sum(frame["value"].to_numpy() for frame in singles) / 2
    np.testing.assert_allclose(told["single"], mean, atol=1e-4)
    for frame in singles:
        np.testing.assert_allclose(frame["single"], frame["value"])
    # A root mean square error is convex: that of the mean is no more than the mean of those of the networks.
    errors = told.filter(metric="RMSE")
    assert (errors["value"] < errors["single"]).all()


def test_networks_are_averaged_on_markets_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    table = tmp_path_factory.mktemp("data") / "shop.csv"
    table.write_text("user_id,item_id,rating\n" + "".join(f"u{k % 3},i{k},{1 + k % 5}\n" for k in range(12)))
    profile = replace(PROFILES["smoke"], networks=3)
    study = Study(profile, [f"table:{table}"])
    assert Cell(study, "shop", rows.BIASED_MF).training.networks == 1
    assert Cell(Study(profile), "hotels", rows.BIASED_MF).training.networks == 3


def test_seeds_of_averaged_networks_meet_no_other_replicate() -> None:
    for profile in PROFILES.values():
        seeds = [seed + SEED_STEP * k for seed in profile.seeds for k in range(profile.networks)]
        assert len(seeds) == len(set(seeds))


def test_floors_that_know_the_truth_stand_in_order() -> None:
    """True tastes tell more than the balance of reasons over S*, and that more than the biases alone."""
    given = [Given(hotels(users=300, items=150), None, 0, BOTH, 0)]
    error, likes = {}, {}
    for name in (rows.CEILING, rows.MATCH, rows.BIASES):
        frame = run_row(rows.BY_NAME[name], "hotels", given, Training()).metrics.filter(part="test")
        error[name], likes[name] = (frame.filter(metric=m)["value"].item() for m in ("RMSE", "AUC"))
        assert frame["single"].null_count() == frame["own_part"].null_count() == frame.height
    assert (
        error[rows.CEILING] < 0.8 * error[rows.BIASES] and error[rows.CEILING] < error[rows.MATCH] < error[rows.BIASES]
    )
    assert likes[rows.CEILING] > likes[rows.MATCH] > likes[rows.BIASES]


def test_floors_that_know_the_truth_are_of_markets_with_tastes() -> None:
    market = hotels(users=40, items=40, records_per_user=10).dataset
    for name in (rows.CEILING, rows.MATCH):
        assert rows.BY_NAME[name].computed and runnable(name, market)
        assert not runnable(name, replace(market, simulated=False, truth=None))
        assert not runnable(name, replace(market, name=rows.NULL_PREFIX + "hotels"))
    assert set(TASKS) == {"regression", "classification"}

"""Points are chosen on validation, on settling markets or on a sample without test records, and kept per data set."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.split import make_split
from lrrecsys_core.models.base import TASKS
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study import points as chosen
from lrrecsys_core.study.points import Point, Step, chosen_point
from lrrecsys_core.study.search import HALF, POINTS, SearchStudy, best_points, forget, grid, sampled, search


def shop(users: int = 30, each: int = 8) -> Dataset:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(users), each)
    what = np.concatenate([rng.permutation(25)[:each] for _ in range(users)])
    frame = pl.DataFrame(
        {
            "user_id": [f"u{k}" for k in who],
            "item_id": [f"i{k}" for k in what],
            "rating": rng.integers(1, 6, len(who)).astype(float),
            "timestamp": np.arange(len(who)),
        }
    )
    items = pl.DataFrame({"item_id": [f"i{k}" for k in range(25)], "name": [f"Thing {k}" for k in range(25)]})
    return make_dataset("shop", "product", frame, items)


def test_a_sample_holds_no_test_record_and_no_more_records_than_asked() -> None:
    split = make_split(shop())
    small = sampled(split, 100)
    assert set(small.train) < set(split.train) and set(small.validation) < set(split.validation)
    assert len(small.train) > 0 and len(small.validation) > 0 and len(small.test) == 0
    known = np.concatenate([small.train, small.validation])
    assert 80 < len(known) <= 100
    # 180 records are known: of sqrt(100 / 180) of the 30 users, the items that these rated most, whole.
    users = np.unique(split.user_position[known])
    assert len(users) == round(30 * (100 / 180) ** 0.5)
    all_known = np.concatenate([split.train, split.validation])
    theirs = all_known[np.isin(split.user_position[all_known], users)]
    counts = np.bincount(split.item_position[theirs], minlength=25)
    kept = np.unique(split.item_position[known])
    assert len(known) == counts[kept].sum()
    left = np.delete(counts, kept).max()
    assert counts[kept].min() >= left > 100 - len(known)
    assert (split.train == make_split(shop()).train).all()


def test_a_sample_of_small_data_leaves_out_the_test_records_alone() -> None:
    split = make_split(shop())
    small = sampled(split, 180)
    assert (small.train == split.train).all() and (small.validation == split.validation).all()
    assert len(small.test) == 0


def test_every_model_searched_has_as_many_points() -> None:
    for row in rows.SEARCHED:
        points = [json.dumps(point, sort_keys=True) for point in grid(row)]
        assert len(set(points)) == POINTS


@pytest.mark.parametrize("row", rows.SEARCHED)
def test_the_half_tried_on_real_data_gives_every_setting_its_values_equally_often(row: str) -> None:
    points = grid(row)
    for name in points[0]:
        tried, all_values = ([json.dumps(points[k].get(name)) for k in some] for some in (HALF, range(POINTS)))
        assert 2 * Counter(tried).total() == Counter(all_values).total() == POINTS
        assert {value: 2 * count for value, count in Counter(tried).items()} == Counter(all_values)


def test_the_network_serves_both_tasks_and_each_task_has_its_own_step() -> None:
    points = [{"lr": lr, "weight_decay": 0.0, "kind": kind} for kind in "ab" for lr in (0.1, 0.2)]
    values = {0: (0.20, 0.70), 1: (0.24, 0.80), 2: (0.19, 0.60), 3: (0.30, 0.65)}
    found = [
        (point, name, 0, metric, value + shift)
        for point, pair in values.items()
        for metric, value in zip(("RMSE", "AUC"), pair, strict=True)
        for name, shift in (("first", 0.0), ("second", 0.01))
    ]
    frame = pl.DataFrame(found, schema=["point", "dataset", "replicate", "metric", "value"], orient="row")
    # Network b has the best regression by little, but its best classification is far behind that of network a.
    assert best_points(frame, points) == {"regression": 0, "classification": 1}


@pytest.mark.parametrize(("larger", "points"), [(240, HALF), (241, range(POINTS))])
def test_chosen_points_are_kept_per_data_set_and_searched_once(
    larger: int, points: Sequence[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    table = tmp_path / "shop.csv"
    data = shop()
    data.interactions.write_csv(table)
    study = SearchStudy([f"table:{table}?timestamp=timestamp"])
    file = tmp_path / "points.json"
    monkeypatch.setattr("lrrecsys_core.study.search.LARGER", larger)
    told = search(study, [rows.BIASED_MF], into=file, progress=False)
    assert told[rows.BIASED_MF]["regression"]["point"] in points
    assert set(json.loads(file.read_text())) == {"shop"}
    tried = pl.read_parquet(next((tmp_path / "results").rglob("search/*.parquet")))
    assert sorted(tried["point"].unique()) == list(points)
    monkeypatch.setattr("lrrecsys_core.study.search.search_row", lambda *_: pytest.fail("searched twice"))
    assert search(study, [rows.BIASED_MF], into=file, progress=False) == told
    forget(study, into=file)
    assert json.loads(file.read_text()) == {}


def searched(row: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, list]:
    """What is chosen where larger numbers win on all records and lose on a sample; records and points of each pass."""
    table = tmp_path / "shop.csv"
    data = shop()
    data.interactions.join(data.items.select("item_id", "name"), on="item_id", maintain_order="left").write_csv(table)
    passes = []

    def row_of(study: SearchStudy, row: str, numbers: Sequence[int]) -> pl.DataFrame:
        split = study.split("shop")
        passes.append((len(split.train), len(split.validation), len(split.test), list(numbers)))
        order = {k: k if len(split.train) > 100 else -k for k in numbers}
        every = [
            (k, "shop", 0, metric, 0.5 + sign * place / 100)
            for k, place in order.items()
            for metric, sign in (("RMSE", -1), ("AUC", 1))
        ]
        return pl.DataFrame(every, schema=["point", "dataset", "replicate", "metric", "value"], orient="row")

    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    monkeypatch.setattr("lrrecsys_core.study.search.SAMPLE", 100)
    monkeypatch.setattr("lrrecsys_core.study.search.LARGER", 100)
    monkeypatch.setattr("lrrecsys_core.study.search.search_row", row_of)
    study = SearchStudy([f"table:{table}?timestamp=timestamp&name=name"], whole=whole)
    return search(study, [row], into=tmp_path / "points.json", progress=False)[row], passes


def test_networks_are_chosen_on_a_sample_and_their_steps_on_all_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = make_split(shop())
    points = grid("AMCF")
    assert (
        [points[k]["strength"] for k in (0, 6)]
        == [points[0]["strength"]] * 2
        != [points[k]["strength"] for k in (3, 5)]
    )
    told, (first, second) = searched("AMCF", False, tmp_path, monkeypatch)
    assert sum(first[:2]) <= 100 and first[2:] == (0, list(HALF))
    # On the sample point 0 is best, and with it the network of points 0 and 6; on all records 6 is better.
    assert second == (len(known.train), len(known.validation), 0, [0, 6])
    assert told["regression"]["point"] == told["classification"]["point"] == 6
    assert told["params"] == {"strength": points[0]["strength"]}


@pytest.mark.parametrize(("row", "whole", "tried"), [(rows.LETTER, False, HALF), ("AMCF", True, range(POINTS))])
def test_one_network_or_a_whole_search_needs_no_sample(
    row: str, whole: bool, tried: Sequence[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = make_split(shop())
    told, passes = searched(row, whole, tmp_path, monkeypatch)
    assert passes == [(len(known.train), len(known.validation), 0, list(tried))]
    assert told["regression"]["point"] == tried[-1]


def test_where_every_point_is_a_network_the_sample_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, passes = searched("SASRec", False, tmp_path, monkeypatch)
    assert len(passes) == 1 and sum(passes[0][:2]) <= 100
    assert told["regression"]["point"] == 0


def test_texts_of_a_sample_are_not_read_for_all_records(tmp_path: Path) -> None:
    study = SearchStudy([f"table:{tmp_path / 'shop.csv'}"])
    assert study.on_all.folder != study.folder


def test_no_seed_of_a_report_is_searched() -> None:
    for profile in ("smoke", "demo", "paper"):
        assert max(SearchStudy().seeds) < min(get_profile(profile).seeds)


def test_a_row_trains_at_the_points_of_its_data_else_at_those_of_the_markets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(lr: float) -> dict[str, object]:
        return {"params": {}, **{task: {"lr": lr * k, "weight_decay": 0.0} for k, task in enumerate(TASKS, 1)}}

    def point(lr: float) -> Point:
        return Point(Step(lr), Step(2 * lr))

    def point_of(row: str, *dataset: str) -> Point:
        return chosen_point(rows.BY_NAME[row], *dataset)

    file = tmp_path / "points.json"
    markets = {rows.LR: told(0.01), "MTER": told(0.02), rows.COMPARER: told(0.04)}
    file.write_text(json.dumps({"markets": markets, "shop": {rows.LR: told(0.03)}}))
    monkeypatch.setattr(chosen, "SHIPPED", file)
    assert point_of(rows.LR) == point(0.01) and point_of(rows.LR, "shop") == point(0.03)
    assert point_of("MTER", "shop") == point(0.02)
    assert point_of(rows.without_biases("MTER")) == point(0.02)
    assert point_of(rows.without_biases(rows.COMPARER)) == point(0.04)
    assert point_of(rows.at_fraction("MTER", 25)) == point(0.02)
    assert point_of(rows.SHUFFLE_ALL, "shop") == point_of(rows.ABLATION1, "shop") == point(0.03)
    file.write_text(json.dumps({"markets": markets, "shop": {rows.LR: told(0.03), rows.ABLATION1: told(0.05)}}))
    chosen._tables.cache_clear()
    assert point_of(rows.ABLATION1, "shop") == point(0.05)
    assert point_of(rows.SHUFFLE_ALL, "shop") == point_of(rows.ABLATION2, "shop") == point(0.03)


def test_the_shipped_points_belong_to_the_grids() -> None:
    listed = json.loads(chosen.SHIPPED.read_text(encoding="utf-8"))
    for dataset, points in listed.items():
        # A real set lacks the rows whose grid has changed since its search; these train at the points of the markets.
        assert set(points) <= set(rows.SEARCHED) and (dataset != chosen.MARKETS or set(points) == set(rows.SEARCHED))
        assert {told[task]["point"] for told in points.values() for task in TASKS} <= set(range(POINTS)), dataset
        for row, told in points.items():
            for task in TASKS:
                point = dict(grid(row)[told[task]["point"]])
                assert (point.pop("lr"), point.pop("weight_decay")) == (told[task]["lr"], told[task]["weight_decay"])
                assert point == told["params"], (dataset, row)
    assert {model.name for model in (*rows.PAPER_BASELINES, *rows.FURTHER_BASELINES)} < set(rows.SEARCHED)

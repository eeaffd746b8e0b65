"""What every model of Table 2 must satisfy, whatever it computes."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from lrrecsys_core import rows
from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.models.ablations import FreeVectors, LRRecsysNCF
from lrrecsys_core.models.aspect.mter import MTER, ComparER
from lrrecsys_core.models.base import TASKS, Recommender, Sizes
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.models.sequential.sasrec import SASRec
from lrrecsys_core.study.train_row import build_module
from lrrecsys_core.training.fit import Fit, Replicate, as_tensors, fit, predict
from tests.models.training import area, batch_of

MODELS = {model.name: model for model in (*rows.PAPER_BASELINES, *rows.FURTHER_BASELINES)}
EVERY = pytest.mark.parametrize("name", MODELS)
PHRASES = ("pool", "bar", "garden", "view", "quiet rooms", "breakfast")


@cache
def split(seed: int = 0, told: str = "nothing", users: int = 40) -> Split:
    """Records whose ratings follow from nothing (beyond a common level) and whose aspects may tell them.

    `told` says what the aspects of a record say: "nothing"; "all": its own rating, in name and sentiment; "other":
    as "nothing", but every test record has another rating and other aspects.
    """
    rng = np.random.default_rng(seed)
    names = [f"item{k:02d}" for k in range(30)]
    kinds = ("inn", "lodge", "hostel")
    details = ["; ".join([kinds[k % 3], *rng.choice(PHRASES, 2, replace=False)]) for k in range(30)]
    drawn = [(u, k, t) for u in range(users) for t, k in enumerate(rng.permutation(30)[:12])]
    rating = rng.choice([2.0, 3.0, 4.0, 5.0, 5.0], len(drawn))
    said = np.array([rng.choice(PHRASES, 2, replace=False) for _ in drawn])
    late = np.array([t >= 9 for _, _, t in drawn])
    if told == "other":
        rating, said = np.where(late, 6 - rating, rating), np.where(late[:, None], said[:, ::-1], said)
        said[late, 0] = "view"
    liked = rating >= 4
    if told == "all":
        said = np.where(liked[:, None], ["praise", "bar"], ["blame", "pool"])
    who = {"user_id": [f"u{u:03d}" for u, _, _ in drawn], "item_id": [names[k] for _, k, _ in drawn]}
    records = pl.DataFrame({**who, "rating": rating, "timestamp": [100 * t for _, _, t in drawn]})
    signs = np.where(liked, 1, -1)
    aspects = pl.concat([pl.DataFrame({**who, "aspect": said[:, j], "sentiment": signs}) for j in (0, 1)])
    items = pl.DataFrame({"item_id": names, "name": [f"House {n}" for n in names], "details": details})
    return make_split(make_dataset("even", "hotel", records, items, aspects=aspects.unique(maintain_order=True)))


@cache
def fields(name: str, seed: int = 0, told: str = "nothing", users: int = 40) -> dict[str, Tensor]:
    data = split(seed, told, users)
    return as_tensors({**data.fields(), **MODELS[name].record_fields(data, Sizes.of(data))})


def built(
    name: str, seed: int = 0, told: str = "nothing", users: int = 40, task: str = "regression", **params: Any
) -> Recommender:
    data = split(seed, told, users)
    return build_module(MODELS[name], data, Sizes.of(data), task, seed, params).eval()


def fitted(
    name: str,
    told: str = "nothing",
    users: int = 40,
    epochs: int = 3,
    lr: float = 0.01,
    weight_decay: float = 0.0,
    **params: Any,
) -> Fit[Recommender]:
    data = split(0, told, users)
    modules = [built(name, 0, told, users, task, **params) for task in TASKS]
    replicates = [Replicate(7, data.train, data.validation, task, lr, weight_decay) for task in TASKS]
    return fit(
        modules, [fields(name, 0, told, users)] * 2, replicates, epochs=epochs, pretrain_epochs=2, patience=epochs
    )


def read(name: str, model: Recommender) -> dict[str, Tensor]:
    return batch_of({k: v.numpy() for k, v in fields(name).items() if k in model.reads})


def test_all_rows_are_there() -> None:
    assert len(rows.PAPER_BASELINES) == 14 and len(MODELS) == 14 + len(rows.FURTHER_BASELINES)


@EVERY
def test_says_what_it_is(name: str) -> None:
    kind = MODELS[name]
    assert kind.name == name and kind.tier in ("faithful", "adapted", "reduced")
    assert kind.deviations.startswith("D1 ")
    numbers = [int(number) for number in re.findall(r"\bD(\d+) ", kind.deviations)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) == len(set(numbers))
    assert len(kind.grid) == 8 and all({"lr", "weight_decay"} <= set(point) for point in kind.grid)
    assert len({str(sorted(point.items())) for point in kind.grid}) == 8


def test_deviations_are_read_off_the_docstrings() -> None:
    assert ComparER.deviations == MTER.deviations and "the polarity of a mention is its opinion" in MTER.deviations
    assert LRRecsysNCF.deviations.startswith("D1 the paper's") and LRRecsysNCF.deviations.endswith("would be two.")
    assert LRRecsys.deviations == FreeVectors.deviations == ""
    assert SASRec.deviations.endswith("instead of 0.98.")  # the paragraph after it is left out


@EVERY
def test_own_biases_are_those_that_no_switch_takes_away(name: str) -> None:
    with_biases, without = built(name), built(name, biases=False)
    batch = read(name, with_biases)
    states = [{**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (with_biases, without)]
    same = states[0].keys() == states[1].keys() and all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    assert (same and torch.equal(with_biases(batch), without(batch))) == MODELS[name].own_biases


@EVERY
def test_every_grid_point_can_be_built(name: str) -> None:
    data, kind = split(), MODELS[name]
    seen: list[dict[str, Any]] = []
    for point in kind.grid:
        params = {k: v for k, v in point.items() if k not in ("lr", "weight_decay")}
        if params in seen:
            continue
        seen.append(params)
        model = kind.build(data, Sizes.of(data), "regression", **params)
        told = {**data.fields(), **kind.record_fields(data, Sizes.of(data), **params)}
        drawn = model.draws(64, np.random.default_rng(0))
        chosen = batch_of({**{k: v[data.train[:64]] for k, v in told.items()}, **drawn})
        assert model.loss(chosen).isfinite()
        if model.pretrains:
            assert model.pretrain_loss(chosen).isfinite()


@EVERY
def test_what_test_records_say_changes_no_prediction(name: str) -> None:
    plain, other = split(told="nothing"), split(told="other")
    assert (plain.target[plain.test] != other.target[other.test]).any()
    assert (plain.target[plain.train] == other.target[other.train]).all()
    one, two = built(name), built(name, told="other")
    np.testing.assert_array_equal(
        predict(one, fields(name), plain.test), predict(two, fields(name, told="other"), other.test)
    )


@EVERY
def test_the_score_reads_no_target(name: str) -> None:
    model = built(name)
    batch = read(name, model)
    order = torch.randperm(len(batch["user"]))
    own = ("target", "words", "text", "planned", "own_sentiment", "window", "next_text")
    mixed = {k: v[order] if k in own else v for k, v in batch.items()}
    torch.testing.assert_close(model(mixed), model(batch), rtol=0, atol=0)


@EVERY
def test_knowing_nothing_is_finite(name: str) -> None:
    model = built(name)
    blank = {k: np.zeros_like(v[:4].numpy()) for k, v in fields(name).items() if k in model.reads}
    assert model(batch_of(blank)).isfinite().all()


@EVERY
@pytest.mark.parametrize("task", TASKS)
def test_without_its_core_it_is_the_bias_model(name: str, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(name, task=task)
    if type(model).forward is not Recommender.forward or not model.biases:
        pytest.skip("links its score to the rating in its own way")
    data = split()
    monkeypatch.setattr(type(model), "score", lambda self, batch: torch.zeros(len(batch["user"])))
    batch = read(name, model)
    shared = residual_biases(data, task)
    assert min(np.abs(part).max() for part in shared) > 1e-3
    np.testing.assert_allclose(model(batch).numpy(), bias_logits(data, task, *shared), rtol=0, atol=1e-5)
    rng = np.random.default_rng(0)
    others = rng.normal(size=data.n_users), rng.normal(size=data.n_items)
    model.hold_biases(*(torch.from_numpy(part).float() for part in others))
    np.testing.assert_allclose(model(batch).numpy(), bias_logits(data, task, *others), rtol=0, atol=1e-5)


@EVERY
@pytest.mark.parametrize("task", TASKS)
def test_a_logit_of_bias_moves_every_model_by_a_logit(name: str, task: str) -> None:
    data, model = split(), built(name, task=task)
    batch = read(name, model)
    batch = {k: v[data.train.copy()] if v.dim() else v for k, v in batch.items()}
    logits = []
    for of_user, of_item in ((0.0, 0.0), (0.05, 0.0), (0.05, -0.1)):
        model.hold_biases(torch.full((data.n_users,), of_user), torch.full((data.n_items,), of_item))
        logits.append(model(batch).detach())
    # PETER adds biases to ratings, MTER behind a sigmoid of their own: worth a logit near the mean rating.
    assert (logits[1] - logits[0]).mean().item() == pytest.approx(0.05, rel=0.15)
    assert (logits[2] - logits[1]).mean().item() == pytest.approx(-0.1, rel=0.15)


@EVERY
def test_without_biases_it_takes_none_unless_its_method_has_them(name: str) -> None:
    data, model = split(), built(name, biases=False)
    batch, logits = read(name, model), []
    for level in (0.0, 0.25):
        model.hold_biases(torch.full((data.n_users,), level), torch.full((data.n_items,), level))
        logits.append(model(batch).detach())
    torch.testing.assert_close(logits[1], logits[0] + (0.5 if MODELS[name].own_biases else 0.0))


@EVERY
def test_fixed_biases_do_not_move_in_fit(name: str) -> None:
    data, run = split(), fitted(name, epochs=1, weight_decay=0.1)
    for task, module in zip(TASKS, run.modules, strict=True):
        fresh = built(name, task=task)
        assert fresh.biases
        assert not {"user_bias.weight", "item_bias.weight"} & set(dict(module.named_parameters()))
        assert torch.equal(module.user_bias.weight, fresh.user_bias.weight) and fresh.user_bias.weight.any()
        assert torch.equal(module.item_bias.weight, fresh.item_bias.weight) and fresh.item_bias.weight.any()
        assert module.user_bias.weight.shape == (data.n_users, 1) and not module.user_bias.weight[0].any()


@EVERY
def test_same_seed_same_model_and_evaluation_is_deterministic(name: str) -> None:
    first, second = (fitted(name, epochs=1) for _ in range(2))
    for one, two in zip(first.modules, second.modules, strict=True):
        for key, value in one.state_dict().items():
            assert torch.equal(value, two.state_dict()[key]), key
    rows_ = split().test
    again = [predict(first.modules[1], fields(name), rows_) for _ in range(2)]
    np.testing.assert_array_equal(*again)


@EVERY
def test_aspects_that_give_the_rating_away_do_not_help(name: str) -> None:
    data = split(0, "all", 150)
    run = fitted(name, "all", 150, epochs=4)
    probability = predict(run.modules[1], fields(name, 0, "all", 150), data.test)
    assert np.isfinite(probability).all()
    assert area(torch.from_numpy(probability), data.liked[data.test]) == pytest.approx(0.5, abs=0.1)


@EVERY
def test_predictions_centre_on_the_outcomes_without_biases_too(name: str) -> None:
    data = split()
    run = fitted(name, epochs=25, lr=0.02, biases=False)
    # A sequence model without biases has nothing to say before the first item.
    told = data.train[data.history_mask[data.train].any(1)]
    mean = float(predict(run.modules[0], fields(name), told).mean())
    assert mean == pytest.approx(float(data.target[told].mean()), abs=0.05)

"""fit must give, replicate by replicate, what separate plain loops give; and stop, freeze and pad as it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lrrecsys_core.errors import InputError
from lrrecsys_core.models.ablations import FreeVectors, WithoutIds
from lrrecsys_core.models.aspect.anr import ANR
from lrrecsys_core.models.base import Batch, Recommender, Sizes
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.models.sequential.bert4rec import BERT4Rec
from lrrecsys_core.training.fit import Replicate, as_tensors, fit, predict
from lrrecsys_core.training.reference import fit_plain
from lrrecsys_core.training.stack import Stack
from tests.models.training import hold_random_biases

USERS, ITEMS, RECORDS = 12, 15, 240


def make_fields(seed: int = 0, records: int = RECORDS) -> dict[str, torch.Tensor]:
    """Random records with unseen users and items (0), short histories and explanation embeddings."""
    rng = np.random.default_rng(seed)
    history = rng.integers(0, ITEMS, (records, 5))
    history[: records // 3, :3] = 0
    history[0] = 0
    item = rng.integers(0, ITEMS, records)
    target = 1 / (1 + np.exp(-(rng.normal(size=records) * 0.3 + np.sin(item))))
    return as_tensors(
        {
            "user": rng.integers(0, USERS, records),
            "item": item,
            "history": history,
            "history_mask": history > 0,
            "target": target,
            "liked": (target > 0.5).astype(float),
            "positive": rng.normal(size=(records, 8)),
            "negative": rng.normal(size=(records, 8)),
        }
    )


def build(seed: int, kind: type[LRRecsys] = LRRecsys, **params: object) -> LRRecsys:
    """A network on top of residual biases, of another size in every replicate."""
    torch.manual_seed(seed)
    model = kind(Sizes(USERS, ITEMS), rate=0.6, **params).double()  # type: ignore[arg-type]
    hold_random_biases(model)
    return model


def replicates(validation: bool = True) -> list[Replicate]:
    """Three runs of both tasks with unequal record counts, so that padding and resting replicates occur."""
    rng = np.random.default_rng(5)
    out = []
    for seed, (count, task, lr) in enumerate(
        [(150, "regression", 0.01), (97, "classification", 0.003), (32, "regression", 0.03)]
    ):
        rows = rng.permutation(RECORDS)
        out.append(Replicate(seed, rows[:count], rows[180:] if validation else rows[:0], task, lr))
    return out


@pytest.mark.parametrize(
    ("model", "params"),
    [(LRRecsys, {}), (LRRecsys, {"biases": False}), (FreeVectors, {"per_item": True}), (WithoutIds, {})],
)
@pytest.mark.parametrize("validation", [True, False])
def test_fit_equals_separate_plain_loops(model: type[LRRecsys], params: dict[str, object], validation: bool) -> None:
    fields, runs = make_fields(), replicates(validation)
    together = fit(
        [build(r.seed, model, **params) for r in runs], [fields] * 3, runs, epochs=9, batch_size=32, patience=2
    )
    for position, run in enumerate(runs):
        alone, epoch = fit_plain(build(run.seed, model, **params), fields, run, epochs=9, batch_size=32, patience=2)
        assert together.epochs[position] == epoch
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(together.modules[position].state_dict()[name], value, rtol=0, atol=1e-9)


def test_replicates_with_their_own_records_equal_separate_loops() -> None:
    """Markets differ: every replicate brings fields of its own, of its own length."""
    runs = replicates()
    fields = [make_fields(seed, RECORDS + 10 * seed) for seed in range(3)]
    together = fit([build(r.seed) for r in runs], fields, runs, epochs=4, batch_size=50)
    for position, run in enumerate(runs):
        alone, _ = fit_plain(build(run.seed), fields[position], run, epochs=4, batch_size=50)
        rows = np.arange(RECORDS)
        np.testing.assert_allclose(
            predict(together.modules[position], fields[position], rows),
            predict(alone, fields[position], rows),
            atol=1e-9,
        )


def test_reserved_row_stays_zero_and_untouched_rows_do_not_move() -> None:
    fields = make_fields()
    fields["user"] = fields["user"].clamp(max=USERS - 3)  # the last two users never occur
    before = build(0)
    start = before.get_parameter("users.weight").detach().clone()
    run = Replicate(0, np.arange(200), np.arange(200, RECORDS))
    after = fit([before], [fields], [run], epochs=3).modules[0]
    end = after.get_parameter("users.weight")
    assert torch.equal(end[0], torch.zeros(8, dtype=torch.float64))
    assert torch.equal(end[-2:], start[-2:])
    assert not torch.equal(end[1:-2], start[1:-2])


def test_fixed_biases_count_and_stay() -> None:
    fields, module = make_fields(), build(0)
    before = module.user_bias.weight.clone(), module.item_bias.weight.clone()
    run = Replicate(0, np.arange(200), np.arange(200, RECORDS), weight_decay=0.1)
    with_biases = fit([module], [fields], [run], epochs=3)
    assert torch.equal(module.user_bias.weight, before[0]) and torch.equal(module.item_bias.weight, before[1])
    assert before[0].abs().max() > 0.1 and before[1].abs().max() > 0.1
    blank = build(0)
    blank.hold_biases(torch.zeros(USERS), torch.zeros(ITEMS))
    assert fit([blank], [fields], [run], epochs=3).curves[0][0] != pytest.approx(with_biases.curves[0][0], rel=1e-3)


def pretrainer(kind: type[Recommender], seed: int = 0, rate: float = 0.6, **params: object) -> Recommender:
    """A model with a first stage, its residual biases drawn anew."""
    sizes = Sizes(USERS, ITEMS)
    torch.manual_seed(seed)
    if kind is ANR:
        model: Recommender = ANR(sizes, rate, pretrain=True, vocabulary=12)
    else:
        model = BERT4Rec(sizes, rate, dropout=0.0, **params)  # type: ignore[arg-type]
    torch.manual_seed(int(100 * rate))
    hold_random_biases(model)
    return model.double()


def with_documents(seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    told = {f"{of}_document": rng.integers(1, 12, (RECORDS, 4)) for of in ("user", "item")}
    return {**make_fields(seed), **as_tensors(told)}


def both_tasks(train: np.ndarray, validation: np.ndarray) -> list[Replicate]:
    return [Replicate(4, train, validation, task) for task in ("regression", "classification")]


@pytest.mark.parametrize(("kind", "moved", "stages"), [(BERT4Rec, "items.weight", 1), (ANR, "words", 2)])
def test_two_tasks_of_a_seed_share_a_first_stage_that_reads_no_outcome(
    kind: type[Recommender], moved: str, stages: int
) -> None:
    fields, train = with_documents(), np.arange(200)
    modules = [pretrainer(kind, rate=rate) for rate in (0.6, 0.3)]
    start = {name: value.detach().clone() for name, value in modules[1].named_parameters()}
    kept = [{name: value.clone() for name, value in module.named_buffers()} for module in modules]
    run = fit(modules, [fields] * 2, both_tasks(train, np.arange(0)), epochs=0, pretrain_epochs=3)
    assert run.examples == 3 * 200 * stages
    equal = [torch.equal(value, modules[1].get_parameter(name)) for name, value in modules[0].named_parameters()]
    assert all(equal) == (stages == 1)
    assert not torch.equal(modules[1].get_parameter(moved), start[moved])
    for module, buffers in zip(modules, kept, strict=True):
        known = {name for name in buffers if not name.endswith((".seed", ".step"))}  # of noise, which `fit` sets
        assert all(torch.equal(module.get_buffer(name), buffers[name]) for name in known)
    if kind is BERT4Rec:
        assert not any(module.pretrains for module in modules)


def test_twins_end_as_if_each_had_been_alone() -> None:
    fields, runs = with_documents(), both_tasks(np.arange(180), np.arange(180, RECORDS))
    runs.append(Replicate(5, runs[0].train, runs[0].validation, "classification"))
    build_all = [lambda: pretrainer(BERT4Rec), lambda: pretrainer(BERT4Rec, rate=0.3), lambda: pretrainer(BERT4Rec, 1)]
    stages = {"epochs": 3, "pretrain_epochs": 2, "batch_size": 50, "patience": 9}
    together = fit([make() for make in build_all], [fields] * 3, runs, **stages)  # type: ignore[arg-type]
    assert together.examples == 180 * (2 * 2 + 3 * 3)
    for position, (make, run) in enumerate(zip(build_all, runs, strict=True)):
        alone = fit([make()], [fields], [run], **stages)  # type: ignore[arg-type]
        for name, value in alone.modules[0].state_dict().items():
            torch.testing.assert_close(together.modules[position].state_dict()[name], value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("difference", ["nothing", "seed", "lr", "decay", "train", "validation", "fields", "weights"])
def test_only_exact_twins_share(difference: str) -> None:
    fields, train, validation = make_fields(), np.arange(180), np.arange(180, RECORDS)
    first = Replicate(4, train, validation)
    second = Replicate(
        5 if difference == "seed" else 4,
        train.copy() if difference == "train" else train,
        validation.copy() if difference == "validation" else validation,
        "classification",
        lr=0.02 if difference == "lr" else 0.01,
        weight_decay=0.1 if difference == "decay" else 0.0,
    )
    modules = [pretrainer(BERT4Rec), pretrainer(BERT4Rec, 1 if difference == "weights" else 0)]
    given = [fields, dict(fields) if difference == "fields" else fields]
    run = fit(modules, given, [first, second], epochs=1, pretrain_epochs=1)
    assert run.examples == 180 * (2 + (1 if difference == "nothing" else 2))


def test_history_of_unseen_items_is_inert() -> None:
    """Masked positions must not matter, whatever row they name."""
    fields, module = make_fields(), build(0)
    rows = np.arange(RECORDS)
    base = predict(module, fields, rows)
    changed = dict(fields)
    changed["history"] = torch.where(fields["history_mask"], fields["history"], torch.tensor(7))
    np.testing.assert_array_equal(predict(module, changed, rows), base)


@pytest.mark.parametrize(("compiled", "sizes"), [(False, [4, 3, 7]), (True, [6, 3, 5])])
def test_finished_replicates_leave_and_change_nothing(
    compiled: bool, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are done after epochs 4 and 7 of 14; compiled they leave once idle epochs of three steps took nine."""
    fields, runs = make_fields(), replicates()
    counts, evaluate = [], Stack.evaluate

    def counted(stack: Stack, *inputs: Any) -> torch.Tensor:
        counts.append(stack.count)
        return evaluate(stack, *inputs)

    monkeypatch.setattr("lrrecsys_core.training.fit.IDLE_STEPS", 9)
    monkeypatch.setattr(Stack, "evaluate", counted)
    settings: dict[str, Any] = {"epochs": 14, "batch_size": 64, "patience": 2}
    found = fit([build(r.seed) for r in runs], [fields] * 3, runs, compiled=compiled, **settings)
    assert counts == [3] * sizes[0] + [2] * sizes[1] + [1] * sizes[2]
    for position, run in enumerate(runs):
        alone, epoch = fit_plain(build(run.seed), fields, run, **settings)
        assert found.epochs[position] == epoch
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(found.modules[position].state_dict()[name], value, rtol=0, atol=1e-9)


class Falls(LRRecsys):
    """One whose loss is no number any more once `height`, which each step raises by the learning rate, exceeds .1."""

    def __init__(self, *given: Any, **params: Any) -> None:
        super().__init__(*given, **params)
        self.height = torch.nn.Parameter(torch.zeros(()))

    def own_loss(self, batch: Batch) -> torch.Tensor:
        return super().own_loss(batch) - self.height + 0 * (0.1 - self.height).sqrt()


def test_a_loss_that_ceases_to_be_a_number_is_told_and_the_best_epoch_before_stays() -> None:
    """Three steps of .01 an epoch, and one of .03: both exceed .1 in the fourth epoch; two of .003 do not."""
    fields, runs = make_fields(), replicates()
    with pytest.warns(RuntimeWarning, match=r"Falls: the validation loss of replicates \[0, 2\] of 3 ceased"):
        found = fit([build(r.seed, Falls) for r in runs], [fields] * 3, runs, epochs=8, batch_size=64, patience=3)
    assert found.epochs == [3, 8, 3]
    for module in found.modules:
        assert all(bool(value.isfinite().all()) for value in module.state_dict().values())


def test_without_a_compiler_it_stays_eager_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrrecsys_core.training.fit.can_compile", lambda: False)
    run = Replicate(0, np.arange(64), np.arange(64, 96))
    with pytest.warns(RuntimeWarning, match=r"no C\+\+ compiler"):
        compiled = fit([build(0)], [make_fields()], [run], epochs=1, compiled=True)
    assert compiled.curves == fit([build(0)], [make_fields()], [run], epochs=1).curves


def test_sgd_moves_rows_by_their_gradient_alone() -> None:
    fields, module = make_fields(), build(0)
    run = Replicate(0, np.arange(64), np.arange(0), lr=0.5)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    reference = build(0)
    batch = {
        name: fields[name][torch.from_numpy(np.random.default_rng([0, 0]).permutation(64))] for name in reference.reads
    }
    order = torch.from_numpy(np.random.default_rng([0, 0]).permutation(64))
    batch |= {
        "target": fields["target"][order],
        "weight": torch.ones(64).double(),
        "classification": torch.tensor(0.0).double(),
    }
    reference.loss(batch).backward()
    after = fit([module], [fields], [run], epochs=1, batch_size=64, optimizer="sgd").modules[0]
    for name, value in after.named_parameters():
        slope = reference.get_parameter(name).grad
        assert slope is not None
        expected = before[name] - 0.5 * slope
        if name in reference.row_tables():
            expected[0] = before[name][0]
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)


def test_early_stopping_keeps_the_best_epoch() -> None:
    fields = make_fields()
    run = Replicate(1, np.arange(60), np.arange(180, RECORDS), lr=0.1)
    result = fit([build(1)], [fields], [run], epochs=60, batch_size=20, patience=3)
    curve = result.curves[0]
    assert result.epochs[0] == int(np.argmin(curve)) + 1
    assert len(curve) == result.epochs[0] + 3
    predicted = predict(result.modules[0], fields, run.validation)
    assert float(np.mean((predicted - fields["target"].numpy()[run.validation]) ** 2)) == pytest.approx(
        min(curve), abs=1e-12
    )


def test_bad_calls_get_one_sentence() -> None:
    fields, run = make_fields(), Replicate(0, np.arange(10), np.arange(0))
    with pytest.raises(InputError, match="unknown optimizer 'rmsprop'"):
        fit([build(0)], [fields], [run], optimizer="rmsprop")
    with pytest.raises(InputError, match="no training records"):
        fit([build(0)], [fields], [Replicate(3, np.arange(0), np.arange(0))])
    with pytest.raises(InputError, match="positive"):
        fit([build(0)], [{k: v for k, v in fields.items() if k != "positive"}], [run])
    with pytest.raises(InputError, match="diverged"):
        fit([build(0)], [{**fields, "target": fields["target"] * float("nan")}], [run], epochs=2)

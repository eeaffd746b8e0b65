"""LR-Recsys against the equations: sizes, attention, the recurrence, tokens and their absence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lrrecsys_core.models.ablations import FreeVectors, LRRecsysNCF, RawVectors, WithoutIds
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.layers import PaperGRU, SelfAttention, masked_softmax
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.models.with_product import FreeVectorsWithProduct, LRRecsysWithProduct
from tests.models.training import assert_trainable_side_by_side

SIZES = Sizes(users=9, items=11, context=6)


def batch(records: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    history = torch.randint(1, 11, (records, 5), generator=rng)
    mask = torch.ones(records, 5, dtype=torch.bool)
    mask[0, :3] = False
    mask[1] = False
    return {
        "user": torch.randint(1, 9, (records,), generator=rng),
        "item": torch.randint(1, 11, (records,), generator=rng),
        "history": history * mask,
        "history_mask": mask,
        "positive": torch.randn(records, 8, generator=rng),
        "negative": torch.randn(records, 8, generator=rng),
        "single": torch.randn(records, 8, generator=rng),
        "context": torch.randn(records, 6, generator=rng),
    }


def shared_weights(model: LRRecsys) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if name not in model.row_tables())


def test_has_the_papers_number_of_weights() -> None:
    assert shared_weights(LRRecsys(SIZES, biases=False)) == 3_945
    six = LRRecsys(SIZES, biases=False, context=True)
    assert six.context is not None
    assert shared_weights(six) - sum(p.numel() for p in six.context.parameters()) == 4_457


def test_attention_by_hand() -> None:
    """Two tokens, identity maps of width 2: weights softmax([1, 0] / sqrt 2), values mixed accordingly (Eq 6-9)."""
    layer = SelfAttention(2)
    for linear in (layer.query, layer.key, layer.value):
        torch.nn.init.eye_(linear.weight)
    out = layer(torch.eye(2).unsqueeze(0))
    high = np.exp(1 / np.sqrt(2)) / (np.exp(1 / np.sqrt(2)) + 1)
    np.testing.assert_allclose(out[0, 0].detach(), [high, 1 - high], rtol=1e-6)


def slow_recurrence(gru: PaperGRU, tokens: np.ndarray) -> np.ndarray:
    """Eq 10-13 as printed, h_1 = z_1, the reset gate before U_h."""
    weight, bias = gru.input.weight.detach().numpy(), gru.input.bias.detach().numpy()
    w_r, w_u, w_h = np.split(weight, 3)
    b_r, b_u, b_h = np.split(bias, 3)
    u_r, u_u = np.split(gru.state.weight.detach().numpy(), 2)
    u_h = gru.candidate.weight.detach().numpy()
    h = tokens[0]
    for z in tokens[1:]:
        r = 1 / (1 + np.exp(-(w_r @ z + u_r @ h + b_r)))
        u = 1 / (1 + np.exp(-(w_u @ z + u_u @ h + b_u)))
        new = np.tanh(w_h @ z + u_h @ (r * h) + b_h)
        h = u * h + (1 - u) * new
    return h


@pytest.mark.parametrize("length", [1, 2, 5])
def test_recurrence_equals_the_equations(length: int) -> None:
    torch.manual_seed(0)
    gru, tokens = PaperGRU(8).double(), torch.randn(1, 5, 8, dtype=torch.float64)
    mask = torch.zeros(1, 5, dtype=torch.bool)
    mask[:, 5 - length :] = True
    expected = slow_recurrence(gru, tokens[0, 5 - length :].numpy())
    np.testing.assert_allclose(gru(tokens, mask)[0].detach(), expected, rtol=1e-10)


def test_recurrence_is_not_the_library_layer() -> None:
    torch.manual_seed(0)
    gru, library = PaperGRU(8), torch.nn.GRU(8, 8, batch_first=True)
    with torch.no_grad():
        library.weight_ih_l0.copy_(gru.input.weight)
        library.weight_hh_l0.copy_(torch.cat([gru.state.weight, gru.candidate.weight]))
        library.bias_ih_l0.copy_(gru.input.bias)
        library.bias_hh_l0.zero_()
    tokens = torch.randn(1, 5, 8)
    own = gru(tokens, torch.ones(1, 5, dtype=torch.bool))
    other = library(tokens[:, 1:], tokens[:, :1].transpose(0, 1))[1][0]
    assert float((own - other).detach().abs().max()) > 1e-3


def test_empty_history_gives_finite_scores_and_zero_state() -> None:
    torch.manual_seed(0)
    gru = PaperGRU(8)
    assert torch.equal(gru(torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool)), torch.zeros(2, 8))
    assert torch.isfinite(LRRecsys(SIZES)(batch())).all()


def test_all_masked_softmax_is_zero() -> None:
    out = masked_softmax(torch.randn(2, 3), torch.tensor([[True, True, False], [False, False, False]]))
    assert out[1].tolist() == [0, 0, 0] and float(out[0].sum()) == pytest.approx(1) and out[0, 2] == 0


def test_attention_of_a_record_sums_to_one() -> None:
    model = LRRecsys(SIZES, context=True)
    assert model.token_names == ("positive", "negative", "user", "item", "sequence", "context")
    torch.testing.assert_close(model.attention(batch()).sum(-1), torch.ones(6))


@pytest.mark.parametrize("kind", [LRRecsys, LRRecsysWithProduct])
def test_one_pass_for_serving_equals_forward_and_attention(kind: type[LRRecsys]) -> None:
    model, given = kind(SIZES).eval(), batch()
    logits, attention = model.score_and_attention(given)
    torch.testing.assert_close(logits, model(given))
    torch.testing.assert_close(attention, model.attention(given))


@pytest.mark.parametrize(
    ("kind", "params", "changes"),
    [
        (LRRecsys, {}, {"positive", "negative", "user", "item"}),
        (LRRecsys, {"slots": ("single",)}, {"single", "user", "item"}),
        (LRRecsys, {"slots": ()}, {"user", "item"}),
        (LRRecsys, {"slots": ("positive",)}, {"positive", "user", "item"}),
        (LRRecsys, {"context": True}, {"positive", "negative", "user", "item", "context"}),
        (FreeVectors, {}, {"user", "item"}),
        (FreeVectors, {"per_item": True}, {"user", "item"}),
        (LRRecsysWithProduct, {}, {"positive", "negative", "user", "item"}),
        (FreeVectorsWithProduct, {}, {"user", "item"}),
        (RawVectors, {"raw_width": 8}, {"positive", "negative", "user", "item"}),
        (WithoutIds, {}, {"positive", "negative"}),
        (WithoutIds, {"slots": ()}, set()),
        (LRRecsysNCF, {}, {"positive", "negative", "user", "item"}),
        (LRRecsysNCF, {"slots": ()}, {"user", "item"}),
    ],
)
def test_each_variant_reads_what_it_says(kind: type[LRRecsys], params: dict[str, Any], changes: set[str]) -> None:
    torch.manual_seed(1)
    model, given = kind(SIZES, biases=False, **params).eval(), batch()
    base = model(given)
    assert changes - {"user", "item"} == set(model.reads) - set(LRRecsys.inputs)
    for name in ("positive", "negative", "single", "context", "user", "item"):
        moved = dict(given)
        moved[name] = given[name] % 8 + 1 if name in ("user", "item") else given[name] + 1
        assert (float((model(moved) - base).abs().max()) > 0) == (name in changes), name


def test_raw_embeddings_pass_a_trained_map() -> None:
    model = RawVectors(SIZES, raw_width=20)
    given = batch() | {slot: torch.randn(6, 20) for slot in ("positive", "negative")}
    assert model(given).shape == (6,) and model.project.weight.shape == (8, 20)


def test_the_tower_of_ncf() -> None:
    with_texts, without = LRRecsysNCF(SIZES, biases=False), LRRecsysNCF(SIZES, slots=())
    assert sum(p.numel() for p in with_texts.head.parameters()) == 1985
    assert with_texts.head[0].weight.shape == (32, 40) and without.head[0].weight.shape == (32, 24)
    assert not any("fusion" in name for name, _ in with_texts.named_parameters())
    with torch.no_grad():
        for layer in (2, 4, 6):
            with_texts.head[layer].weight.fill_(0.5)
            with_texts.head[layer].bias.fill_(0.5)
    tokens = with_texts.tokens(batch()).flatten(-2)
    hidden = torch.relu(torch.nn.functional.linear(tokens, with_texts.head[0].weight)).sum(-1)
    # With all later weights and biases 1/2: 16 units of (hidden + 1) / 2, then 8 of their half-sum plus 1/2.
    torch.testing.assert_close(with_texts(batch()), 0.5 * 8 * (0.5 * 16 * 0.5 * (hidden + 1) + 0.5) + 0.5)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (LRRecsys, {"slots": ()}), (FreeVectors, {}), (FreeVectors, {"per_item": True}), (WithoutIds, {}),
        (RawVectors, {"raw_width": 8}), (LRRecsysNCF, {}), (LRRecsysNCF, {"slots": ()}), (LRRecsysWithProduct, {}),
        (FreeVectorsWithProduct, {}),
    ],
)  # fmt: skip
def test_side_by_side(kind: type[LRRecsys], params: dict[str, Any]) -> None:
    batches = [{**batch(12, seed), "target": torch.rand(12)} for seed in (0, 1)]
    for given in batches:
        given |= {"weight": torch.ones(12), "classification": torch.tensor(0.0)}
    assert_trainable_side_by_side([kind(SIZES, **params) for _ in range(2)], batches)

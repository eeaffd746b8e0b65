"""The shared block: equal to the library's where orders agree, to the publication where they do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lrrecsys_core.models.transformer import Attention, Block, bidirectional, causal, newest


def library_twin(block: Block, width: int, heads: int, inner: int) -> nn.TransformerEncoderLayer:
    """The library's post-norm layer with the block's weights."""
    twin = nn.TransformerEncoderLayer(width, heads, inner, 0.0, batch_first=True)
    own = block.attention
    with torch.no_grad():
        twin.self_attn.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        twin.self_attn.in_proj_bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
        twin.self_attn.out_proj.load_state_dict(own.out.state_dict())
        twin.linear1.load_state_dict(block.feed[0].state_dict())
        twin.linear2.load_state_dict(block.feed[3].state_dict())
        twin.norm1.load_state_dict(block.norm1.state_dict())
        twin.norm2.load_state_dict(block.norm2.state_dict())
    return twin


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_post_norm_block_is_the_library_layer(heads: int) -> None:
    torch.manual_seed(0)
    block, x = Block(8, heads, 32), torch.randn(5, 6, 8)
    real = torch.arange(6) >= torch.tensor([0, 1, 2, 3, 5]).unsqueeze(1)
    expected = library_twin(block, 8, heads, 32).train()(x, src_key_padding_mask=~real)
    torch.testing.assert_close(block(x, bidirectional(real))[real], expected[real])


def test_causal_block_is_the_library_layer_with_its_mask() -> None:
    torch.manual_seed(0)
    block, x = Block(8, 2, 32), torch.randn(5, 6, 8)
    shut = nn.Transformer.generate_square_subsequent_mask(6)
    expected = library_twin(block, 8, 2, 32).train()(x, src_mask=shut)
    torch.testing.assert_close(block(x, causal(torch.ones(5, 6, dtype=torch.bool))), expected)


def test_sasrec_order_starts_the_residual_at_the_normalised_input() -> None:
    torch.manual_seed(0)
    block, x = Block(8, order="sasrec", project=False), torch.randn(2, 3, 8)
    mask = causal(torch.ones(2, 3, dtype=torch.bool))
    own, query = block.attention, block.norm1(x)
    logits = own.query(query) @ own.key(x).transpose(1, 2) / 8**0.5
    told = torch.softmax(logits.masked_fill(~mask, -torch.inf), -1) @ own.value(x)
    middle = block.norm2(query + told)
    torch.testing.assert_close(block(x, mask), middle + block.feed(middle))


def test_rows_limit_what_is_computed_and_nothing_else() -> None:
    for order in ("post", "sasrec"):
        block, x = Block(8, 2, order=order), torch.randn(4, 5, 8)
        mask = causal(torch.ones(4, 5, dtype=torch.bool))
        torch.testing.assert_close(block(x, mask, slice(4, None)), block(x, mask)[:, 4:])


def test_hidden_places_get_no_weight() -> None:
    mask = torch.rand(7, 4, 5) < 0.5
    mask[..., 0] = True
    weights = Attention(8, 2, memory=3).weights(torch.randn(7, 4, 8), torch.randn(7, 5, 3), mask)
    assert weights.shape == (7, 2, 4, 5)
    assert not weights[~mask.unsqueeze(1).expand_as(weights)].any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(7, 2, 4))
    nothing = Attention(8).weights(torch.randn(2, 3, 8), torch.randn(2, 3, 8), torch.zeros(2, 3, 3, dtype=torch.bool))
    assert nothing.isfinite().all()


def test_newest_skips_places_without_an_item() -> None:
    states = torch.arange(12.0).view(3, 4, 1)
    mask = torch.tensor([[True, True, True, True], [False, True, True, False], [False] * 4])
    assert newest(states, mask).squeeze(-1).tolist() == [3.0, 6.0, 0.0]


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="3 heads"):
        Attention(8, 3)

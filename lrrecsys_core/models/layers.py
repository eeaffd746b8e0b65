"""The few layers several models share, written so that they vectorise over replicates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def masked_softmax(logits: Tensor, mask: Tensor | None, dim: int = -1) -> Tensor:
    """Softmax over the entries where `mask` holds; a row without any becomes zeros, never NaN."""
    if mask is None:
        return torch.softmax(logits, dim)
    shut = torch.finfo(logits.dtype).min
    weights = torch.softmax(logits.masked_fill(~mask, shut), dim)
    return weights * mask


SIGN = -(2**31)  # the top bit of an int32


def scrambled(number: Tensor) -> Tensor:
    """32 well-mixed bits of each number, as int32: rounds of shift and multiply, of products the lower half."""
    for _ in range(2):
        number = (number ^ ((number >> 16) & 0xFFFF)) * 0x45D9F3B
    return number ^ ((number >> 16) & 0xFFFF)


def wrapped(number: Tensor) -> Tensor:
    """The lower 32 bits of int64 numbers, as int32."""
    return ((number - SIGN) % 2**32 + SIGN).to(torch.int32)


class Noise(nn.Module):
    """Random numbers that follow from seed, layer, step and place alone, not from what else is drawn beside them.

    A generator shared by replicates would give a replicate other masks alone than in company. `set_noise` names the
    layers and moves the step on; a layer asked twice in one step tells the two apart by `use`.
    """

    seed: Tensor
    step: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("seed", "step"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64), persistent=False)

    def bits(self, like: Tensor, use: int = 0) -> Tensor:
        """32 random bits for every entry of `like`, as int32 of its shape."""
        key = scrambled(scrambled(wrapped(self.seed + 7919 * use)) + wrapped(self.step))
        place = torch.arange(like.numel(), device=like.device, dtype=torch.int32).view(like.shape)
        return scrambled(scrambled(place) + key)

    def normal(self, like: Tensor, use: int = 0) -> Tensor:
        """Standard normal numbers of the shape and type of `like`."""
        uniform = (self.bits(like, use).to(torch.float64) % 2**32 + 0.5) / 2**32
        return (math.sqrt(2) * torch.erfinv(2 * uniform - 1)).to(like.dtype)


class Dropout(Noise):
    """In training each entry is zero with probability `rate`, and the others grow by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, use: int = 0) -> Tensor:
        if not self.training or not self.rate:
            return x
        kept = (self.bits(x, use) ^ SIGN) >= int(self.rate * 2**32) + SIGN  # as if without signs
        return torch.where(kept, x / (1 - self.rate), 0.0)


def set_noise(module: nn.Module, seed: int, step: int = 0) -> None:
    """Give every `Noise` of a module the seed, its own number among them, and the step."""
    layers = [layer for layer in module.modules() if isinstance(layer, Noise)]
    for number, layer in enumerate(layers):
        layer.seed.fill_((seed * 1_000_003 + number * 104_729) & 0xFFFFFFFF)
        layer.step.fill_(step)


class SelfAttention(nn.Module):
    """Single-head self-attention without output projection (Eq 6-9 and 26-28).

    ``A = softmax(Q K^T / sqrt(d))``, ``Z = A V`` with Q = S W^Q, K = S W^K, V = S W^V: 3 d^2 weights.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.scale = 1.0 / math.sqrt(width)

    def weights(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention (..., n, n) of each token (row) on every token (column); `mask` (..., n) shuts columns."""
        # Products are broadcast, not matrix-multiplied: at width 8 a batched matmul costs more than it saves.
        logits = (self.query(tokens).unsqueeze(-2) * self.key(tokens).unsqueeze(-3)).sum(-1) * self.scale
        return masked_softmax(logits, None if mask is None else mask.unsqueeze(-2))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (..., n, d) -> (..., n, d)."""
        return self.mix(self.weights(tokens, mask), tokens)

    def mix(self, attention: Tensor, tokens: Tensor) -> Tensor:
        """Values of the tokens, averaged by the rows of `attention`."""
        return (attention.unsqueeze(-1) * self.value(tokens).unsqueeze(-3)).sum(-2)


class PaperGRU(nn.Module):
    """The recurrence of Eq 10-13, started at the first real token (h_1 = z_1).

    The reset gate multiplies the state *before* ``U_h``; library GRU layers multiply after it, so they compute
    something else.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(width, 3 * width)  # W_r, W_u, W_h and the biases b_r, b_u, b_h
        self.state = nn.Linear(width, 2 * width, bias=False)  # U_r, U_u
        self.candidate = nn.Linear(width, width, bias=False)  # U_h

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, n, d), left-padded, with mask (B, n) -> last state (B, d); zeros for an empty sequence."""
        reset_in, update_in, new_in = self.input(tokens).chunk(3, -1)
        state = torch.zeros_like(tokens[..., 0, :])
        started = torch.zeros_like(mask[..., 0])
        for t in range(tokens.shape[-2]):
            reset_state, update_state = self.state(state).chunk(2, -1)
            reset = torch.sigmoid(reset_in[..., t, :] + reset_state)
            update = torch.sigmoid(update_in[..., t, :] + update_state)
            new = torch.tanh(new_in[..., t, :] + self.candidate(reset * state))
            moved = update * state + (1 - update) * new
            here = mask[..., t]
            following = torch.where(started.unsqueeze(-1), moved, tokens[..., t, :])
            state = torch.where(here.unsqueeze(-1), following, state)
            started = started | here
        return state


class MLP(nn.Sequential):
    """Linear layers of the given sizes, biases from 0, an activation (and dropout) between them, none at the end."""

    def __init__(self, sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU, dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for step, (before, after) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            if step:
                layers.append(activation())
                if dropout:
                    layers.append(Dropout(dropout))
            linear = nn.Linear(before, after)
            # Inputs are small at first: random biases would drown them, and eight ReLU units might all stay shut.
            nn.init.zeros_(linear.bias)
            layers.append(linear)
        super().__init__(*layers)

"""Dropout from counters: its rate, its independence, and that nothing but seed, step, layer and place decides."""

from __future__ import annotations

from statistics import NormalDist

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, vmap

from lrrecsys_core.models.layers import Dropout, Noise, scrambled, set_noise, wrapped

ONES = torch.ones(400, 250)


def masks(rate: float = 0.3, seed: int = 0, step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """What two layers of one module keep of `ONES`."""
    layers = nn.ModuleList([Dropout(rate), Dropout(rate)]).train()
    set_noise(layers, seed, step)
    first, second = (layer(ONES) for layer in layers)
    return first, second


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5])
def test_entries_fall_out_at_the_rate_everywhere(rate: float) -> None:
    """100,000 entries: the share within four standard errors, in rows and columns within five of theirs."""
    kept = (masks(rate)[0] > 0).double()
    sd = (rate * (1 - rate)) ** 0.5
    assert abs(kept.mean() - (1 - rate)) < 4 * sd / ONES.numel() ** 0.5
    assert (kept.mean(0) - (1 - rate)).abs().max() < 5 * sd / 400**0.5
    assert (kept.mean(1) - (1 - rate)).abs().max() < 5 * sd / 250**0.5
    assert masks(rate)[0].unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])


def test_masks_of_other_seeds_steps_layers_uses_and_neighbours_are_unrelated() -> None:
    first, second = masks()
    layer = Dropout(0.3)
    layer.seed.fill_(0)
    others = [masks(seed=1)[0], masks(step=1)[0], second, layer(ONES, use=1)]
    others += [first.roll(1, 0), first.roll(1, 1), masks(seed=1, step=0)[1], masks(seed=0, step=250)[0]]
    for other in others:
        correlation = torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1]
        assert abs(correlation) < 4 / ONES.numel() ** 0.5
    assert torch.equal(first, masks()[0])


def test_normal_numbers_are_normal() -> None:
    noise = Noise()
    drawn = noise.normal(ONES.double()).flatten().sort().values
    expected = torch.distributions.Normal(0, 1).cdf(drawn)
    gap = (expected - torch.linspace(0, 1, len(drawn), dtype=torch.float64)).abs().max()
    assert gap < 1.95 / len(drawn) ** 0.5  # Kolmogorov-Smirnov at 0.1%


@pytest.mark.parametrize("bits", [0, 2**31 - 1, 2**31, 2**32 - 2**30, 2**32 - 2, 2**32 - 1])
def test_a_normal_number_is_the_quantile_of_its_bits(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In single precision as networks use it: the last bits rounded up to 1 were an infinite number."""
    signed = torch.tensor([bits - 2**32 * (bits >= 2**31)], dtype=torch.int32)
    monkeypatch.setattr(Noise, "bits", lambda self, like, use=0: signed)
    assert Noise().normal(ONES[0, :1]).item() == pytest.approx(NormalDist().inv_cdf((bits + 0.5) / 2**32), abs=1e-5)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
def test_bits_are_those_of_arithmetic_modulo_two_to_the_32(numbers: list[int]) -> None:
    def plain(number: int) -> int:
        for _ in range(2):
            number = (number ^ (number >> 16)) * 0x45D9F3B % 2**32
        return number ^ (number >> 16)

    lower = wrapped(torch.tensor(numbers))
    assert lower.dtype == torch.int32
    assert [k % 2**32 for k in scrambled(lower).tolist()] == [plain(k) for k in numbers]


@pytest.mark.parametrize("compiled", [False, True])
def test_side_by_side_and_compiled_the_masks_are_those_of_each_alone(compiled: bool) -> None:
    layer = Dropout(0.4)

    def one(seed: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return functional_call(layer, {"seed": seed, "step": step}, (torch.ones(8, 5),))

    seeds, steps = torch.tensor([3, 2**31 + 5, 7]), torch.tensor([0, 9, 100_000])
    together = vmap(one)
    found = (torch.compile(together, backend="aot_eager") if compiled else together)(seeds, steps)
    for k in range(3):
        layer.seed, layer.step = seeds[k], steps[k]
        assert torch.equal(found[k], layer(torch.ones(8, 5)))


def test_evaluation_leaves_everything_in() -> None:
    assert torch.equal(Dropout(0.9).eval()(ONES), ONES)

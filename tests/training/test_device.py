"""A device that is not there is refused in one sentence, by `fit`, the environment and the command line alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lrrecsys_core.cli import lrrecsys
from lrrecsys_core.errors import InputError
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.biased_mf import BiasedMF
from lrrecsys_core.training.device import DEVICE_VARIABLE, chosen_device
from lrrecsys_core.training.fit import Replicate, fit


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)


def test_the_environment_names_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_device() == "cpu"
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda")
    with pytest.raises(InputError, match="cuda was asked for, and torch finds no such device here"):
        chosen_device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen_device() == "cuda"
    monkeypatch.setenv(DEVICE_VARIABLE, "abacus")
    with pytest.raises(InputError, match="there is no device 'abacus': choose cpu or cuda"):
        chosen_device()


def test_fit_refuses_a_gpu_that_is_not_there() -> None:
    fields = {name: torch.ones(4, dtype=torch.long) for name in ("user", "item")}
    fields |= {name: torch.ones(4) for name in ("target", "liked")}
    with pytest.raises(InputError, match="choose cpu, or install a CUDA build"):
        fit([BiasedMF(Sizes(3, 3))], [fields], [Replicate(0, np.arange(4), np.arange(0))], device="cuda")


def test_the_command_line_refuses_it_before_anything_runs() -> None:
    outcome = CliRunner().invoke(lrrecsys, ["reproduce", "--profile", "smoke", "--device", "cuda"])
    assert isinstance(outcome.exception, InputError) and "torch finds no such device here" in str(outcome.exception)

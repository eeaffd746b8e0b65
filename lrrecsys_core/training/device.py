"""Where tensors live while they are trained."""

from __future__ import annotations

import os

from lrrecsys_core.errors import InputError

DEVICE_VARIABLE = "LRRECSYS_DEVICE"


def chosen_device() -> str:
    """The device that LRRECSYS_DEVICE (``--device`` of the command line) names: "cpu", the default, or "cuda".

    Raises
    ------
    InputError
        If it is another word, or no such device is there.
    """
    return checked_device(os.environ.get(DEVICE_VARIABLE) or "cpu")


def checked_device(name: str) -> str:
    """The name of a device that can be trained on; errors as for `chosen_device`."""
    import torch

    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise InputError(f"there is no device {name!r}: choose cpu or cuda.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "cuda was asked for, and torch finds no such device here: choose cpu, or install a CUDA build."
        )
    return name

"""The affine map between text vectors and the network: whitened on the training records, slot by slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
RIDGE = 1e-6  # of the mean variance, added to every direction
FAR = 6.0  # standard deviations
ROUNDING = 1e-12  # of the largest entry: vectors that differ by less are one and the same
LEAST = 1e-6  # of the largest variance: what a direction needs to count


@dataclass(frozen=True)
class Whitening:
    """``x -> (x - mean) root`` with ``root = (C + ridge)^(-1/2)``, C the covariance of what it was made of.

    The wording that sentences share takes nearly all of a code's variance, and the reason stands in directions with a
    thousandth of it or less, which a network that takes small steps hardly reaches. Of all roots the symmetric one
    moves vectors least.

    Attributes
    ----------
    mean : (w,)
    root : (w, w)
    """

    mean: Floats
    root: Floats

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> Whitening:
        """Made of vectors (n, w), one per training record; of none, or of equal ones, a map that scales nothing."""
        if not len(vectors):
            return cls(np.zeros(vectors.shape[1]), np.eye(vectors.shape[1]))
        values, axes = np.linalg.eigh(np.atleast_2d(np.cov(vectors, rowvar=False, bias=True, dtype=np.float64)))
        size = values.mean()
        differ = size > (ROUNDING * np.abs(vectors).max()) ** 2
        scale = (values.clip(0.0) + RIDGE * size) ** -0.5 if differ else np.ones_like(values)
        # A direction without variance in training is left out: the first text that has some would fill the vector.
        scale[differ & (values <= LEAST * values.max())] = 0.0
        return cls(vectors.mean(0, dtype=np.float64), axes * scale @ axes.T)

    def __call__(self, vectors: NDArray[np.floating], there: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Map vectors (n, w); those that stand for no text (`there` (n,) is false) become zeros."""
        moved = (vectors - self.mean) @ self.root
        return np.where(there[:, None], moved, 0.0).astype(np.float32)


def named_arrays(maps: Mapping[str, Whitening]) -> dict[str, Floats]:
    """The arrays of the maps of several slots, named for a file: ``positive.mean``, ``positive.root``, ..."""
    return {f"{slot}.{part}": values for slot, one in maps.items() for part, values in vars(one).items()}


def read_maps(arrays: dict[str, Tensor], slots: Sequence[str]) -> dict[str, Whitening]:
    """Take the maps of these slots out of the arrays of a file."""
    return {slot: Whitening(*(arrays.pop(f"{slot}.{part}").numpy() for part in ("mean", "root"))) for slot in slots}


def spectrum(vectors: NDArray[np.floating]) -> Floats:
    """Variances (w,) of vectors (n, w) along their principal axes, largest first."""
    out = np.zeros(vectors.shape[1])
    if len(vectors) > 1:
        found = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False) ** 2 / len(vectors)
        out[: len(found)] = found
    return out


def rank(variances: Floats) -> int:
    """How many variances (w,), largest first, are more than a millionth of the largest."""
    return int((variances > LEAST * variances[0]).sum())


def condition(variances: Floats) -> float:
    """Condition number of a covariance: the largest of its variances (w,), largest first, over the smallest."""
    return float(variances[0] / variances[-1]) if variances[-1] > 0 else float("inf")


def far(vectors: NDArray[np.floating]) -> int:
    """How many of the whitened vectors (n, w) leave `FAR` standard deviations in some direction."""
    return int((np.abs(vectors) > FAR).any(1).sum())

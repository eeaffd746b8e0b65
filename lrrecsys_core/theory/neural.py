"""Nonlinear prediction from all p inputs against the s that matter: neural nets, nearest neighbours, kernel ridge."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from lrrecsys_core.theory.repetitions import Row, generator

Array = NDArray[np.float64]
NOISE = 0.5
TEST = 2000


def target(X: Array) -> Array:
    """f* of Eq 15-16 on the important inputs X (n, s), uniform on [-1, 1]; mean 0 and variance 1.

    A sine of each input plus the products of neighbours: smooth, and additive only for s = 1.
    """
    s = X.shape[1]
    sines = np.sin(np.pi * X).sum(1)
    products = (X[:, :-1] * X[:, 1:]).sum(1)
    # Var sin(pi x) = 1/2 and Var x x' = 1/9; all terms are uncorrelated.
    return np.asarray((sines + products) / np.sqrt(s / 2 + (s - 1) / 9))


@dataclass(frozen=True, slots=True)
class Sample:
    """Training, validation and noise-free test part of one draw."""

    x: Array
    y: Array
    x_validation: Array
    y_validation: Array
    x_test: Array
    f_test: Array

    def only(self, columns: int) -> Sample:
        """The same records with the first `columns` inputs alone."""
        return Sample(
            self.x[:, :columns],
            self.y,
            self.x_validation[:, :columns],
            self.y_validation,
            self.x_test[:, :columns],
            self.f_test,
        )

    def score(self, prediction: Array) -> float:
        """Mean squared error against the noise-free function."""
        return float(((prediction - self.f_test) ** 2).mean())


def draw(seed: int, n: int, p: int, s: int, repetition: int, widest: int) -> Sample:
    """One draw; smaller p take the first columns and smaller n the first records of the same draw.

    Parameters
    ----------
    n : records to learn from, a fifth of which is held out to choose settings; widest : columns drawn.
    """
    rng = generator(seed, "nonlinear", repetition)
    test = rng.uniform(-1, 1, (TEST, widest))
    x = rng.uniform(-1, 1, (n, widest))
    # A stream of its own, or the noise of a record would depend on how many records follow.
    noise = NOISE * generator(seed, "nonlinear noise", repetition).standard_normal(n)
    y = target(x[:, :s]) + noise
    # Every fifth record is held out to choose settings, which keeps the parts nested in n.
    out = np.arange(n) % 5 == 4
    return Sample(x[~out, :p], y[~out], x[out, :p], y[out], test[:, :p], target(test[:, :s]))


def nearest_neighbours(sample: Sample) -> Array:
    """Mean response of the k nearest records; k chosen on the validation part."""
    choices = [k for k in (1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90) if k <= len(sample.y)]

    def predict(points: Array) -> Array:
        parts = []
        # Parts of the points, so that memory does not grow with the product of both sizes.
        for part in np.array_split(points, max(1, len(points) // 500)):
            distance = cdist(part, sample.x, "sqeuclidean")
            near = np.argpartition(distance, choices[-1] - 1, axis=1)[:, : choices[-1]]
            near = np.take_along_axis(near, np.argsort(np.take_along_axis(distance, near, 1), axis=1), 1)
            parts.append(np.cumsum(sample.y[near], axis=1)[:, np.array(choices) - 1] / np.array(choices))
        return np.concatenate(parts)

    error = ((predict(sample.x_validation) - sample.y_validation[:, None]) ** 2).mean(0)
    return predict(sample.x_test)[:, int(error.argmin())]


def kernel_ridge(sample: Sample) -> Array:
    """Gaussian kernel ridge regression; bandwidth and ridge chosen on the validation part."""
    # Inputs are 2/3 d apart in mean square; bandwidths are multiples of that. Single precision halves the time.
    apart = 2 * sample.x.shape[1] / 3

    def distances(points: Array) -> NDArray[np.float32]:
        return np.asarray(cdist(points, sample.x, "sqeuclidean") / apart, np.float32)

    train, held, test = distances(sample.x), distances(sample.x_validation), distances(sample.x_test)
    response = sample.y.astype(np.float32)
    best, chosen = np.inf, np.zeros(len(test))
    for width in (0.4, 1.0):
        scale = np.float32(2 * width**2)
        kernel, kernel_held = np.exp(-train / scale), np.exp(-held / scale)
        for ridge in (0.03, 0.3, 3.0):
            factor = cho_factor(kernel + np.float32(ridge) * np.eye(len(kernel), dtype=np.float32), check_finite=False)
            weight = cho_solve(factor, response, check_finite=False)
            error = float(((kernel_held @ weight - sample.y_validation) ** 2).mean())
            if error < best:
                best, chosen = error, np.asarray(np.exp(-test / scale) @ weight, float)
    return chosen


class Nets(nn.Module):
    """R independent ReLU nets of two hidden layers, run side by side: (R, n, d) inputs to (R, n) outputs."""

    def __init__(self, replicates: int, d: int, width: int, seed: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        sizes = [d, width, width, 1]

        def weights(fan_in: int, fan_out: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(replicates, fan_in, fan_out, generator=rng) * (2 / fan_in) ** 0.5)

        self.weights = nn.ParameterList(weights(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(replicates, 1, b)) for b in sizes[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (R, n) for inputs x (R, n, d)."""
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            x = x.relu() if layer < last else x
        return x[..., 0]


def fit_nets(samples: list[Sample], seed: int, width: int = 48, epochs: int = 120, patience: int = 12) -> list[Array]:
    """Train one net a sample, all at once, and predict their test parts.

    Adam, at most 40 steps an epoch whatever n; each net keeps the weights of its best validation epoch, and training
    ends when no net has improved for `patience` epochs.
    """

    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(sample, name) for sample in samples])).float()

    x, y = stack("x"), stack("y")
    x_validation, y_validation = stack("x_validation"), stack("y_validation")
    nets = Nets(len(samples), x.shape[-1], width, seed)
    optimiser = torch.optim.Adam(nets.parameters(), lr=3e-3)
    shuffle = torch.Generator().manual_seed(seed)
    batch = max(32, x.shape[1] // 40)
    best = torch.full((len(samples),), torch.inf)
    kept = [parameter.detach().clone() for parameter in nets.parameters()]
    waited = 0
    for _ in range(epochs):
        for part in torch.randperm(x.shape[1], generator=shuffle).split(batch):
            optimiser.zero_grad()
            # A sum over nets: each gets the gradient of its own mean loss.
            ((nets(x[:, part]) - y[:, part]) ** 2).mean(1).sum().backward()
            optimiser.step()
        with torch.no_grad():
            loss = ((nets(x_validation) - y_validation) ** 2).mean(1)
            improved = loss < best
            best = torch.where(improved, loss, best)
            for old, new in zip(kept, nets.parameters(), strict=True):
                old[improved] = new[improved]
        waited = 0 if bool(improved.any()) else waited + 1
        if waited == patience:
            break
    with torch.no_grad():
        for parameter, values in zip(nets.parameters(), kept, strict=True):
            parameter.copy_(values)
        return list(nets(stack("x_test")).numpy().astype(float))


@dataclass(frozen=True, slots=True)
class NonlinearSetting:
    """One cell: `repetitions` draws of n records of which the first s inputs matter, for every number p of inputs."""

    n: int
    p: tuple[int, ...]
    s: int
    repetitions: int
    kernel: bool = True
    widest: int = 30


def nonlinear_cell(setting: NonlinearSetting, seed: int) -> list[Row]:
    """Squared test errors of every method on S* alone (``inputs`` "S*", p = s) and on all p inputs ("all"), paired."""
    widest = setting.widest
    samples = [draw(seed, setting.n, widest, setting.s, r, widest) for r in range(setting.repetitions)]
    methods = {"nearest neighbours": nearest_neighbours} | ({"kernel ridge": kernel_ridge} if setting.kernel else {})
    rows: list[Row] = []
    for inputs, columns in [("S*", setting.s), *(("all", p) for p in setting.p)]:
        arms = [sample.only(columns) for sample in samples]
        clock = time.perf_counter()
        results = [("net", fit_nets(arms, seed), time.perf_counter() - clock)]
        for method, fit in methods.items():
            clock = time.perf_counter()
            results.append((method, [fit(arm) for arm in arms], time.perf_counter() - clock))
        for method, predictions, seconds in results:
            about: Row = {"method": method, "inputs": inputs, "n": setting.n, "p": columns, "s": setting.s}
            rows += [
                about | {"repetition": index, "error": arm.score(prediction), "seconds": seconds / len(arms)}
                for index, (arm, prediction) in enumerate(zip(arms, predictions, strict=True))
            ]
    return rows

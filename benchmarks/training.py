"""Training, the autoencoder's loss and scoring, each against the plain way of doing it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.record import write
from lrrecsys_core import paths
from lrrecsys_core.models.autoencoder import LENGTH, AutoEncoder
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.training.fit import Replicate, as_tensors, fit

USERS, ITEMS, RECORDS, REPLICATES, BATCH = 9_765, 6_280, 100_000, 10, 128


def main() -> None:
    """Measure and write all of them."""
    torch.set_num_threads(os.cpu_count() or 1)
    training()
    for vocabulary in (500, 5_000, 20_000):
        autoencoder(vocabulary)
    scoring()


def records(count: int = RECORDS) -> dict[str, torch.Tensor]:
    """Random records of the size of the paper's hotel data."""
    rng = np.random.default_rng(0)
    return as_tensors(
        {
            "user": rng.integers(1, USERS, count),
            "item": rng.integers(1, ITEMS, count),
            "history": rng.integers(1, ITEMS, (count, 5)),
            "history_mask": np.ones((count, 5), bool),
            "target": rng.random(count).astype(np.float32),
            "liked": (rng.random(count) > 0.5).astype(np.float32),
            "positive": rng.normal(size=(count, 8)).astype(np.float32),
            "negative": rng.normal(size=(count, 8)).astype(np.float32),
        }
    )


def training() -> None:
    """`fit` with ten replicates against ten runs of DataLoader, nn.Module and Adam; both on all cores, side by side."""
    fields, sizes = records(), Sizes(USERS, ITEMS)

    def ours(count: int) -> float:
        modules = [LRRecsys(sizes) for _ in range(REPLICATES)]
        runs = [Replicate(seed, np.arange(count), np.arange(0)) for seed in range(REPLICATES)]
        started = time.perf_counter()
        fit(modules, [fields] * REPLICATES, runs, epochs=1, batch_size=BATCH, compiled=True)
        return REPLICATES * count / (time.perf_counter() - started)

    ours(BATCH * 4)  # compiles the step
    fast, slow = [], []
    for _ in range(3):
        fast.append(ours(RECORDS))
        slow.append(_plain_loop(fields, sizes, 12_800))
    write(
        "fit_vs_loops",
        1e6 / float(np.median(fast)),
        1e6 / float(np.median(slow)),
        f"{np.median(fast):,.0f} against {np.median(slow):,.0f} examples per second; {REPLICATES} replicates, d = 8, "
        f"batch {BATCH}, {RECORDS:,} records, {torch.get_num_threads()} threads, medians of three pairs",
        unit="seconds per million examples",
    )


def _plain_loop(fields: dict[str, torch.Tensor], sizes: Sizes, count: int) -> float:
    """Examples per second of one plain run; ten of them take ten times as long."""
    names = [*LRRecsys(sizes).reads, "target"]
    data = TensorDataset(*(fields[name][:count] for name in names))
    module = LRRecsys(sizes)
    moves = torch.optim.Adam(module.parameters(), lr=0.01)
    started = time.perf_counter()
    for values in DataLoader(data, batch_size=BATCH, shuffle=True):
        batch = dict(zip(names, values, strict=True))
        moves.zero_grad()
        loss: torch.Tensor = F.mse_loss(torch.sigmoid(module(batch)), batch["target"])
        loss.backward()
        moves.step()
    return count / (time.perf_counter() - started)


def autoencoder(vocabulary: int) -> None:
    """One step of the chunked loss against the dense formulation, each in a process of its own."""
    measured = {}
    for kind in ("ours", "theirs"):
        command = [sys.executable, "-m", "benchmarks.training", kind, str(vocabulary)]
        seconds, mebibytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        measured[kind] = float(seconds), float(mebibytes)
    (own, own_memory), (dense, dense_memory) = measured["ours"], measured["theirs"]
    about = f"one training step, batch {BATCH} sentences of 20 words, |V| = {vocabulary:,}, one thread"
    write(f"autoencoder_step_{vocabulary}", own, dense, about, unit="seconds")
    write(f"autoencoder_memory_{vocabulary}", own_memory, dense_memory, about + "; growth of peak memory", unit="MiB")


def _step(kind: str, vocabulary: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = torch.randint(1, vocabulary, (BATCH, LENGTH))
    words[:, 20:] = 0
    model = AutoEncoder(vocabulary)

    def step() -> None:
        model.zero_grad()
        if kind == "ours":
            model.loss(words).backward()
        else:
            logits = model(words)
            nn.functional.cross_entropy(logits.flatten(0, 1), words.flatten(), ignore_index=0).backward()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    times = []
    for _ in range(7):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    print(np.median(times), max(0.1, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def scoring() -> None:
    """1,000 candidates with stored explanations for one user on one core, with a model of a run (claim C21)."""
    from lrrecsys_core.study.serve import latency, served

    run = next((name for name in ("demo", "smoke") if (paths.root() / "results" / name / "models").is_dir()), "")
    if not run:
        print("scoring: not measured, no run holds a fitted model; run `make reproduce` first")
        return
    torch.set_num_threads(1)
    model = served(run)
    latency(model, next(iter(model.latest)), 1000, 50)
    taken = latency(model, next(iter(model.latest)), 1000, 1000)
    median, high = np.percentile(taken, [50, 99])
    about = (
        "1,000 candidates of one user with stored explanations, one core; ours is the 99th percentile, "
        f"theirs the 10 ms of the claim; median {median:.2f} ms"
    )
    write("scoring", float(high), 10.0, about, unit="milliseconds")


if __name__ == "__main__":
    _step(sys.argv[1], int(sys.argv[2]))

"""How a benchmark is timed and where it is written."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

from threadpoolctl import threadpool_limits

from lrrecsys_core import paths


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Least CPU time of `repeats` runs on one thread; CPU time, so that a busy machine does not change the ratio."""
    times = []
    with threadpool_limits(1):
        for _ in range(repeats):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
    return min(times)


def write(name: str, ours: float, theirs: float, conditions: str, unit: str = "CPU seconds, one thread") -> None:
    """Write ``results/bench/<name>.json`` and print its line."""
    ratio = theirs / ours
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    paths.write_json(
        paths.root() / "results" / "bench" / f"{name}.json",
        {"name": name, "ours": ours, "theirs": theirs, "ratio": ratio, "unit": unit}
        | {"conditions": f"{conditions}; {machine}"},
    )
    print(f"{name}: ours {ours:.4g}, theirs {theirs:.4g} {unit}, ratio {ratio:.1f}")

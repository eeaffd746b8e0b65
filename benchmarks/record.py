"""How a benchmark is timed and where it is written."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

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
    paths.write_json(
        paths.root() / "results" / "bench" / f"{name}.json",
        {"name": name, "ours": ours, "theirs": theirs, "ratio": ratio, "unit": unit}
        | {"conditions": f"{conditions}; {machine()}"},
    )
    print(f"{name}: ours {ours:.4g}, theirs {theirs:.4g} {unit}, ratio {ratio:.1f}")


def machine() -> str:
    """What a benchmark ran on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def load() -> float:
    """Processes that compete for the cores, averaged over the last minute."""
    return round(os.getloadavg()[0], 2)


def spent() -> Callable[[], dict[str, float]]:
    """Start a clock that tells seconds and CPU seconds (all threads) from here on, and the peak memory so far.

    Seconds of the system are told apart too: on a virtual machine they are mostly its host's, which finds the memory.
    Pages of files that are only mapped are left out, where the system tells them apart: it takes them back at need.
    """
    _watch()
    cpu, wall = time.process_time(), time.perf_counter()
    system = resource.getrusage(resource.RUSAGE_SELF).ru_stime

    def so_far() -> dict[str, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_seconds": time.process_time() - cpu,
            "system_seconds": used.ru_stime - system,
            "seconds": time.perf_counter() - wall,
            "peak_gib": _watch()[0] or used.ru_maxrss / 2**20,
        }

    return so_far


@cache
def _watch() -> list[float]:
    """The most GiB of its own that this process has held since the first call; 0 where the system does not tell."""
    status, peak = Path("/proc/self/status"), [0.0]

    def watch() -> None:
        while own := re.search(r"RssAnon:\s+(\d+)", status.read_text()):
            peak[0] = max(peak[0], int(own[1]) / 2**20)
            time.sleep(0.02)

    if status.exists():
        threading.Thread(target=watch, daemon=True).start()
    return peak


def apart(module: str, *arguments: object, root: str | Path | None = None) -> dict[str, Any]:
    """What a module prints as JSON in a process of its own, so that its peak memory is too; results go to `root`."""
    surroundings = os.environ | ({paths.ROOT_VARIABLE: str(root)} if root else {})
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=surroundings)
    return dict(json.loads(done.stdout))

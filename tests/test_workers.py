from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PARENT = """
import os, sys, time
from pathlib import Path
import joblib
from lrrecsys_core.workers import tied
folder = Path(sys.argv[1])

def work(item):
    (folder / str(os.getpid())).touch()
    if sys.argv[2] == "sleep":
        time.sleep(60)
    while sys.argv[2] == "compute":
        sum(range(10000))

joblib.Parallel(n_jobs=2, batch_size=1)(joblib.delayed(tied)(os.getpid(), work, k) for k in range(4))
time.sleep(60)
"""


@pytest.mark.parametrize("busy", ["sleep", "compute", "idle"])
def test_workers_end_with_a_killed_parent(tmp_path: Path, busy: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), busy])
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < (1 if busy == "idle" else 2) and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = [psutil.Process(int(file.name)) for file in tmp_path.iterdir()]
        assert workers
        assert all(worker.is_running() for worker in workers)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    for worker in alive:
        worker.kill()
    assert not alive


def test_results_are_those_of_the_work_in_this_process_and_in_others() -> None:
    import joblib

    from lrrecsys_core.workers import tied

    for jobs in (1, 2):
        found = joblib.Parallel(n_jobs=jobs)(joblib.delayed(tied)(os.getpid(), abs, k) for k in (-3, 2, -1))
        assert found == [3, 2, 1]

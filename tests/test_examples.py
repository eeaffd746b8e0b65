"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_first_row_trains_and_prints_its_number(tmp_path: Path) -> None:
    file = ROOT / "examples" / "first_row.py"
    assert len(file.read_text().splitlines()) < 40
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    *_, last = run.stdout.splitlines()
    assert last.startswith("RMSE on ") and 0.05 < float(last.split()[-1]) < 0.4
    assert not any(tmp_path.iterdir()), "it keeps nothing"

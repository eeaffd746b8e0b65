"""The same numbers on another processor: torch's plainest instructions against the best ones of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from dataclasses import replace
from lrrecsys_core import rows
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.run import Run

run = Run(replace(get_profile("smoke", networks=2), name="processors"))
found = {}
for name in (rows.LR, rows.ABLATION1, rows.MATCH):
    (result,) = Cell(run, "hotels", name).run_sizes().values()
    for line in result.metrics.to_dicts():
        found[" ".join(str(line[key]) for key in ("row", "part", "metric", "replicate"))] = line["value"]
json.dump(found, sys.stdout)
"""


@pytest.mark.slow
def test_metrics_agree_between_processors(tmp_path) -> None:
    """From texts to metrics within 1e-4; with an autoencoder in float32, LR-Recsys' were .0004 apart."""
    started = {}
    for level in ("default", ""):
        environment = {**os.environ, "LRRECSYS_ROOT": str(tmp_path / (level or "best")), "OMP_NUM_THREADS": "1"}
        environment |= {"ATEN_CPU_CAPABILITY": level} if level else {}
        (tmp_path / (level or "best")).mkdir()
        started[level] = subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE)
    plain, best = (json.loads(process.communicate()[0]) for process in started.values())
    assert plain.keys() == best.keys() and len(plain) > 20
    assert all(abs(plain[key] - best[key]) < 1e-4 for key in plain)

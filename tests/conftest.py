"""Shared by all tests: one thread, no network for model hubs, results under a temporary root, the same examples."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports torch or a hub client: results must not depend on cores, and nothing may be downloaded.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from joblib import Memory  # noqa: E402

from lrrecsys_core import paths  # noqa: E402

# One commit, one verdict, on a busy machine too. New examples are looked for on purpose: --hypothesis-profile=explore.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", settings.get_profile("default"), derandomize=False, print_blob=True)
settings.load_profile("same")

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that hold a slow test first, so that workers end together: `make unit` deals files in this order."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def forgetful(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept under `paths.memory`, least of all in the repository, except by a test that asks for `root`."""
    if "root" not in request.fixturenames:
        monkeypatch.setattr(paths, "memory", lambda: Memory(None))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that stands for the repository: results, figures and tables go there."""
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv("LRRECSYS_ROOT", str(folder))
    return folder

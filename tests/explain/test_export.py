"""An export that is killed: no line is out of which the store does not know."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lrrecsys_core.explain.clients.batch_files import export_batch
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.store import ExplanationStore

N = 2300
KILLED = """
import os, signal, sys
from test_export import N, prompts
from lrrecsys_core.explain.clients import batch_files
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.store import ExplanationStore

class Mortal(Endpoint):
    calls = 0

    def body(self, request):
        Mortal.calls += 1
        if Mortal.calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().body(request)

with ExplanationStore(sys.argv[1]) as store:
    batch_files.export_batch(prompts(N), Mortal("m"), store, sys.argv[2], lines=700)
"""


def prompts(n: int) -> list[Request]:
    return [Request((("user", f"prompt {place} {'x' * 60}"),), template="t@1") for place in range(n)]


@pytest.mark.parametrize("moment", [499, 501, 1000, 1333, 2299])
def test_a_killed_export_leaves_no_line_that_the_store_does_not_know(moment: int, tmp_path: Path) -> None:
    path, out = tmp_path / "s", tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(path), str(out), str(moment)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    whole = "".join(shard.read_text() for shard in sorted(out.iterdir())).split("\n")[:-1]
    keys = [json.loads(line)["custom_id"] for line in whole if line.endswith("}")]
    assert len(keys) > moment - 200
    with ExplanationStore(path) as store:
        assert {store.settle(Result(key, "an answer")) for key in keys} == {True}
        again = export_batch(prompts(N), Endpoint("m"), store, tmp_path / "again")
    left = {json.loads(line)["custom_id"] for shard in again for line in shard.read_text().splitlines()}
    assert left | set(keys) == {one.key("m") for one in prompts(N)} and not left & set(keys)

"""A writer that opens, fills and closes a store without end is killed at any moment: the next one goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
import traceback
from pathlib import Path

from test_store_files import add, count

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.store import ExplanationStore

KILLS = 80


def write_for_ever(path: Path, confirmed: Path, seed: int) -> None:
    """Notes how many answers are stored, once they are."""
    draw, stored = random.Random(seed), read(confirmed)
    while True:
        with ExplanationStore(path) as store:
            for _ in range(draw.randrange(4)):
                add(store, stored, stored + 1)
                stored += 1
                confirmed.with_suffix(".new").write_text(str(stored))
                confirmed.with_suffix(".new").replace(confirmed)


def read(confirmed: Path) -> int:
    return int(confirmed.read_text()) if confirmed.exists() else 0


def test_no_kill_loses_an_answer_or_blocks_a_store_and_none_is_missed_silently(tmp_path: Path) -> None:
    path, confirmed, moved = tmp_path / "s", tmp_path / "confirmed", tmp_path / "moved"
    refused, draw, said_so = tmp_path / "refused", random.Random(3), 0
    for kill in range(KILLS):
        child = os.fork()
        if not child:
            try:
                write_for_ever(path, confirmed, kill)
            except BaseException:  # only an error gets here
                refused.write_text(traceback.format_exc())
            finally:
                os._exit(1)
        time.sleep(draw.uniform(0.001, 0.06))
        os.kill(child, signal.SIGKILL)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        why = refused.read_text() if refused.exists() else f"it ended with {ended}"
        assert ended == -signal.SIGKILL, f"a store was refused at kill {kill}: {why}"
        stored = read(confirmed)
        if not stored:
            continue
        for file in tmp_path.glob("moved*"):
            file.unlink()
        shutil.copy(path, moved)
        try:
            assert count(moved) >= stored, "answers are missing and nobody said so"
        except InputError as error:
            assert "was moved without" in str(error)
            said_so += 1
        assert count(path) >= stored
    assert read(confirmed) > KILLS / 2 and 0 < said_so < KILLS

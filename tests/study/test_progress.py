"""What a watched study tells of its progress: the cells of the whole run, not of the tables asked for alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lrrecsys_core.study import study
from lrrecsys_core.terminal import PROGRESS_VARIABLE


@pytest.mark.parametrize(("watched", "beside"), [(True, {"kept": 2, "later": 2}), (False, {})])
def test_all_cells_of_the_run_are_counted(
    watched: bool, beside: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, dict[str, Any]]] = []
    monkeypatch.setattr(study, "in_parallel", lambda work, what, _, **more: told.append((what, len(work), more)) or ())
    done = [True, False, False, True, False, False]
    every = [SimpleNamespace(done=one, has_nothing_to_read=False, name="row", text_jobs=[]) for one in done]
    tables = {(2,): every[:3], study.TABLES: every}
    monkeypatch.setattr(study.Study, "cells", lambda self, asked=study.TABLES: tables[tuple(asked)])
    if watched:
        monkeypatch.setenv(PROGRESS_VARIABLE, "a file")
    else:
        monkeypatch.delenv(PROGRESS_VARIABLE, raising=False)
    study.Study("smoke").run_rows([2])
    assert told == [("texts", 0, {"shown": True}), ("rows", 2, {"shown": True, **beside})]

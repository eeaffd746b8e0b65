"""Worker processes end with the process they work for, however that one ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final

EVERY: Final = 0.5  # seconds between two looks at the parent


def tied(parent: int, work: Callable[[Any], Any], item: Any) -> Any:
    """Return ``work(item)``, in a worker of joblib's that ends as soon as the process `parent` is gone.

    Left alone, such a worker finishes what it does and waits minutes for more, with all its memory.
    """
    # Workers of another backend, a Ray cluster for instance, are not ours to end.
    if multiprocessing.current_process().name.startswith("LokyProcess"):
        _end_with(parent)
    return work(item)


@cache
def _end_with(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

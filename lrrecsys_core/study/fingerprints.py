"""What a kept result is filed under, beside the code that computed it: the content it was computed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from lrrecsys_core.data.split import Split

# How far imports are followed. A cell reads arrays, whose content is in its key, so of data/ and explain/ its code has
# only what it calls on them (`Cell.key` names it): a refactor elsewhere that yields the same arrays keeps every cell.
CELL_CODE = ("models", "training", "metrics.py")
TEXT_CODE = ("data", "theory", "explain", "models")


def plain(value: Any) -> Any:
    """A value as JSON-able content, classes by name."""
    if hasattr(value, "__dataclass_fields__"):
        return {"kind": type(value).__name__} | {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.__name__ if isinstance(value, type) else value


def content_hash(parts: Any) -> str:
    """Hash of JSON-able content, as a file name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def array_hash(arrays: Mapping[str, Any]) -> str:
    """Hash of named arrays: names, types, shapes and bytes; anything else by its text."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = arrays[name]
        digest.update(name.encode())
        if isinstance(value, np.ndarray):
            digest.update(f"{value.dtype}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).view(np.uint8).data if value.size else b"")
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


@lru_cache(maxsize=512)
def split_hash(split: Split) -> str:
    """Content of a split: its data set and every array a model may be given, the windows of earlier records too."""
    arrays = {f.name: getattr(split, f.name) for f in fields(split) if f.name not in ("dataset", "shares")}
    arrays["user_ids"] = split.user_ids
    for of in ("user", "item"):
        windows = getattr(split, f"earlier_of_{of}")
        arrays |= {f"earlier of {of}: {f.name}": getattr(windows, f.name) for f in fields(windows)}
    return content_hash([split.dataset.fingerprint, array_hash(arrays)])

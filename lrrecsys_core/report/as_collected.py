"""A record of where each data set and store of texts comes from, as Management Science asks for (AsCollected, 2026)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from lrrecsys_core import paths

SOURCES: Final = "docs/as_collected.toml"
RUN: Final = "demo"
_ASKED: Final = {
    "kind": "Name in commands", "url": "Where it is published", "collected": "Collected by, from whom, when",
    "obtained": "Obtained", "changed": "Changed before use", "terms": "Terms",
}  # fmt: skip


def as_collected(root: Path) -> str:
    """The page: a record for each real data set, the simulated markets, and each store of texts in the repository.

    Parameters
    ----------
    root : the repository, or a folder laid out like it, with :data:`SOURCES` and the manifests in ``results/``.
    """
    told = tomllib.loads((root / SOURCES).read_text(encoding="utf-8"))
    records = [
        _record(source["name"], {asked: source[key] for key, asked in _ASKED.items() if key in source}, source["files"])
        for source in told["source"]
    ]
    markets = root / "results" / RUN / "manifest.json"
    stores = sorted((root / "results" / "texts").glob("*/manifest.json"))
    return "\n".join([told["head"], *records, _markets(_read(markets)), *map(_store, stores)])


def _record(title: str, facts: dict[str, str], files: Iterable[tuple[str, int, str]] = ()) -> str:
    lines = [f"## {title}", "", *(f"- {asked}: {answer}" for asked, answer in facts.items()), ""]
    listed = [f"| `{name}` | {size:,} | `{digest}` |" for name, size, digest in files]
    return "\n".join([*lines, *(["| file | bytes | SHA-256 |", "|---|---|---|", *listed, ""] if listed else [])])


def _read(manifest: Path) -> dict[str, Any]:
    return dict(json.loads(manifest.read_text(encoding="utf-8")))


def _markets(manifest: dict[str, Any]) -> str:
    seeds, day, commit = manifest["seeds"], manifest["started"][:10], manifest["git"]["commit"][:12]
    facts = {
        "Collected by, from whom, when": "by nobody: drawn by `lrrecsys_core/data/simulate.py`",
        "Obtained": f"from seeds {seeds[0]} to {seeds[-1]} on {day}, by the code of commit `{commit}`",
        "Terms": "MIT, as the code",
    }
    return _record(f"Simulated markets (run {RUN})", facts)


def _store(file: Path) -> str:
    """Frozen answers of an LLM, as their manifest tells of them."""
    told = _read(file)
    models = sorted({f"`{part['model']}`" for part in told["sources"]})
    prompts = sorted({f"`{part['template'].rpartition('@')[0]}`" for part in told["sources"]})
    cut = sum(part["truncated"] for part in told["sources"])
    facts = {
        "Collected by, from whom, when": f"written by {', '.join(models)} about simulated markets and the toy history",
        "Obtained": f"with `make texts`; asked with {', '.join(prompts)}",
        "Answers": f"{told['answered']:,} of {told['rows']:,}, {cut:,} of them cut at the limit of tokens",
        "Changed before use": "no; what is done about faulty answers is in [own_llm.md](own_llm.md)",
        "Terms": "MIT, as the code",
    }
    files = [(name, (file.parent / name).stat().st_size, digest) for name, digest in told["files"].items()]
    return _record(f"Store of texts results/texts/{file.parent.name}/", facts, files)


def write_as_collected() -> None:
    """Write ``docs/as_collected.md`` anew, where the repository's documents are."""
    root = paths.root()
    if (root / SOURCES).is_file():
        with paths.replacing(root / "docs" / "as_collected.md") as partial:
            partial.write_text(as_collected(root), encoding="utf-8")

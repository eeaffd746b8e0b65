"""From the files of Amazon Reviews 2023 to a split at the paper's size: time and memory at three sizes of made files.

The files have the schema of the release and as many records, users and items as Sec 5.1 counts, or a share of them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.record import apart, load, machine, spent
from lrrecsys_core import paths
from lrrecsys_core.data.releases import RELEASES

SHARES = (100, 10, 1)  # of the release: a hundredth, a tenth, the whole
PANDAS_AT = 10
TURNS = 3
CATEGORY = "Movies_and_TV"
WORDS = 'the a film story plot cast scene great poor long short "classic" watch again never boring fun'
_CONDITIONS = (
    f"made files of the schema of Amazon Reviews 2023, long-tailed; by turns, least time of {TURNS}; CPU seconds of all"
    " threads, those of the system among them and apart, peak of a process of its own; scan: the needed columns"
    " collected by streaming; first: files to split, the copy for later starts apart; second: that copy, which is kept"
    " from a million records on, to split; pandas: read_json in chunks, groupby, rank"
)
_MODULE = "benchmarks.scale_amazon"
_BLOCK = 500_000
_REPEATED = 0.001  # share of records that repeat the one before
_FIRST, _LAST = 900_000_000_000, 1_690_000_000_000  # milliseconds: 1998 to 2023


def main(*shares: int) -> None:
    """Measure every size, or those named, and write what is known so far to ``scale_amazon.json``."""
    place = paths.root() / "results" / "bench" / "scale_amazon.json"
    kept = json.loads(place.read_text(encoding="utf-8"))["sizes"] if place.is_file() and shares else []
    for share in shares or SHARES:
        with tempfile.TemporaryDirectory() as folder:
            size = apart(_MODULE, "make", folder, share) | {"load_average": load()}
            kinds = ("scan", "first", "second", *(["pandas"] if share == PANDAS_AT else []))
            turns = []
            for _ in range(TURNS):
                with tempfile.TemporaryDirectory() as root:  # each turn makes the copy for its second start
                    turns.append({kind: apart(_MODULE, kind, folder, root=root) for kind in kinds})
            size |= {kind: _best([turn[kind] for turn in turns]) for kind in kinds}
        size["times_scan"] = size["first"]["cpu_seconds"] / size["scan"]["cpu_seconds"]
        size["times_scan_without_system"] = _own(size["first"]) / _own(size["scan"])
        size["cpu_seconds_per_million"] = size["first"]["cpu_seconds"] / size["records"] * 1e6
        if "pandas" in size:
            for clock in ("cpu_seconds", "seconds"):
                size[f"times_faster_than_pandas_{clock}"] = size["pandas"][clock] / size["first"][clock]
        kept = sorted(
            [one for one in kept if one["records"] != size["records"]] + [size], key=lambda one: one["records"]
        )
        about = {"name": "scale_amazon", "conditions": f"{_CONDITIONS}; {machine()}"}
        paths.write_json(place, about | {"sizes": kept})
        print(f"scale_amazon: {size}", flush=True)


def _best(turns: list[dict[str, float]]) -> dict[str, float]:
    """The least of each time, which is what a machine that does something else now and then adds least to; peaks."""
    return {name: (max if name.endswith("gib") else min)(turn[name] for turn in turns) for name in turns[0]}


def _own(taken: dict[str, float]) -> float:
    """CPU seconds without those of the system."""
    return taken["cpu_seconds"] - taken["system_seconds"]


def make(folder: Path, share: int) -> dict[str, float]:
    """Write the two files of a share of the release, long-tailed in users and items; what they hold."""
    release, rng = RELEASES["amazon-2023-movies"], np.random.default_rng(share)
    records, users, items = (count // share for count in (release.records, release.users, release.items))
    user_ids, item_ids = _ids(rng, users, "A", 27), _ids(rng, items, "B", 9)
    user, item = long_tailed(rng, records, users), long_tailed(rng, records, items)
    time = rng.integers(_FIRST, _LAST, records)
    same = np.arange(records) - (rng.random(records) < _REPEATED)
    user, item, time = user[same], item[same], time[same]
    reviews = _texts(rng, 2_000, 45)
    with (folder / f"{CATEGORY}.jsonl").open("wb") as file:
        for low in range(0, records, _BLOCK):
            part = slice(low, low + _BLOCK)
            n = len(user[part])
            pl.DataFrame(
                {
                    "rating": rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], n, p=[0.1, 0.06, 0.1, 0.18, 0.56]),
                    "title": reviews.gather(rng.integers(0, len(reviews), n)).str.slice(0, 25),
                    "text": reviews.gather(rng.integers(0, len(reviews), n)),
                    "images": pl.repeat([], n, dtype=pl.List(pl.String), eager=True),
                    "asin": item_ids.gather(item[part]),
                    "parent_asin": item_ids.gather(item[part]),
                    "user_id": user_ids.gather(user[part]),
                    "timestamp": time[part],
                    "helpful_vote": rng.poisson(0.5, n),
                    "verified_purchase": rng.random(n) < 0.8,
                }
            ).write_ndjson(file)
    titles = _texts(rng, 2_000, 4)
    pl.DataFrame(
        {
            "main_category": pl.repeat("Movies & TV", items, eager=True),
            "title": titles.gather(rng.integers(0, len(titles), items)),
            "average_rating": rng.uniform(1, 5, items).round(1),
            "rating_number": rng.integers(1, 9_999, items),
            "store": titles.gather(rng.integers(0, len(titles), items)).str.slice(0, 12),
            "categories": pl.Series([["Movies & TV", "Genre", f"Shelf {k % 50}"] for k in range(500)]).gather(
                rng.integers(0, 500, items)
            ),
            "parent_asin": item_ids,
        }
    ).write_ndjson(folder / f"meta_{CATEGORY}.jsonl")
    size = sum(file.stat().st_size for file in folder.glob("*.jsonl"))
    return {"records": records, "users": users, "items": items, "gigabytes": size / 1e9}


def _ids(rng: np.random.Generator, n: int, first: str, length: int) -> pl.Series:
    """N texts of a letter and so many random signs."""
    signs = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", dtype=np.uint8)
    drawn = signs[rng.integers(0, len(signs), (n, length), dtype=np.uint8)]
    return first + pl.Series(drawn.view(f"S{length}").ravel(), dtype=pl.Binary).cast(pl.String)


def long_tailed(rng: np.random.Generator, records: int, n: int) -> np.ndarray:
    """(records,) numbers below n: each once, the rest with a density that falls as one over the root, shuffled."""
    rest = (n * rng.random(records - n) ** 2).astype(np.int64)
    return rng.permutation(np.concatenate([np.arange(n), rest]))


def _texts(rng: np.random.Generator, n: int, words: int) -> pl.Series:
    """N texts of so many words on average, a few of them much longer."""
    lengths = np.ceil(rng.lognormal(0, 1, n) * words / 1.65).astype(int)
    return pl.Series([" ".join(rng.choice(WORDS.split(), length)) for length in lengths])


def scan(folder: Path) -> dict[str, float]:
    """The needed columns alone, collected by streaming."""
    schema = {"user_id": pl.String, "parent_asin": pl.String, "rating": pl.Float64, "timestamp": pl.Int64}
    began = spent()
    pl.scan_ndjson(folder / f"{CATEGORY}.jsonl", schema=schema).collect(engine="streaming")
    return began()


def first(folder: Path) -> dict[str, float]:
    """From the files to a split; the copy for later starts is written afterwards, and timed apart."""
    from lrrecsys_core.data.amazon import load_amazon
    from lrrecsys_core.data.kept_copy import kept_copy
    from lrrecsys_core.data.split import make_split

    began = spent()
    dataset = load_amazon(folder)
    loaded = began()
    make_split(dataset)
    whole = began()
    began = spent()
    kept_copy(f"amazon:{folder}", folder, lambda: dataset)
    return whole | {f"load_{name}": loaded[name] for name in loaded} | {"copy_cpu_seconds": began()["cpu_seconds"]}


def second(folder: Path) -> dict[str, float]:
    """From the copy that `first` has left to a data set, and on to a split."""
    from lrrecsys_core.data.kept_copy import LEAST
    from lrrecsys_core.data.load import load_dataset
    from lrrecsys_core.data.split import make_split

    copied = any(paths.results("data").rglob("*.parquet"))
    began = spent()
    dataset = load_dataset(f"amazon:{folder}")
    loaded = began()
    assert copied or dataset.interactions.height < LEAST, "this was no second start: there was no copy"
    make_split(dataset)
    return began() | {f"load_{name}": loaded[name] for name in loaded}


def pandas(folder: Path) -> dict[str, float]:
    """The plain script: chunks of whole records, then the rank of each in its user's time."""
    import pandas as pd

    began = spent()
    chunks = pd.read_json(folder / f"{CATEGORY}.jsonl", lines=True, chunksize=100_000)
    data = pd.concat([chunk[["user_id", "parent_asin", "rating", "timestamp"]] for chunk in chunks])
    by_user = data.groupby("user_id")["timestamp"]
    rank, size = by_user.rank(method="first"), by_user.transform("size")
    data["test"] = rank > (size * 4 // 5).clip(lower=1)
    return began()


KINDS: dict[str, Callable[..., dict[str, float]]] = {"make": make, "scan": scan, "pandas": pandas}
KINDS |= {"first": first, "second": second}


if __name__ == "__main__":
    # a folder's measure as JSON; with numbers alone, those shares of the release
    if sys.argv[1] in KINDS:
        print(json.dumps(KINDS[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))))
    else:
        main(*map(int, sys.argv[1:]))

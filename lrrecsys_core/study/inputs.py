"""What a row is given of a split: record fields, its texts' vectors, a comparator's attributes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.simulate import market_truth, record_attributes
from lrrecsys_core.data.split import Split
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.rows import Row
from lrrecsys_core.study.texts import TextSet


def context_features(split: Split) -> NDArray[np.float32]:
    """Context codes (N, C) as concatenated one-hot columns (N, sum of context_sizes)."""
    blocks = [np.eye(size, dtype=np.float32)[split.context[:, k]] for k, size in enumerate(split.context_sizes)]
    return np.concatenate(blocks, 1) if blocks else np.zeros((len(split.user), 0), dtype=np.float32)


def shuffled(codes: dict[str, NDArray[np.int32]], split: Split, within: str, seed: int) -> dict[str, NDArray[np.int32]]:
    """The texts of other records in place of one's own, both slots moved together.

    `within` is "all" (any record), "user" (another record of the same user) or "item" (of the same item).
    """
    rng = np.random.default_rng([seed, 3])
    count = len(split.user)
    group = {"all": np.zeros(count, np.int32), "user": split.user_position, "item": split.item_position}[within]
    mixed = np.lexsort((rng.random(count), group))
    order = np.lexsort((np.arange(count), group))
    source = np.empty(count, dtype=np.int64)
    source[order] = mixed
    return {slot: values[source] for slot, values in codes.items()}


def record_fields(row: Row, split: Split, sizes: Sizes, texts: TextSet | None, seed: int) -> dict[str, np.ndarray]:
    """All record fields of one replicate."""
    fields: dict[str, np.ndarray] = {**split.fields(), "context": context_features(split)}
    if row.attributes:
        fields["context"] = np.concatenate([fields["context"], comparator_features(row, split)], 1)
    if row.model is not None:
        fields |= row.model.record_fields(split, sizes, **row.params)
    if texts is not None:
        codes = shuffled(texts.codes, split, row.shuffle, seed) if row.shuffle else texts.codes
        fields |= text_fields(row, texts, codes)
    return fields


def text_fields(row: Row, texts: TextSet, codes: dict[str, NDArray[np.int32]]) -> dict[str, NDArray[np.float32]]:
    """Record fields slot -> (N, width) of sentences `codes`, as the row reads them."""
    return texts.fields(codes, whitened=row.texts is None or row.texts.whitened)


def comparator_features(row: Row, split: Split) -> NDArray[np.float32]:
    """Attributes of a market given to the network as context: all of them, or S* alone."""
    truth = market_truth(split.dataset)
    names = truth.attributes if row.attributes == "all" else tuple(sorted(truth.important))
    both = [record_attributes(split, names, part) for part in ("present", "history")]
    return np.concatenate(both, 1).astype(np.float32)

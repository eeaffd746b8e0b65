"""The observed cells of MTER's three tensors, and the comparisons training records make, as fields of records."""

from __future__ import annotations

import numpy as np

from lrrecsys_core.data.split import Split
from lrrecsys_core.models.profiles import Mentions, mentions

SLOTS, OTHERS, STARS = 5, 4, 4.0


def quality(total: np.ndarray) -> np.ndarray:
    """Observed quality in (1, 5) of a sum of sentiments."""
    return 1 + STARS / (1 + np.exp(-total))


def attention(count: np.ndarray) -> np.ndarray:
    """Observed attention in [1, 5) of a number of mentions."""
    return 1 + STARS * (2 / (1 + np.exp(-count)) - 1)


def sums_by_key(key: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys, sorted, and the sum of `value` for each."""
    keys, place = np.unique(key, return_inverse=True)
    return keys, np.bincount(place, value, len(keys))


def look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """`values` of the wanted keys; NaN where there is none."""
    if not len(keys):
        return np.full(wanted.shape, np.nan)
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], np.nan)


def cells(split: Split, aspects: int) -> dict[str, np.ndarray]:
    """The cells of X, Y and Z each training record touches, and where its item beats one of its last items."""
    said = mentions(split)
    kept = split.in_training[said.record] & (said.aspect <= aspects)
    said = Mentions(said.record[kept], said.aspect[kept], said.sentiment[kept], said.names, said.weak)
    n, wide = len(split.user), aspects + 1
    user, item = split.user[said.record], split.item[said.record]
    positive = (said.sentiment > 0).astype(np.int64)

    def pair(who: np.ndarray, what: np.ndarray, aspect: np.ndarray) -> np.ndarray:
        return (who * split.n_items + what) * wide + aspect

    seen, total = sums_by_key(pair(user, item, said.aspect), said.sentiment.astype(float))
    of_user, of_item = ((who * wide + said.aspect) * 2 + positive for who in (user, item))
    counts = [np.unique(key, return_inverse=True, return_counts=True) for key in (of_user, of_item)]
    own = np.zeros((n, SLOTS), np.int64)
    first = np.concatenate([[True], np.diff(said.record) != 0])
    slot = np.arange(len(first)) - np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
    slot = slot[: len(said.record)]
    kept = slot < SLOTS
    place = (said.record[kept], slot[kept])
    own[place] = said.aspect[kept]
    fields = {"cell_aspect": own, "cell_opinion": np.zeros_like(own)}
    fields["cell_opinion"][place] = positive[kept]
    for name, values in (
        ("quality", quality(look_up(seen, total, pair(user, item, said.aspect)))),
        *((name, attention(found[2][found[1]])) for name, found in zip(("user", "item"), counts, strict=True)),
        ("mask", np.ones(len(user))),
    ):
        fields[f"cell_{name}"] = np.zeros((n, SLOTS), np.float32)
        fields[f"cell_{name}"][place] = values[kept]
    # compare: best[k] is the mentioned aspect on which the item beats the k-th last item by most
    past = split.history[:, :, None]
    here = look_up(seen, total, pair(split.user[:, None], split.item[:, None], own))[:, None]
    there = look_up(seen, total, pair(split.user[:, None, None], past, own[:, None, :]))
    valid = (own > 0)[:, None] & split.history_mask[:, :, None] & split.in_training[:, None, None]
    lead = np.where(valid, np.nan_to_num(here - there, nan=-1.0), -1.0)
    best = lead.argmax(-1)
    won = np.take_along_axis(lead, best[..., None], -1)[..., 0] > 0
    fields["reference"] = np.where(won, split.history, 0)
    fields["reference_aspect"] = np.where(won, np.take_along_axis(own, best, 1), 0)
    fields["reference_mask"] = won.astype(np.float32)
    return fields


def others(split: Split) -> dict[str, np.ndarray]:
    """Random items for each record: +1 where the user prefers the record's item, -1 where not, 0 on a tie."""
    wide = max(split.n_items, 2)
    rng = np.random.default_rng([split.seed, 7])
    other = rng.integers(1, wide, (len(split.user), OTHERS))
    key = split.user[split.train] * wide + split.item[split.train]
    rated, total = sums_by_key(key, split.rating[split.train])
    _, number = sums_by_key(key, np.ones(len(key)))
    theirs = look_up(rated, total / number, split.user[:, None] * wide + other)
    order = np.where(np.isnan(theirs), 1.0, np.sign(split.rating[:, None] - theirs))
    return {"other": other, "other_order": np.where(split.in_training[:, None], order, 0).astype(np.float32)}

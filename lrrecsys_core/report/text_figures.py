"""Figures of notebooks 01 to 03: ratings and activity, words and lengths of explanations, the autoencoder.

Each has two halves: ``collect_*`` counts, and the other draws the counts alone. Names of real items stay out of both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.keywords import NEARLY_ALL, counts, said, top, words_of
from lrrecsys_core.report.formats import named
from lrrecsys_core.report.style import (
    BASELINE,
    NEGATIVE,
    OTHER,
    POSITIVE,
    SMALL,
    THOUSANDS,
    Line,
    by_column,
    common_labels,
    empty,
    legend_below,
    levels,
    log_ticks,
    panels,
    parts_of,
    plain,
    table,
    titled,
)  # fmt: skip

SLOTS = {"positive": POSITIVE, "negative": NEGATIVE, "single": OTHER}
WIDTH = 2  # words of a bar
RANKS = 200  # points of an activity curve


def collect_ratings(data: Iterable[Dataset]) -> pl.DataFrame:
    """Share of the records by rating."""
    lines: list[Line] = []
    for d in data:
        found = d.interactions["rating"].value_counts(normalize=True).sort("rating")
        lines += [{"title": titled(d), "rating": value, "share": share} for value, share in found.iter_rows()]
    return table(lines, ("title",), ("rating", "share"))


def ratings(frame: pl.DataFrame) -> Figure:
    """Share of the records by rating, one panel a data set."""
    fig, columns = by_column(frame, 1)
    for title, (ax,), part in columns:
        step = part["rating"].diff().drop_nulls().min() or 1.0
        ax.bar(part["rating"], part["share"], width=0.8 * float(str(step)), color=OTHER)
        ax.set_title(plain(title))
        ax.set_xticks(part["rating"].to_list() if part.height <= 5 else part["rating"].to_list()[1::2])
    common_labels(columns, "rating", ["share of records"])
    return fig


def collect_activity(data: Iterable[Dataset]) -> pl.DataFrame:
    """Records of users and of items by rank, at `RANKS` ranks at most, evenly spaced by their logarithm."""
    lines: list[Line] = []
    for d in data:
        for side in ("user", "item"):
            activity = d.interactions[f"{side}_id"].value_counts()["count"].sort(descending=True).to_numpy()
            ranks = np.unique(np.geomspace(1, activity.size, RANKS).round().astype(int))
            lines += [
                {"title": titled(d), "side": side, "rank": int(rank), "records": int(activity[rank - 1])}
                for rank in ranks
            ]
    return table(lines, ("title", "side"), (), ("rank", "records"))


def activity(frame: pl.DataFrame) -> Figure:
    """Records of users and of items, most active first."""
    fig, [axes] = panels(1, 2, 2.4)
    for ax, side in zip(axes, ("user", "item"), strict=True):
        for (title, part), style in zip(parts_of(frame.filter(side=side)), cycle(("-", "--", ":", "-."))):
            ax.loglog(part["rank"], part["records"], style, color=BASELINE, label=plain(title))
        ax.set(xlabel=f"{side}, most active first", ylabel="records")
    axes[1].sharey(axes[0])
    for axis in (axes[0].xaxis, axes[1].xaxis, axes[0].yaxis):
        log_ticks(axis)
    legend_below(fig, axes)
    return fig


def collect_keywords(split: Split, texts: Explanations, title: str, k: int = 10) -> pl.DataFrame:
    """Top phrases of the explanations of the item with the most records (Sec 5.5.3).

    Stop words, the words of the answer sentence, the fixed wording of a programmed explainer and phrases in nearly all
    texts are left out, and on real data phrases with a word of an item's name, unless some item is described by it;
    the column ``left_out`` says so.

    Parameters
    ----------
    split
    texts
        With the slots "positive" and "negative".
    title
        The data set's name.
    k
        Phrases of each slot.

    Returns
    -------
    Lines of slot, word (a phrase), texts (with it), most frequent first; title, note and left_out say what they are of.
    """
    item = int(np.bincount(split.item_position).argmax())
    about = np.flatnonzero(split.item_position == item)
    sides = {slot: texts.texts(slot) for slot in ("positive", "negative")}
    everything = [text for side in sides.values() for text in side if text]
    simulated = split.dataset.simulated
    names = frozenset() if simulated else _words(split, "name") - _words(split, "details")
    usual = {word for word, n in counts(everything).items() if n > NEARLY_ALL * len(everything)}
    usual = {word for word in usual if names.isdisjoint(word.split())}
    of_item = {slot: [side[at] for at in about if side[at]] for slot, side in sides.items()}
    left_out = ["stop words", "words of the answer sentence"]
    left_out += ["the explainer's fixed wording"] if any(said(t) != t for s in of_item.values() for t in s) else []
    left_out += [f"phrases in over {NEARLY_ALL:.0%} of all texts ({', '.join(sorted(usual))})"] if usual else []
    left_out += [] if simulated else ["words of items' names"]
    name = str(split.dataset.items["name"][item]) if simulated else "the item with the most records"
    by = f" ({texts.explainer})" if texts.explainer else ""
    common: Line = {"title": f"{title}: {name}, {len(about)} records{by}", "left_out": ", ".join(left_out)}
    lines: list[Line] = []
    for slot, own in of_item.items():
        mute = sum(not counts([text]) for text in own)
        common |= {"slot": slot, "note": f"{len(own)} texts" + (f", {mute} name nothing" if mute else "")}
        told = {word: n for word, n in counts(own).items() if word not in usual and names.isdisjoint(word.split())}
        words = top(Counter(told), k)
        lines += [common | {"word": word, "texts": n} for word, n in words if n > 0] or [dict(common)]
    return table(lines, ("title", "slot", "word", "note", "left_out"), (), ("texts",))


def _words(split: Split, column: str) -> frozenset[str]:
    return frozenset(words_of(" ".join(split.dataset.items[column].drop_nulls())))


def keywords(frame: pl.DataFrame) -> Figure:
    """Top phrases of all positive and all negative explanations of one item."""
    fig, (axes,) = panels(1, 2, 2.6)
    for ax, slot in zip(axes, ("positive", "negative"), strict=True):
        part = frame.filter(pl.col("slot") == slot, pl.col("word").is_not_null())
        if part.is_empty():
            empty(ax, f"{slot} explanations", "no explanations")
            continue
        ax.barh([plain(word) for word in part["word"]], part["texts"].to_list(), color=SLOTS[slot])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set(title=f"{slot} explanations", xlabel=plain(f"texts with the phrase\n({part['note'][0]})"))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    fig.suptitle(plain(named(frame["title"][0]), 90))
    if frame["left_out"][0]:
        fig.supxlabel(plain(f"Left out: {frame['left_out'][0]}", 105), fontsize=SMALL, color="#555555")
    return fig


def collect_lengths(found: Mapping[str, Explanations]) -> pl.DataFrame:
    """Records by the number of words of their explanations, in bars of `WIDTH` words; `found` by title."""
    lines: list[Line] = []
    for title, texts in found.items():
        for slot in filter(texts.codes.__contains__, SLOTS):
            words = np.array([len(text.split()) for text in texts.sentences])[texts.codes[slot]]
            edges = np.arange(0, max(50, int(words.max(initial=0))) + 2 * WIDTH, WIDTH)
            heights, _ = np.histogram(words, edges)
            lines += [
                {"title": title, "slot": slot, "words": int(left), "records": int(height)}
                for left, height in zip(edges[:-1], heights, strict=True)
            ]
    return table(lines, ("title", "slot"), (), ("words", "records"))


def lengths(frame: pl.DataFrame) -> Figure:
    """Words of the explanations, one panel a data set."""
    fig, columns = by_column(frame, 1)
    for title, (ax,), part in columns:
        for slot, colour in SLOTS.items():
            own = part.filter(slot=slot)
            if not own.is_empty():
                edges = [*own["words"], own["words"][-1] + WIDTH]
                ax.stairs(own["records"].to_list(), edges, lw=1.4, color=colour, label=slot)
        ax.set_title(plain(title))
        ax.yaxis.set_major_formatter(THOUSANDS)
    common_labels(columns, "words", ["records"])
    legend_below(fig, [ax for _, (ax,), _ in columns])
    return fig


def collect_curves(title: str, runs: Mapping[str, Sequence[float]]) -> pl.DataFrame:
    """Validation loss of autoencoders, epoch by epoch; `runs` by their label."""
    lines = [
        {"title": title, "run": label, "epoch": epoch, "loss": loss}
        for label, losses in runs.items()
        for epoch, loss in enumerate(losses, start=1)
    ]
    return table(lines, ("title", "run"), ("loss",), ("epoch",))


def curves(frame: pl.DataFrame) -> Figure:
    """Validation loss of autoencoders against the epoch."""
    fig, [[ax]] = panels(1, 1, 2.6)
    runs = [(str(label), part) for (label,), part in frame.group_by("run", maintain_order=True)]
    for (label, part), colour in zip(runs, levels(range(len(runs))).values(), strict=True):
        ax.plot(part["epoch"], part["loss"], color=colour, label=plain(label))
    title = plain(f"{named(frame['title'][0])}: reconstruction")
    ax.set(xlabel="epoch", ylabel="validation loss per word", title=title, yscale="log")
    log_ticks(ax.yaxis)
    legend_below(fig, [ax])
    return fig


def collect_codes(title: str, codes: NDArray[np.floating], positive: NDArray[np.bool_]) -> pl.DataFrame:
    """First two principal axes of the codes of sentences, shape (N, 8), with the slot they were written for."""
    centred = codes - codes.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes[:2].T
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))  # a single sentence has one axis
    named = [("positive", flat[positive]), ("negative", flat[~positive])]
    lines = [
        {"title": title, "slot": slot, "first": round(float(a), 4), "second": round(float(b), 4)}
        for slot, own in named
        for a, b in own
    ]
    return table(lines, ("title", "slot"), ("first", "second"))


def codes(frame: pl.DataFrame) -> Figure:
    """Codes of sentences on their first two principal axes."""
    fig, [[ax]] = panels(1, 1, 3.0)
    size = min(8, 8_000 / frame.height)  # thousands of points must not hide each other
    for (slot,), part in frame.group_by("slot", maintain_order=True):
        ax.scatter(part["first"], part["second"], s=size, alpha=0.6, color=SLOTS[str(slot)], label=str(slot))
    title = plain(f"{named(frame['title'][0])}: codes (principal axes)")
    ax.set(xlabel="first axis", ylabel="second axis", title=title)
    legend_below(fig, [ax])
    return fig

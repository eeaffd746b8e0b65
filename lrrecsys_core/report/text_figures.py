"""Figures of notebook 02: what explanations of one item speak about, and how long explanations are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.keywords import NEARLY_ALL, counts, said, top, words_of
from lrrecsys_core.report.more_figures import keywords
from lrrecsys_core.report.style import NEGATIVE, OTHER, POSITIVE, panels, plain

SLOTS = {"positive": POSITIVE, "negative": NEGATIVE, "single": OTHER}
WIDTH = 2  # words of a bar


def item_keywords(
    split: Split, texts: Explanations, title: str, k: int = 10
) -> tuple[Figure, dict[str, list[tuple[str, int]]]]:
    """Top words of the explanations of the item with the most records (Sec 5.5.3).

    Stop words, the words of the answer sentence, the fixed wording of a programmed explainer and words in nearly all
    texts are left out, which the figure says.

    Parameters
    ----------
    split
    texts
        With the slots "positive" and "negative".
    title
        The data set's name.
    k
        Words of each slot.

    Returns
    -------
    The figure, and (word, number of texts) by slot.
    """
    item = int(np.bincount(split.item_position).argmax())
    about = np.flatnonzero(split.item_position == item)
    told = {slot: texts.texts(slot) for slot in ("positive", "negative")}
    everything = [text for side in told.values() for text in side if text]
    usual = {word for word, n in counts(everything).items() if n > NEARLY_ALL * len(everything)}
    shown: dict[str, list[tuple[str, int]]] = {}
    notes: list[str] = []
    worded = False
    for slot, side in told.items():
        of_item = [side[at] for at in about if side[at]]
        shown[slot] = top(Counter({word: n for word, n in counts(of_item).items() if word not in usual}), k)
        mute = sum(not words_of(said(text)) for text in of_item)
        notes.append(f"{len(of_item)} texts" + (f", {mute} name nothing" if mute else ""))
        worded |= any(said(text) != text for text in of_item)
    left_out = ["stop words", "words of the answer sentence"]
    left_out += ["the explainer's fixed wording"] if worded else []
    left_out += [f"words in over {NEARLY_ALL:.0%} of all texts ({', '.join(sorted(usual))})"] if usual else []
    name = f"{title}: {split.dataset.items['name'][item]}, {len(about)} records"
    both = shown["positive"], shown["negative"]
    figure = keywords(*both, name, explainer=texts.explainer, notes=notes, left_out=", ".join(left_out))
    return figure, shown


def explanation_lengths(found: Mapping[str, Explanations]) -> Figure:
    """Words of the explanations, one panel a data set.

    Parameters
    ----------
    found
        By the title of the panel.
    """
    fig, [axes] = panels(1, max(len(found), 1), 3.0, 2.6)
    for ax, (title, texts) in zip(axes, found.items(), strict=False):
        for slot in filter(texts.codes.__contains__, SLOTS):
            words = np.array([len(text.split()) for text in texts.sentences])[texts.codes[slot]]
            bins = range(0, max(50, int(words.max(initial=0))) + 2 * WIDTH, WIDTH)
            ax.hist(words, bins=list(bins), histtype="step", lw=1.4, color=SLOTS[slot], label=slot)
        ax.set(title=plain(title), xlabel="words", ylabel="records")
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(SLOTS), fontsize=7)
    return fig

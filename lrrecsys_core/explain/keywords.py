"""What explanations speak about: word frequencies without stop words (Sec 5.5.3)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['’-](?=[^\W\d_]))+")

_STOP = """
a about above after again against all also although always am among an and any are as at be because been before being
below between both but by can could did do does doing down during each either else even ever every few for from further
had has have having he her here hers herself him himself his how however i if in instead into is it its itself just
least less like likely many may me might mine more most much must my myself neither never no nor not nothing now of off
often on once one only or other others our ours ourselves out over own perhaps quite rather really same seem seems she
should since so some such than that the their theirs them themselves then there these they this those though through
thus to too toward towards under until up upon us very was we well were what when where whether which while who whom
whose why will with within without would yet you your yours yourself
"""
_FRAME = """
consumer consumers stayed stay visited visit watched watch purchased purchase hotel hotels restaurant restaurants movie
movies product products current past described cares
"""
STOP_WORDS = frozenset(_WORD.findall(_STOP)) | {"a", "i"}
FRAME_WORDS = frozenset(_WORD.findall(_FRAME))
"""Words of the answer sentence itself, which would otherwise lead every list."""


def words_of(text: str) -> list[str]:
    """Lower-case words without stop words, the words of the answer sentence, numbers and signs."""
    return [word for word in _WORD.findall(text.lower()) if word not in STOP_WORDS and word not in FRAME_WORDS]


def keywords(positive: Iterable[str], negative: Iterable[str], k: int = 15) -> pl.DataFrame:
    """The k most frequent words of each side; a word counts once for each text that holds it.

    Returns
    -------
    polars.DataFrame
        word, positive, negative (number of texts), ordered by the sum, then by word.
    """
    counts = [Counter(word for text in side for word in set(words_of(text))) for side in (positive, negative)]
    chosen = {word for count in counts for word, _ in sorted(count.items(), key=lambda pair: (-pair[1], pair[0]))[:k]}
    rows = [(word, counts[0][word], counts[1][word]) for word in chosen]
    rows.sort(key=lambda row: (-row[1] - row[2], row[0]))
    return pl.DataFrame(rows, schema={"word": pl.String, "positive": pl.Int64, "negative": pl.Int64}, orient="row")


def plot_keywords(frame: pl.DataFrame, title: str = "") -> Figure:
    """Bars of positive beside negative counts for each word of :func:`keywords`."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 0.28 * len(frame) + 1))
    places = range(len(frame))
    axes.barh(places, frame["positive"].to_numpy(), color="tab:blue", label="positive explanations")
    axes.barh(places, -frame["negative"].to_numpy(), color="tab:orange", label="negative explanations")
    axes.set_yticks(list(places), [word.replace("$", r"\$") for word in frame["word"]])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_xlabel("texts with the word")
    axes.set_title(title)
    axes.legend(loc="lower right")
    figure.tight_layout()
    return figure

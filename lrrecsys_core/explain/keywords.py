"""What explanations speak about: how often each phrase occurs (Sec 5.5.3; phrases as in RAKE, Rose et al. 2010)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from lrrecsys_core.explain.reasoners import CLAUSES, OTHER_CLAUSES

_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['’-](?=[^\W\d_]))+")

_TOKEN = re.compile(rf"{_WORD.pattern}|\S")  # a word, or a sign between words
LONGEST = 3  # words of a phrase

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
NEARLY_ALL = 0.8  # share of a data set's texts beyond which a word tells nothing about one item


def _wordings() -> list[re.Pattern[str]]:
    """The sentences this package's programmes fill in, with a group at what is said; elsewhere nothing is captured."""
    found = ['(?:the consumer cares about "([^"]*)"|the consumer is new here) and the [^"]+ is described by "([^"]*)"']
    for clause in (*CLAUSES.values(), *OTHER_CLAUSES.values()):
        # A phrase comes back as it was, so that no wording around it passes for a part of it.
        phrase = clause.replace("{phrase}", "(?P<phrase>.+)", 1).replace("{phrase}", "(?P=phrase)")
        found.append(re.sub(r"\{\w+\}", r"[\\w ]+", phrase))
    return [re.compile(rf"The consumer [\w ]+ because {clause}\.") for clause in found]


_WORDINGS = _wordings()


def said(text: str) -> str:
    """What a text says apart from the fixed wording of this package's programmes; other texts as they are."""
    for wording in _WORDINGS:
        if match := wording.fullmatch(text):
            return " ".join(filter(None, match.groups()))
    return text


def counts(texts: Iterable[str]) -> Counter[str]:
    """How many texts hold each phrase in what they say."""
    found: Counter[str] = Counter()
    for text, uses in Counter(texts).items():
        found.update(dict.fromkeys(phrases_of(said(text)), uses))
    return found


def phrases_of(text: str) -> list[str]:
    """Words that stand together between stop words and signs, such as "new york"; of a longer row its single words."""
    runs: list[list[str]] = [[]]
    for token in _TOKEN.findall(text.lower()):
        if words_of(token):
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [phrase for run in runs for phrase in ([" ".join(run)] if len(run) <= LONGEST else run) if phrase]


def words_of(text: str) -> list[str]:
    """Lower-case words without stop words, the words of the answer sentence, numbers and signs."""
    return [word for word in _WORD.findall(text.lower()) if word not in STOP_WORDS and word not in FRAME_WORDS]


def top(count: Counter[str], k: int) -> list[tuple[str, int]]:
    """The k most frequent phrases, equally frequent ones by name; none that is never used."""
    return sorted(((word, n) for word, n in count.items() if n), key=lambda pair: (-pair[1], pair[0]))[:k]

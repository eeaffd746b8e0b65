"""The texts of a split's records, whoever wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_ASKED_IN = ", prompts "


@dataclass(frozen=True)
class Explanations:
    """The texts of every record of a split, each distinct sentence kept once.

    Parameters
    ----------
    explainer
        Who wrote them, as shown in tables; of an LLM's stored texts with the prompt set (:func:`told_by`).
    variant
        One of :data:`lrrecsys_core.explain.prompts.VARIANTS`.
    sentences
        Distinct sentences; the first is "" (no text).
    codes
        For each slot ("positive", "negative" or "single") the sentence of each record: (N,) int32.
    """

    explainer: str
    variant: str
    sentences: tuple[str, ...]
    codes: dict[str, NDArray[np.int32]]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the texts and their places: what results computed from them are filed under."""
        digest = blake2b(digest_size=16)
        for sentence in self.sentences:
            digest.update(sentence.encode("utf-8", "surrogatepass") + b"\0")
        for slot in sorted(self.codes):
            digest.update(slot.encode() + np.ascontiguousarray(self.codes[slot], dtype=np.int32).tobytes())
        return digest.hexdigest()

    def texts(self, slot: str) -> list[str]:
        """The sentence of each record in a slot, "" where there is none."""
        return [self.sentences[code] for code in self.codes[slot]]

    @property
    def coverage(self) -> dict[str, float]:
        """Share of records with a text, by slot."""
        return {slot: float(np.mean(codes > 0)) if len(codes) else 0.0 for slot, codes in self.codes.items()}


def told_by(llm: str, prompts: str) -> str:
    """An LLM with the prompt set it was asked in, as tables name the author of texts: "Llama 3.1, prompts house"."""
    return f"{llm}{_ASKED_IN}{prompts}"


def asked_in(explainer: str) -> str:
    """The prompt set that :func:`told_by` put into an explainer's name; "" where it put none."""
    return explainer.rpartition(_ASKED_IN)[2] if _ASKED_IN in explainer else ""

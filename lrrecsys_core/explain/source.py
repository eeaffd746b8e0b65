"""What every source of texts can be asked, whoever wrote them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.answers import Answer, answered
from lrrecsys_core.explain.embeddings import Embedder, sentence_encoder
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.generate import explain_records, item_profiles
from lrrecsys_core.explain.llm import LLM
from lrrecsys_core.explain.prompt_sets import HOUSE, PromptSet


class Source(ABC):
    """Whoever writes, or wrote, the texts of a split's records.

    Attributes
    ----------
    programmed : whether a programme decides what the texts say; False only where an LLM wrote them.
    answers_prompts : whether any record can be explained, those of a market that has moved included.
    """

    programmed: ClassVar[bool] = True
    answers_prompts: ClassVar[bool] = False

    @property
    def llm(self) -> str:
        """The LLM that wrote the texts, by short name or identifier; "" where none did."""
        return ""

    @property
    def form(self) -> tuple[str, tuple[str, ...]]:
        """Variant and slots of the texts that a row named after this source reads."""
        return "full", ("positive", "negative")

    @property
    def prompts(self) -> PromptSet:
        """The set that prompts are worded by where there are any."""
        return HOUSE

    @property
    def shuffled_within(self) -> Literal["item", "user"]:
        """Whose texts change places in a placebo: an item's, or a user's where all records of an item share a text."""
        return "item"

    def explanations(self, split: Split, variant: str = "full") -> Explanations:
        """The texts of every record of a split in a variant of the prompts.

        Raises
        ------
        InputError
            When the data set, or what is at hand, lacks what these texts are made of.
        """
        return explain_records(split, self.reasoner(split), variant)

    @abstractmethod
    def available(self, dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> bool:
        """Whether there are such texts, with that share of the training records kept (Table 3)."""

    def complete(self, dataset: Dataset) -> bool:
        """Whether these texts, where there are any, were sought for every record: other rows may then read them too."""
        return True

    def key(self) -> dict[str, Any]:
        """What, beside the data, decides the texts: JSON-able, by content."""
        return {"source": type(self).__name__}

    def reasoner(self, split: Split) -> LLM:
        """What answers the prompts about a split.

        Raises
        ------
        InputError
            If these texts are not answers to prompts.
        """
        raise InputError(f"texts of the source {self} are no answers to prompts: choose a simulated reasoner.")

    def profiles(self, split: Split) -> list[str] | None:
        """Profile of each row of ``split.dataset.items`` (Sec 3.6); None where prompts play no part."""
        return item_profiles(split, self.reasoner(split)) if self.answers_prompts else None

    def answers(self, split: Split, variant: str = "full") -> Iterator[Answer]:
        """What was said about the records, or the items for "profile", as it came; texts without a prompt as they are.

        Raises
        ------
        InputError
            As `Source.explanations`.
        """
        if self.answers_prompts:
            yield from answered(split, self.reasoner(split), variant)
        elif variant != "profile":
            told = self.explanations(split, variant)
            yield from (Answer(told.explainer, slot, "", text) for slot in told.codes for text in told.texts(slot))

    def embedder(self) -> Embedder | None:
        """What gives the texts' raw vectors (Ablation 2): the sentence encoder of the environment, or None."""
        return sentence_encoder()

"""Texts that somebody has already: a folder written by ``lrrecsys explain import-table``, read as a writer of its own.

A folder holds the texts of one writer, a Parquet file for each data set, and ``manifest.json``: who wrote them, what
the writer had read, how well the keys met the data set's, and the hash of each file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.source import Source

FORMAT: Final = "lrrecsys-given-texts-1"
SEEN: Final = {  # what a writer may have read before writing, and how tables say it
    "titles": "titles", "training-reviews": "training reviews", "other-reviews": "other reviews",
}  # fmt: skip
# variant -> slots; "text": one stands for all, "direct": the writer's own rating of the record
FORMS: Final = {"full": ("positive", "negative"), "text": ("single",), "direct": ("single",)}


@dataclass(frozen=True)
class Given(Source):
    """Texts of one writer, read from a folder that LRRECSYS_STORES names.

    Attributes
    ----------
    name : the writer, as the folder's manifest has it.
    folder : where the texts lie; enters no key.
    """

    name: str
    folder: str
    programmed: ClassVar[bool] = False

    @property
    def llm(self) -> str:
        """As `Source.llm`."""
        return self.name

    @property
    def form(self) -> tuple[str, tuple[str, ...]]:
        """As `Source.form`: reasons for and against, one text, or a rating."""
        variant = read_manifest(self.folder)["variant"]
        return variant, FORMS[variant]

    @property
    def shuffled_within(self) -> Literal["item", "user"]:
        """As `Source.shuffled_within`: within users where every table has one text for each item."""
        keys = [table["keys"] for table in read_manifest(self.folder)["tables"].values()]
        return "user" if all(key == ["item_id"] for key in keys) else "item"

    def explanations(self, split: Split, variant: str = "full") -> Explanations:
        """As `Source.explanations`: a record has the text of its own key, of its item or of its user.

        Raises
        ------
        InputError
            When the folder has no such texts of the data set, or its file is missing or changed.
        """
        if not self.available(split.dataset, variant, split.train_fraction):
            raise InputError(f"{self.folder} has no texts of variant {variant!r} of {split.dataset.name!r}")
        manifest = read_manifest(self.folder)
        table = manifest["tables"][split.dataset.name]
        path = Path(self.folder) / Path(table["file"]).name
        if not path.is_file() or paths.digest(path) != table["sha256"]:
            raise InputError(f"{path} is missing or differs from its manifest: import the table again")
        texts = pl.read_parquet(path)
        records = split.dataset.interactions[split.record].select(table["keys"])
        found = records.join(texts, on=table["keys"], how="left", maintain_order="left")
        sentences: dict[str, int] = {"": 0}
        codes = {
            slot: np.array([sentences.setdefault(text or "", len(sentences)) for text in found[slot]], dtype=np.int32)
            for slot in FORMS[variant]
        }
        covered = float(np.all([code > 0 for code in codes.values()], axis=0).mean())
        told = f"{self.name} (had seen: {SEEN[manifest['seen']]}"
        told += ")" if covered == 1.0 else f"; texts for {covered:.1%} of the records)"
        return Explanations(told, variant, tuple(sentences), codes)

    def available(self, dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> bool:
        """As `Source.available`: of data sets that were imported, with all their training records.

        With fewer, histories and known reviews would differ from those that the texts were written from.

        Raises
        ------
        InputError
            When the texts belong to other records under the data set's name.
        """
        manifest = read_manifest(self.folder)
        if (
            dataset.simulated
            or fraction < 1
            or variant != manifest["variant"]
            or dataset.name not in manifest["tables"]
        ):
            return False
        if manifest["tables"][dataset.name]["records"] != dataset.records_fingerprint:
            raise InputError(
                f"the texts in {self.folder} were matched with other records under the name {dataset.name!r}: "
                "import them again for these"
            )
        return True

    def complete(self, dataset: Dataset) -> bool:
        """As `Source.complete`: when no record's key was absent from the table; empty texts are like failed answers.

        Ratings are needed of test records alone, and none is told for the others.
        """
        manifest = read_manifest(self.folder)
        return manifest["variant"] == "direct" or not manifest["tables"][dataset.name]["counts"]["absent"]

    def key(self) -> dict[str, Any]:
        """As `Source.key`: with the manifest, which holds the hash of every text file."""
        return super().key() | {"name": self.name, "manifest": paths.digest(Path(self.folder) / "manifest.json")}


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a folder of given texts.

    Raises
    ------
    InputError
        When there is none of this format.
    """
    path = Path(folder) / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: name a folder made by 'lrrecsys explain import-table'") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(
            f"{path} is not of the format {FORMAT!r}: name a folder made by 'lrrecsys explain import-table'"
        )
    return manifest


def is_given(folder: str | Path) -> bool:
    """Whether a folder holds given texts, by the format of its manifest."""
    try:
        return bool(read_manifest(folder))
    except InputError:
        return False

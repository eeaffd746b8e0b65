"""What a row of the tables is: its model, the texts it reads, and what is done to data or texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.explain.source import Source
from lrrecsys_core.explain.sources import default_source
from lrrecsys_core.models.base import Recommender

Kind = Literal["ours", "baseline", "rival", "floor", "variant", "ablation", "control", "comparator", "direct"]
LR: Final = "LR-Recsys (Ours)"


@dataclass(frozen=True)
class Texts:
    """The explanation inputs of a row: a source (None: the data set's default), a prompt variant and the slots read.

    ``raw=True`` skips the autoencoder (Ablation 2), ``whitened=False`` the map between codes and network.
    """

    source: Source | None = None
    variant: str = "full"
    slots: tuple[str, ...] = ("positive", "negative")
    raw: bool = False
    whitened: bool = True

    def source_on(self, dataset: Dataset, fraction: float = 1.0) -> Source:
        """The source on a data set with that share of its training records."""
        return self.source or default_source(dataset, self.variant, fraction)


@dataclass(frozen=True)
class Row:
    """One row of the tables.

    Parameters
    ----------
    name : printed name, also the value of the column ``row`` of the results frames.
    tables : tables of the paper (2-6), and side tables, that show the row.
    kind : ``ours`` | ``baseline`` (the paper's fourteen) | ``rival`` (baselines it does not mention) | ``floor`` |
        ``variant`` | ``ablation`` | ``control`` | ``comparator`` | ``direct`` (the LLM itself predicts).
    model : class to train; None for rows that need no training, or that are computed with another row.
    params : build parameters that the row itself fixes, whatever point it trains at.
    texts : what it reads, or None.
    point : row whose chosen grid point it trains at; LR-Recsys' where none was chosen for that one.
    floor : ``mean`` (the training mean), ``biases`` (those every network adds to), ``boosting`` (trees on statistics),
        ``direct`` (the LLM's own number), on markets ``ceiling`` and ``match`` (the true tastes, or the balance of a
        candidate's reasons over S*, linear on the biases), or "".
    attributes : comparators on markets: give the network ``all`` attributes or the true ``important`` ones as context.
    shuffle : permute the texts over all records, within user or within item.
    dose : what becomes of the texts of that share of the records, in training and test: ``removed``, or ``exchanged``
        with another record's.
    fraction : share of the training records kept (Table 3).
    shifted : also evaluate the trained row where the spurious attributes behave differently.
    permuted : also evaluate it with texts permuted over the test records.
    by_construction : unless an LLM wrote its texts, a programme decides how the row comes out, so it is no evidence.
    evaluates : row whose trained networks give this one its numbers on other inputs, or "".
    averages : rows whose predictions it averages, none trained anew.
    same_as : row whose results stand for this one under another name, or "".
    llm : short name of the LLM without which the row cannot be run, or "".
    written : shown only where an LLM wrote the texts: a programme's would copy the full row, or be a straw man.
    optional : shown only where results exist; otherwise an absent row says "not run".
    markets_only : needs the truth of a simulated market.
    side : belongs to a side table, which a small run leaves out or gives fewer replicates.
    """

    name: str
    tables: tuple[int | str, ...]
    kind: Kind
    model: type[Recommender] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    texts: Texts | None = None
    point: str = LR
    floor: str = ""
    attributes: Literal["", "all", "important"] = ""
    shuffle: Literal["", "all", "user", "item"] = ""
    dose: tuple[Literal["", "removed", "exchanged"], float] = ("", 0.0)
    fraction: float = 1.0
    shifted: bool = False
    permuted: bool = False
    by_construction: bool = False
    evaluates: str = ""
    averages: tuple[str, ...] = ()
    same_as: str = ""
    llm: str = ""
    written: bool = False
    optional: bool = False
    markets_only: bool = False
    side: bool = False

    @property
    def computed(self) -> bool:
        """Whether the row has a cell of its own."""
        return self.model is not None or bool(self.floor)

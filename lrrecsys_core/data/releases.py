"""The data of Sec 5.1: which public release each of the paper's sets is, and whether a data set is that release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lrrecsys_core.data.dataset import Dataset

TOLERANCE: Final = 0.10


@dataclass(frozen=True)
class Release:
    """A public release, and the counts that the paper prints for it (Sec 5.1)."""

    paper_name: str
    records: int
    users: int
    items: int
    what: str


# By the word that a loader, or ``release=`` of a table, gives a data set.
RELEASES: Final = {
    "amazon-2023-movies": Release("Amazon Movie", 17_328_314, 6_503_429, 747_910, "movie reviews"),
    "yelp-open": Release("Yelp", 6_990_280, 1_987_897, 150_346, "restaurant reviews"),
    "tripadvisor-peter": Release("TripAdvisor", 343_277, 9_765, 6_280, "hotel reviews"),
}


def counts(dataset: Dataset) -> dict[str, int]:
    """Records, users and items of a data set."""
    users, items = (dataset.interactions[column].n_unique() for column in ("user_id", "item_id"))
    return {"records": dataset.interactions.height, "users": users, "items": items}


def same_as_paper(dataset: Dataset) -> bool:
    """Whether a data set is one of the paper's: the same release, with each count within 10% of the one printed."""
    release = RELEASES.get(dataset.release)
    if release is None or dataset.simulated:
        return False
    return all(abs(n - getattr(release, of)) <= TOLERANCE * getattr(release, of) for of, n in counts(dataset).items())

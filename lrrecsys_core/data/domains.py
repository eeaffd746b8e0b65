"""The domains of the paper's data, and the words for them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """The words of a domain; `name` is also the folder of its prompt templates."""

    name: str
    noun: str
    plural: str
    verb_past: str
    verb_base: str


DOMAINS: dict[str, Domain] = {
    "hotel": Domain("hotel", "hotel", "hotels", "stayed at", "stay at"),
    "restaurant": Domain("restaurant", "restaurant", "restaurants", "visited", "visit"),
    "movie": Domain("movie", "movie", "movies", "watched", "watch"),
    "product": Domain("product", "product", "products", "purchased", "purchase"),
}

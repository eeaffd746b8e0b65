"""Words of the simulated markets: attribute names, categories, name parts and context effects.

All phrases are plural or uncountable, so that sentences such as "the hotel offers ..." need no article, and none is
contained in another, so that a reader of text can tell them apart. Item names are built from invented parts.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class MarketWords:
    """Vocabulary of one simulated domain.

    Attributes
    ----------
    domain : str
        Key of :data:`lrrecsys_core.data.domains.DOMAINS`.
    important, spurious, other : tuple of str
        Attribute names that drive ratings (the set S* of Sec 4), that only follow an item's appeal (App 9.2), and that
        do neither.
    categories : tuple of str
        Kinds of item; one is added to every item's details.
    name_parts : tuple of tuple of str
        One word of each part, joined by spaces, makes an item's name.
    context : dict
        Context column -> {value: mean effect on the latent rating, in rating points}.
    """

    domain: str
    important: tuple[str, ...]
    spurious: tuple[str, ...]
    other: tuple[str, ...]
    categories: tuple[str, ...]
    name_parts: tuple[tuple[str, ...], ...]
    context: dict[str, dict[str, float]] = field(default_factory=dict)


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_ADJECTIVES = _phrases(
    "Amber, Azure, Brindle, Cobalt, Copper, Crimson, Drifting, Dusky, Ember, Fabled, Gilded, Hazel, Hidden, Indigo, "
    "Ivory, Jade, Lantern, Lofty, Marbled, Misty, Mossy, Opal, Painted, Quiet, Russet, Saffron, Silver, Tawny, "
    "Velvet, Wandering"
)
_NOUNS = _phrases(
    "Anchor, Badger, Birch, Comet, Cricket, Dovecote, Falcon, Fern, Ferry, Garnet, Gull, Heron, Juniper, Kestrel, "
    "Larch, Lynx, Magpie, Meadow, Nettle, Orchard, Otter, Pebble, Pinecone, Quarry, Sparrow, Thistle, Tulip, Walnut, "
    "Willow, Wren"
)

MARKET_WORDS: dict[str, MarketWords] = {
    "hotels": MarketWords(
        domain="hotel",
        important=_phrases(
            "quiet rooms, free parking, rooftop swimming, airport transfers, sea views, kitchenette suites, family "
            "rooms, spa treatments, fast wifi, all-day breakfast, pet-friendly floors, meeting space"
        ),
        spurious=_phrases(
            "scented lobbies, branded slippers, celebrity photographs, gold-rimmed mirrors, pillow chocolates, "
            "doormen in livery, printed newspapers, aquarium walls"
        ),
        other=_phrases(
            "bicycle storage, ice machines, corner balconies, patterned carpets, herb gardens, board games, vending "
            "corners, library shelves, ceiling fans, umbrella loans, shoe polishing, map stands, tea kettles, wooden "
            "shutters, potted palms, luggage scales, wall clocks, garden benches, key cards, ironing boards"
        ),
        categories=_phrases("boutique hotel, business hotel, resort, guesthouse, apartment hotel"),
        name_parts=(_ADJECTIVES, _NOUNS, _phrases("House, Inn, Lodge, Court, Rooms, Retreat")),
        context={
            "trip_type": {"business": -0.35, "couple": 0.3, "family": 0.05, "friends": 0.2, "solo": -0.2},
            "season": {"winter": -0.15, "spring": 0.1, "summer": -0.1, "autumn": 0.15},
        },
    ),
    "restaurants": MarketWords(
        domain="restaurant",
        important=_phrases(
            "vegan dishes, charcoal grilling, wine pairings, outdoor seating, late opening hours, live jazz, generous "
            "portions, handmade pasta, fiery sauces, seasonal tasting menus, gluten-free baking, craft cocktails"
        ),
        spurious=_phrases(
            "neon signs, handwritten menus, copper lamps, waiters in bow ties, vintage posters, velvet chairs, chef "
            "autographs, valet service"
        ),
        other=_phrases(
            "paper straws, tiled floors, coat hooks, window stools, chalk boards, mint sweets, round tables, linen "
            "napkins, recycled trays, hanging ferns, card payments, brick arches, numbered tickets, sugar cubes, "
            "wicker baskets, bamboo screens, striped awnings, glass partitions, ceramic jugs, mural ceilings"
        ),
        categories=_phrases("bistro, grill house, noodle bar, trattoria, brunch room, tapas bar"),
        name_parts=(_ADJECTIVES, _NOUNS, _phrases("Kitchen, Table, Spoon, Larder, Hearth, Canteen")),
    ),
    "movies": MarketWords(
        domain="movie",
        important=_phrases(
            "slow-burn tension, dry humour, practical effects, courtroom arguments, heist planning, coming-of-age "
            "themes, unreliable narration, dance sequences, space travel, martial arts, historical settings, ghostly "
            "encounters"
        ),
        spurious=_phrases(
            "cameo appearances, widescreen restorations, orchestral overtures, director commentaries, collector "
            "packaging, title-card fonts, festival laurels, post-credit scenes"
        ),
        other=_phrases(
            "rainy streets, train journeys, voice-over letters, market chases, split screens, desert skies, seaside "
            "towns, phone booths, birthday parties, snowy rooftops, newspaper headlines, roadside diners, stray dogs, "
            "wedding toasts, harbour fog, radio broadcasts, chess matches, garden mazes, lighthouse keepers, museum "
            "halls"
        ),
        categories=_phrases("drama, comedy, thriller, adventure, romance, science fiction"),
        name_parts=(
            _phrases("The"),
            _ADJECTIVES,
            _NOUNS,
            _phrases("of"),
            _phrases("Ardwick Vale, Belhaven Quay, Corrin Moor, Dunmarrow, Elsmere Gap, Farrowmont, Greyhollow"),
        ),
    ),
}

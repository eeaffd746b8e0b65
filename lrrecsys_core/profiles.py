"""How large a run is: ``smoke`` (continuous integration), ``demo`` (committed results) or ``paper`` (real data)."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace

from lrrecsys_core.errors import InputError

MARKETS_VARIABLE = "LRRECSYS_MARKETS"


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes of one run.

    Attributes
    ----------
    name : smoke, demo, paper or paper_strict.
    users, items, records_per_user : size of a simulated market (records per user is a mean).
    replicates : simulated markets per domain.
    first_markets : those of a run that is not asked for all; 0 for all of them.
    seeds_on_files : replicates where the data are real: the same records under several seeds.
    first_seed : seed of the first replicate; 0-9 are kept for settling market parameters. A change of method or market
        after a report run moves those of `demo` and `paper` to the next hundred (docs/ledger.md).
    first_seed_on_files : the same where the data are real; -1 for that of markets. There a seed draws no records, only
        first weights, batches, shuffles and samples: others would be no fresh evidence, so it stays.
    epochs, patience : most epochs of training, and epochs without a better validation loss before a replicate stops.
    compile : compile the training step (pays only for long runs).
    autoencoder_epochs : most epochs of the autoencoder of explanations.
    networks : networks whose predictions are averaged for a row's on markets; real data have replicates for that.
    theory : size of the simulations of theory (smoke, demo or full).
    published_sizes : train every baseline at the size it was published with too, and keep the better one on validation;
        otherwise all are as wide as LR-Recsys ("matched").
    paper_strict : the paper's stated training: all 80% of the records, 100 epochs at step .01 in batches of 128, no
        validation, no residual biases; the autoencoder for all its epochs, its rate as said in `deviations`.
    split_by : ``user_time`` (the paper's), or ``global_time``, as for `make_split`.
    free_per_item : the free vectors of Ablation 1 are one pair per item instead of one for all.
    side_replicates : replicates of the side tables on markets: every baseline on 50, 25 and 12% of the data (Table 3)
        and every row without residual biases. Fewer than `replicates`: none on real data; 0 leaves them out. They
        are among the first markets.
    """

    name: str
    users: int
    items: int
    records_per_user: int
    replicates: int
    epochs: int
    patience: int
    autoencoder_epochs: int
    networks: int = 1
    first_markets: int = 0
    first_seed: int = 200
    first_seed_on_files: int = -1
    compile: bool = False
    theory: str = "smoke"
    seeds_on_files: int = 2
    side_replicates: int = 0
    published_sizes: bool = False
    paper_strict: bool = False
    split_by: str = "user_time"
    free_per_item: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Size of a simulated market, as `MarketParameters` names it."""
        return {"users": self.users, "items": self.items, "records_per_user": self.records_per_user}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the replicates, in order."""
        return tuple(range(self.first_seed, self.first_seed + self.replicates))

    @property
    def blocks(self) -> tuple[range, ...]:
        """Numbers of the simulated markets of each block: the first, which every run computes, then the rest if any."""
        first = min(self.first_markets or self.replicates, self.replicates)
        rest = range(first, self.replicates)
        return (range(first), rest) if rest else (range(first),)

    @property
    def seeds_of_files(self) -> tuple[int, ...]:
        """Seeds of the replicates where the data are real."""
        first = self.first_seed if self.first_seed_on_files < 0 else self.first_seed_on_files
        return tuple(range(first, first + self.seeds_on_files))


_SMOKE = Profile(
    "smoke",
    users=100,
    items=80,
    records_per_user=12,
    replicates=2,
    epochs=4,
    patience=2,
    autoencoder_epochs=4,
)
_DEMO = Profile(
    "demo",
    users=240,
    items=160,
    records_per_user=14,
    replicates=10,
    first_markets=3,
    first_seed=500,
    first_seed_on_files=300,
    epochs=40,
    patience=4,
    autoencoder_epochs=30,
    networks=2,
    compile=True,
    theory="demo",
    seeds_on_files=5,
    side_replicates=2,
)
_PAPER = Profile(
    "paper",
    users=800,
    items=400,
    records_per_user=20,
    replicates=10,
    first_seed=500,
    first_seed_on_files=300,
    epochs=100,
    patience=10,
    autoencoder_epochs=100,
    networks=3,
    compile=True,
    theory="full",
    seeds_on_files=10,
    side_replicates=10,
    published_sizes=True,
)
# Without validation there is nothing to choose a size on.
_STRICT = replace(_PAPER, name="paper_strict", published_sizes=False, paper_strict=True)
PROFILES: dict[str, Profile] = {profile.name: profile for profile in (_SMOKE, _DEMO, _PAPER, _STRICT)}
# What may follow a profile's name after a dot: ``demo.global-time``. Such a run has a name, and a folder, of its own.
OPTIONS: dict[str, dict[str, object]] = {
    "global-time": {"split_by": "global_time"},
    "free-per-item": {"free_per_item": True},
}


def get_profile(name: str, /, **overrides: object) -> Profile:
    """Return the profile called `name`, perhaps with options behind dots, with any of its fields replaced.

    Raises
    ------
    InputError
        Unknown profile, unknown field, or a value of another type than the field's.
    """
    base, *options = name.split(".")
    if base not in PROFILES:
        raise InputError(f"there is no profile {base!r}: choose one of {', '.join(PROFILES)}")
    profile = replace(PROFILES[base], name=name)
    for option in options:
        if option not in OPTIONS:
            raise InputError(f"profile {base!r} has no option {option!r}: choose among {', '.join(OPTIONS)}")
        profile = replace(profile, **OPTIONS[option])  # type: ignore[arg-type]
    known = [field.name for field in fields(Profile) if field.name != "name"]
    for key, value in overrides.items():
        if key not in known:
            raise InputError(f"profile {name!r} has no setting {key!r}: choose among {', '.join(known)}")
        expected = type(getattr(profile, key))
        if type(value) is not expected:
            raise InputError(f"setting {key!r} of profile {name!r} must be {expected.__name__}, not {value!r}")
        least = 0 if key in ("first_markets", "first_seed", "first_seed_on_files", "side_replicates") else 1
        if isinstance(value, int) and not isinstance(value, bool) and value < least:
            raise InputError(f"setting {key!r} of profile {name!r} must be positive, not {value!r}")
    return replace(profile, **overrides)  # type: ignore[arg-type]


def all_markets() -> bool:
    """Whether LRRECSYS_MARKETS (``--markets`` of the command line) asks for all simulated markets: "all".

    Left empty it asks for the first ones, as many as the profile says.

    Raises
    ------
    InputError
        If it is another word.
    """
    return checked_markets(os.environ.get(MARKETS_VARIABLE, "")) == "all"


def checked_markets(asked: str) -> str:
    """What may be asked of markets: "all", or "" for the first; errors as for `all_markets`."""
    if asked not in ("", "all"):
        raise InputError(f"markets {asked!r} cannot be asked for: say all, or nothing for the first of each domain.")
    return asked

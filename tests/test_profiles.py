from __future__ import annotations

import json
from pathlib import Path

import pytest

from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import PROFILES, get_profile
from lrrecsys_core.study.search import SearchStudy

RESULTS = Path(__file__).parents[1] / "results"


def test_profiles_grow() -> None:
    smoke, demo, paper = (get_profile(name) for name in ("smoke", "demo", "paper"))
    assert smoke.replicates >= 2
    assert smoke.users < demo.users <= paper.users
    assert paper.replicates == 10


def test_reported_seeds_never_meet_those_used_for_settling_parameters() -> None:
    for profile in PROFILES.values():
        assert len(profile.seeds) == profile.replicates and len(profile.seeds_of_files) == profile.seeds_on_files
        lowest = min(*profile.seeds, *profile.seeds_of_files)
        assert lowest >= 200, "of those from 100 on results have been seen, and markets changed since"


def test_committed_runs_have_the_seeds_that_their_commands_take() -> None:
    runs = {file.parent.name: json.loads(file.read_text())["seeds"] for file in RESULTS.glob("demo*/manifest.json")}
    demo = get_profile("demo")
    assert len(runs) == 7 and runs == {run: list(demo.seeds if run == "demo" else demo.seeds_of_files) for run in runs}


def test_points_are_chosen_on_other_seeds_than_those_reported() -> None:
    settling = SearchStudy().profile
    for profile in PROFILES.values():
        for of in ("seeds", "seeds_of_files"):
            assert not set(getattr(settling, of)) & set(getattr(profile, of))


def test_the_demo_s_markets_are_as_large_as_markets_are_by_default() -> None:
    """Their tastes and noise were settled at this size."""
    demo = get_profile("demo")
    for size in DEFAULT_PARAMETERS.values():
        assert (demo.users, demo.items, demo.records_per_user) == (size.users, size.items, size.records_per_user)


def test_results_that_are_reported_rest_on_several_networks() -> None:
    assert get_profile("smoke").networks == 1 < get_profile("demo").networks <= get_profile("paper").networks


def test_override() -> None:
    assert get_profile("smoke", users=7).users == 7
    assert get_profile("smoke").users != 7


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("smok", {}, "smoke, demo, paper"),
        ("smoke", {"user": 3}, "users, items"),
        ("smoke", {"name": "demo"}, "no setting 'name'"),
        ("smoke", {"users": "3"}, "must be int, not '3'"),
        ("smoke", {"users": True}, "must be int, not True"),
        ("smoke", {"epochs": 0}, "must be positive"),
    ],
)
def test_refusals_say_what_exists(name: str, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_profile(name, **overrides)

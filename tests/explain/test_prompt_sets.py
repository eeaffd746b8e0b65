"""A prompt set is a folder: whole or refused, and part of the key of everything that is asked from it."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.cli import main
from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.checks import expected_openings
from lrrecsys_core.explain.explanations import asked_in, told_by
from lrrecsys_core.explain.frozen import freeze
from lrrecsys_core.explain.generate import all_requests, explain_records, fill_records, item_profiles
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.named_stores import stores
from lrrecsys_core.explain.plan import plan_dataset
from lrrecsys_core.explain.prompt_sets import BUILT_IN, HOUSE, PLACES, PromptSet, prompt_set
from lrrecsys_core.explain.prompts import VARIANTS, profile_request, record_requests
from lrrecsys_core.explain.reasoners import MetadataExplainer
from lrrecsys_core.explain.recorded import (
    holds,
    recorded_explanations,
    recorded_model,
    recorded_profiles,
    recorded_prompts,
    stored_variants,
)
from lrrecsys_core.explain.sources import Stored
from lrrecsys_core.explain.store import ExplanationStore

SLOTS = [(variant, slot) for variant, slots in VARIANTS.items() for slot in slots]
ZERO = prompt_set("zero-shot")


def split_of(domain: str = "hotel") -> Split:
    """Two users with three items each, of five in all; the fifth item, "Elm", is in no record."""
    names = ["Ash", "Birch", "Cedar", "Date", "Elm"]
    items = pl.DataFrame({"item_id": list("abcde"), "name": names, "details": ["tea; sea", "tea", "sea", "", "tea"]})
    records = pl.DataFrame(
        {"user_id": list("uuuvvv"), "item_id": list("abcbcd"), "rating": [3.0, 4, 5, 2, 3, 4], "timestamp": range(6)}
    )
    return make_split(make_dataset("tiny", domain, records, items))


@pytest.fixture(scope="module")
def split() -> Split:
    return split_of()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A set of the user's own, as yet in the words of house."""
    return Path(shutil.copytree(HOUSE.folder, tmp_path / "mine"))


class Counting:
    """An LLM that keeps what it was asked; its answers differ by prompt."""

    def __init__(self, model: str = "counting@1") -> None:
        self.name, self.model, self.asked = "Counting", model, list[Request]()

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in requests:
            self.asked.append(request)
            yield Result(text=f"The consumer stayed at this hotel because of reason {request.key('x')}.")

    def kinds(self) -> list[str]:
        return [request.template.partition("@")[0] for request in self.asked]


def asked(split: Split, prompts: PromptSet, variant: str = "full", slot: str = "positive") -> list[Request]:
    return list(record_requests(split, None, variant, slot, np.arange(len(split.user)), prompts=prompts))


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_set_is_whole(name: str, domain: str) -> None:
    prompts = prompt_set(name)
    assert prompts.name == name and set(prompts.domains) == set(DOMAINS)
    of_domain = split_of(domain)
    of_domain = replace(of_domain, dataset=replace(of_domain.dataset, rating_min=0.5))
    for variant, slot in SLOTS:
        request = asked(of_domain, prompts, variant, slot)[2]
        prompt = request.messages[0][1]
        assert "- Ash (tea; sea)\n- Birch (tea)" in prompt and "$" not in prompt
        assert ("- Cedar (sea)" in prompt) == (variant != "summary")
        scale = re.search(r"from 0.5( \(worst\))? to 5\b", prompt)
        assert bool(scale) == (variant == "direct"), "the scale is the data set's"
        if "..." not in prompt:
            openings = expected_openings(DOMAINS[domain], variant, slot)
            assert all(opening in prompt for opening in openings), "the form of the answer is asked for"
    profile = profile_request(DOMAINS[domain], "Ash", "tea", prompts=prompts)
    assert "- Ash (tea)" in profile.messages[0][1] and profile.template.startswith(f"{name}/{domain}/profile@")


def test_zero_shot_shows_no_example_and_nothing_to_copy() -> None:
    for (_, kind), template in ZERO.templates.items():
        assert "xample" not in template.text and "..." not in template.text and "…" not in template.text
        assert len(template.text.split()) <= 75, "short enough for a small model"
        assert template.answer_tokens == {"direct": 8, "aspects": 32}.get(kind, 64) and template.stop == ("\n",)
        assert "you know" in template.text if kind == "profile" else True, "world knowledge is allowed"
    texts = [template.text for template in ZERO.templates.values()]
    assert len(set(texts)) == len(texts) == 4 * len(PLACES)


def test_answer_lengths_and_stops_are_read_from_the_set(mine: Path, split: Split) -> None:
    house = {kind: HOUSE.template("hotel", kind) for kind in PLACES}
    assert {kind: one.answer_tokens for kind, one in house.items()} == dict.fromkeys(PLACES, 128) | {
        "direct": 8, "aspects": 32,
    }  # fmt: skip
    assert not any(one.stop for one in house.values())
    (mine / "set.toml").write_text('stop = ["\\n", "END"]\n[answer_tokens]\npositive = 5\ndefault = 7\n')
    changed = prompt_set(mine)
    (positive, *_), (negative, *_) = (asked(split, changed, "full", slot) for slot in VARIANTS["full"])
    assert (positive.max_tokens, negative.max_tokens) == (5, 7) and positive.stop == ("\n", "END")
    (mine / "set.toml").write_text("")
    assert prompt_set(mine).template("hotel", "positive").answer_tokens == 128


def test_the_set_and_the_hash_of_the_template_enter_the_key(mine: Path, split: Split) -> None:
    house, own = asked(split, HOUSE)[0], asked(split, prompt_set(mine))[0]
    assert house.messages == own.messages and house.key("m") != own.key("m"), "equal words, two sets"
    name, _, version = own.template.partition("@")
    assert (name, len(version)) == ("mine/hotel/positive", 8)
    before = prompt_set(mine)
    path = mine / "hotel" / "positive.txt"
    path.write_text(path.read_text() + "Be brief.\n")
    after = prompt_set(mine)
    assert asked(split, after)[0].template not in (own.template, house.template)
    assert asked(split, after)[0].key("m") != own.key("m")
    assert [one.key("m") for one in asked(split, after, "full", "negative")] == [
        one.key("m") for one in asked(split, before, "full", "negative")
    ], "other templates keep their keys"
    assert after.digest != before.digest


@pytest.mark.parametrize("change", ["[answer_tokens]\naspects = 9", 'stop = ["x"]'])
def test_the_digest_covers_the_settings(mine: Path, change: str) -> None:
    before = prompt_set(mine).digest
    assert prompt_set(mine).digest == before
    (mine / "set.toml").write_text(change)
    assert prompt_set(mine).digest != before


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("hotel/aspects.txt", None, "hotel/aspects.txt is missing"),
        ("hotel/positive.txt", "Why $candidate, $user?", r"positive.txt has the unknown place \$user"),
        ("hotel/positive.txt", "Why ${candidate}?", r"positive.txt has the unknown place \${candidate}"),
        ("hotel/positive.txt", "Why $candidates?", r"unknown place \$candidates"),
        ("hotel/positive.txt", "Why $item?", r"unknown place \$item: it may hold \$candidate, \$history"),
        ("hotel/summary.txt", "Sum up $history and $candidate.", r"summary.txt has the unknown place \$candidate"),
        ("hotel/positive.txt", "Why?", r"positive.txt has no place for an item: put in \$candidate or \$history"),
        ("hotel/direct.txt", "From $low to $high?", "direct.txt has no place for an item"),
        ("hotel/profile.txt", "", r"profile.txt has no place for an item: put in \$item"),
        ("hotel/profile.txt", b"caf\xe9 $item", "profile.txt cannot be read as UTF-8"),
        ("set.toml", None, "set.toml is missing"),
        ("set.toml", "stop = [", "set.toml is no TOML"),
        ("set.toml", "stop = 'x'", "set.toml: stop must be a list"),
        ("set.toml", "stop = ['']", "set.toml: stop must be a list"),
        ("set.toml", "stops = ['x']", "set.toml has the unknown key 'stops'"),
        ("set.toml", "about = 1", "set.toml: about must be a text"),
        ("set.toml", "answer_tokens = 64", "set.toml: answer_tokens must be a table"),
        ("set.toml", "[answer_tokens]\nreviews = 9", "set.toml: answer_tokens must be a table"),
        ("set.toml", "[answer_tokens]\ndirect = 0", "whole numbers above 0"),
        ("set.toml", "[answer_tokens]\ndirect = true", "whole numbers above 0"),
        ("set.toml", "[answer_tokens]\ndirect = 1.5", "whole numbers above 0"),
    ],
)
def test_a_faulty_set_is_refused_by_file(mine: Path, file: str, content: str | bytes | None, said: str) -> None:
    prompt_set(mine)
    if content is None:
        (mine / file).unlink()
    else:
        (mine / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said) as refused:
        prompt_set(mine)
    assert str(mine) in str(refused.value) and "\n" not in str(refused.value).partition("(")[0]


def test_what_is_no_set_is_refused(tmp_path: Path, mine: Path) -> None:
    with pytest.raises(InputError, match="no prompt set 'hause': name house or zero-shot"):
        prompt_set("hause")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "set.toml").touch()
    with pytest.raises(InputError, match="holds no templates"):
        prompt_set(tmp_path / "empty")
    mine.rename(tmp_path / "house")
    with pytest.raises(InputError, match="bears the name of a built-in one"):
        prompt_set(tmp_path / "house")
    assert prompt_set(HOUSE.folder).digest == prompt_set("house").digest == HOUSE.digest


def test_a_set_may_have_some_domains_only(mine: Path, split: Split) -> None:
    shutil.rmtree(mine / "movie")
    prompts = prompt_set(mine)
    assert asked(split, prompts) and set(prompts.domains) == {"hotel", "product", "restaurant"}
    with pytest.raises(InputError, match=r"no prompt template for 'movie' in .*mine: it has hotel, product"):
        asked(split_of("movie"), prompts)


@pytest.mark.parametrize("variant", VARIANTS)
def test_programmes_read_zero_shot_prompts_as_they_read_those_of_house(variant: str) -> None:
    for domain in DOMAINS:
        told = [explain_records(split_of(domain), MetadataExplainer(), variant, prompts=one) for one in (HOUSE, ZERO)]
        assert told[0].fingerprint == told[1].fingerprint and set(told[0].coverage.values()) == {1.0}


def test_a_programme_refuses_prompts_it_cannot_read(mine: Path, split: Split) -> None:
    (mine / "hotel" / "positive.txt").write_text("After $history, why $candidate?")
    with pytest.raises(InputError, match="no line 'Past hotels:'"):
        explain_records(split, MetadataExplainer(), "no_profile", prompts=prompt_set(mine))


def test_every_step_of_generation_asks_in_the_set(split: Split, tmp_path: Path) -> None:
    llm = Counting()
    item_profiles(split, llm, prompts=ZERO)
    explain_records(split, llm, prompts=ZERO)
    with ExplanationStore(tmp_path / "s") as store:
        for step in ("profiles", "records"):
            name, requests = all_requests(split, llm.model, store, ["full"], prompts=ZERO)
            assert name == step and {one.template.split("/")[0] for one in requests} == {"zero-shot"}
            fill_records(split, llm, store, prompts=ZERO, progress=False)
        assert {template.split("/")[0] for _, template in store.asked()} == {"zero-shot"}
    assert {kind.split("/")[0] for kind in llm.kinds()} == {"zero-shot"}
    house, zero = (plan_dataset("market:movies", prompts=one) for one in (HOUSE, ZERO))
    assert [step.distinct for step in house] == [step.distinct for step in zero]
    assert all(one.tokens_in != other.tokens_in for one, other in zip(house, zero, strict=True))


def write(place: Path, split: Split, *sets: PromptSet, model: str = "my/model") -> Path:
    with ExplanationStore(place) as store:
        for prompts in sets:
            explain_records(split, Counting(model), store=store, prompts=prompts)
    return place


def test_a_store_is_read_with_the_set_it_was_asked_in(
    split: Split, tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = prompt_set(mine)
    wanted = {one.name: explain_records(split, Counting(), prompts=one).fingerprint for one in (HOUSE, ZERO, own)}
    assert len(set(wanted.values())) == 3
    zero, hers = write(tmp_path / "zero.sqlite", split, ZERO), write(tmp_path / "own.sqlite", split, own)
    with ExplanationStore(zero, write=False) as store:
        freeze(store, tmp_path / "zero")
    monkeypatch.chdir(tmp_path)
    for named, path, name in (
        ("zero.sqlite", zero, "zero-shot"), ("zero", tmp_path / "zero", "zero-shot"),
        ("own.sqlite?prompts=mine", hers, "mine"),
    ):  # fmt: skip
        monkeypatch.setenv("LRRECSYS_STORES", f"my/model={named}")
        source = Stored("my/model")
        assert source.prompts.name == name and source.key()["prompts"] == source.prompts.digest
        told = source.explanations(split)
        assert (told.fingerprint, told.explainer) == (wanted[name], f"my/model, prompts {name}")
        assert source.available(split.dataset)
        chosen = None if name in BUILT_IN else own
        assert recorded_explanations(split, path, "my/model", prompts=chosen).fingerprint == wanted[name]
        assert recorded_profiles(split, path, "my/model", prompts=chosen) == source.profiles(split)
        assert source.profiles(split) == item_profiles(split, Counting(), prompts=source.prompts)
        assert stored_variants(split, path, "my/model", prompts=chosen) == {"full"}
    assert str(stores()["my/model"]) == f"my/model={tmp_path / 'own.sqlite'}?prompts={mine}", "found from any folder"
    assert not stored_variants(split, zero, "my/model", prompts=HOUSE)
    with pytest.raises(InputError, match="no answer of 'my/model'"):
        recorded_explanations(split, zero, "my/model", prompts=HOUSE)


def test_a_store_of_several_sets_or_a_users_own_needs_to_be_told(
    split: Split, tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = write(tmp_path / "both.sqlite", split, HOUSE, ZERO)
    own = write(tmp_path / "own.sqlite", split, prompt_set(mine))
    for path, said in (
        (both, r"several prompt sets \(house, zero-shot\)"),
        (own, r"a prompt set of your own \(mine\)"),
    ):
        for read in (recorded_explanations, recorded_profiles, stored_variants):
            with pytest.raises(InputError, match=said):
                read(split, path, "my/model")
        with pytest.raises(InputError, match="prompts=SET"):
            recorded_prompts(path, "my/model")
        monkeypatch.setenv("LRRECSYS_STORES", f"my/model={path}")
        with pytest.raises(InputError, match=said):
            Stored("my/model").available(split.dataset)
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={both}?prompts=zero-shot")
    assert Stored("my/model").explanations(split).explainer == "my/model, prompts zero-shot"
    write(both, split, ZERO, model="another")
    assert recorded_prompts(both, "another") is ZERO, "each model's own templates count"


def test_the_digest_of_the_users_set_enters_the_key_of_texts(
    split: Split, tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write(tmp_path / "own.sqlite", split, prompt_set(mine))
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={own}?prompts={mine}")
    before = Stored("my/model").key()
    assert Stored("my/model").key() == before
    (mine / "hotel" / "positive.txt").write_text("After $history, why $candidate?")
    changed = Stored("my/model").key()
    assert {name for name in before if before[name] != changed[name]} == {"prompts"}
    assert not Stored("my/model").available(split.dataset), "its prompts were never asked"


@pytest.mark.parametrize("option", ["?prompts=", "?words=mine", "?mine"])
def test_options_of_a_store_are_read_strictly(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ExplanationStore(tmp_path / "s").close()
    monkeypatch.setenv("LRRECSYS_STORES", f"gpt-2={tmp_path / 's'}{option}")
    with pytest.raises(InputError, match=r"MODEL=PATH\?prompts=FOLDER"):
        stores()


def test_a_name_may_stand_for_one_store_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        ExplanationStore(tmp_path / name).close()
    monkeypatch.setenv("LRRECSYS_STORES", f"gpt-2={tmp_path / 'a'},qwen2={tmp_path / 'a'},gpt-2={tmp_path / 'b'}")
    with pytest.raises(InputError, match="names gpt-2 twice, for .*/a' and .*/b': keep one"):
        stores()


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ('{"format": "lrrecsys-expl', "is no manifest of a frozen store: copy the frozen folder again"),
        ("[]", "is no manifest of a frozen store"), ("", "is no manifest of a frozen store"),
        ('{"format": "lrrecsys-explanations-1", "files": {}, "rows": 0, "sources": [1]}', "is no manifest of a frozen"),
        ('{"format": "another", "files": {}, "rows": 0}', "is of format 'another': expected 'lrrecsys-explanations-1'"),
    ],
)  # fmt: skip
def test_a_torn_or_foreign_manifest_is_one_sentence(
    manifest: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    for read in (holds, recorded_model, recorded_prompts):
        with pytest.raises(InputError, match=said):
            read(tmp_path, "my/model")
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={tmp_path}")
    with pytest.raises(InputError, match=said):
        stores()


def test_a_trial_asks_for_the_profiles_of_its_own_items(split: Split, tmp_path: Path) -> None:
    """By hand: record 2 is user u's third, of Cedar after Ash and Birch; record 3 is v's first, of Birch."""
    for records, names in (([2], {"Ash", "Birch", "Cedar"}), ([3], {"Birch"}), ([5], {"Birch", "Cedar", "Date"})):
        for in_store in (True, False):
            llm = Counting()
            if in_store:
                with ExplanationStore(tmp_path / f"s{records[0]}") as store:
                    fill_records(split, llm, store, records=np.array(records), progress=False)
            else:
                explain_records(split, llm, records=np.array(records))
            profiles = [one.messages[0][1] for one in llm.asked if "/profile@" in one.template]
            assert {
                name for name in ("Ash", "Birch", "Cedar", "Date", "Elm") for text in profiles if f"\n- {name}" in text
            } == names
            assert len(profiles) == len(names) and len(llm.asked) == len(profiles) + 2
    everything = Counting()
    explain_records(split, everything)
    assert everything.kinds().count("house/hotel/profile") == 5


def test_texts_of_a_trial_are_those_of_the_whole_run(split: Split) -> None:
    whole, few = explain_records(split, Counting()), explain_records(split, Counting(), records=np.array([2, 4]))
    for slot in VARIANTS["full"]:
        assert few.texts(slot) == [text if k in (2, 4) else "" for k, text in enumerate(whole.texts(slot))]


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Records of 8 users, each with three items of their own, as a file."""
    lines = [f"u{user},i{3 * user + k},{1 + k % 5},{10 * user + k}" for user in range(8) for k in range(3)]
    (tmp_path / "t.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *lines]))
    return f"table:{tmp_path / 't.csv'}?timestamp=timestamp&domain=hotel"


def test_the_commands_ask_in_the_set_and_for_no_more_than_the_limit(
    table: str, tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "s.sqlite"
    run = ["explain", "run", "--data", table, "--llm", "metadata", "--store", str(store), "--prompts", "zero-shot"]
    counts = []
    for limit in (["--limit", "4"], []):  # of the first user three items, of the second one; then of all eight users
        main([*run, *limit])
        with ExplanationStore(store, write=False) as opened:
            counts.append({row["template"].partition("@")[0]: row["answered"] for row in opened.counts()})
    kinds = [f"zero-shot/hotel/{kind}" for kind in ("profile", "positive", "negative")]
    assert counts == [dict.fromkeys(kinds, 4), dict.fromkeys(kinds, 24)]
    capsys.readouterr()
    for prompts in ("house", "zero-shot", str(mine)):
        main(["explain", "plan", "--data", table, "--prompts", prompts])
    house, zero, own = (said.split("profiles")[1] for said in capsys.readouterr().out.split("step")[1:])
    assert house == own != zero
    main(
        ["explain", "export", "--data", table, "--llm", "endpoint:gpt-2", "--store", str(tmp_path / "e.sqlite")]
        + ["--folder", str(tmp_path / "out"), "--prompts", str(mine)]
    )
    with ExplanationStore(tmp_path / "e.sqlite", write=False) as opened:
        assert {template.partition("@")[0] for _, template in opened.asked()} == {"mine/hotel/profile"}
    with pytest.raises(SystemExit):
        main([*run[:-1], "hause"])
    assert "no prompt set 'hause'" in capsys.readouterr().err


def test_the_set_in_an_explainers_name() -> None:
    for name in ("Llama 3.1", "a, b", "x, prompts y"):
        assert asked_in(told_by(name, "zero-shot")) == "zero-shot"
    assert asked_in("simulated reasoner (knows 80% of S*)") == ""


def test_the_set_toml_of_built_in_sets_says_what_they_are() -> None:
    for name in BUILT_IN:
        assert tomllib.loads((prompt_set(name).folder / "set.toml").read_text())["about"].endswith(".")
    assert replace(HOUSE, name="x").digest == HOUSE.digest

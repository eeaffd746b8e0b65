"""Prompts are cut out of a paper by its layout; the paper of these tests is made up, in other words."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrrecsys_core.cli import main
from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.paper_prompts import copy_set, cut_paper, printed_prompts
from lrrecsys_core.explain.prompt_sets import HOUSE, PLACES, prompt_set, read_settings
from lrrecsys_core.explain.prompts import record_requests

PAPER = Path(__file__).parents[3] / "shared" / "paper"


def reasons(noun: str, did: str, places: str = "{profile_seq} Now: {recommended_profile}") -> str:
    return (
        f"[Instruction] Tell us what made someone {did} the new {noun} and end with “it fits the guest’s wishes …” "
        f"[Example Input] Before: Lakeside Lodge is a calm {noun} with an open-air stage where musicians of the region "
        "play in summer, and whose owner bakes bread for whoever gets up early enough to smell it. "
        f"Now: Copper Kettle is a {noun} by the canal, known to walkers for its teas. "
        f"[Example Output] It fits the guest’s wish for tea. [Input] Before: {places}"
    )


def profile(noun: str) -> str:
    asked = f"[Instruction] Paint this {noun} in a line."
    return f"{asked} [Example Input] Blue Door [Example Output] A blue one. [Input] {{item_text}}"


def short(spoke: str) -> str:
    seen, new = "{movie_profile_seq}", "{recommended_movie_profile}"
    return f"Somebody saw {seen}, so what spoke {spoke} the movie {new}? One line, please."


SECTIONS = {
    "10.2.1. Inns Data": [profile("hotel"), reasons("hotel", "book"), reasons("hotel", "avoid")],
    "10.2.2. Meals Data": [profile("restaurant"), reasons("restaurant", "try"), reasons("restaurant", "shun")],
    "10.2.3. Films Data": [profile("movie"), short("for"), short("against")],
}
HEADINGS = ["(1) Profile Augmentation Prompt", "(2) Positive Explanation Prompt", "(3) Negative Explanation Prompt"]
ASPECTS = "Name words that matter about the movie to someone who saw {movie_profile_seq} so far."
FILLER = [
    f"Paragraph {k} of the paper speaks of other things at some length, among them what is listed in Appendix "
    f"10.2.4. The results of part {k} follow, with an open-air figure that shows {k * 7919 % 1013} points of them."
    for k in range(60)
]


def paragraphs() -> list[str]:
    """The made paper, a string a paragraph: contents, text, the section with prompts, and what follows it."""
    lines = ["Contents", "10.2. Detailed Prompts . . . . . . . 31", "10.2.1. Inns Data . . . . 31", *FILLER]
    lines += ["(2) Positive results are no prompt.", "10.1. Settings", FILLER[3], "10.2. Detailed Prompts"]
    for section, prompts in SECTIONS.items():
        lines.append(section)
        for heading, prompt in zip(HEADINGS, prompts, strict=True):
            lines += [heading, prompt]
    lines += ["10.2.4. Prompts for variants", FILLER[5], "(1) Aspect Term Only", ASPECTS]
    lines += [HEADINGS[1], "The second prompt about a movie {movie_profile_seq}."]
    return [*lines, "10.3. Attention", HEADINGS[2], "No prompt about a product {item_text}.", *FILLER[:9]]


def printed(
    width: int, height: int, indent: int = 0, left: str = "Doe et al.: A Made Paper", right: str = "Management"
) -> str:
    """The made paper as pdftotext gives it: wrapped, with ligatures, running titles, numbers and form feeds."""
    lines = []
    for paragraph in paragraphs():
        lines += textwrap.wrap(paragraph, width, break_on_hyphens=False, break_long_words=False) + [""]
    pages = [lines[start : start + height] for start in range(0, len(lines), height)]
    whole = [
        "\n".join([f"{number} {left}" if number % 2 else f"{right} {number}", "", *page, "", str(number)])
        for number, page in enumerate(pages, start=1)
    ]
    return textwrap.indent("\n\f".join(whole), " " * indent).replace("fi", "ﬁ")


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    (tmp_path / "paper.txt").write_text(printed(78, 46), encoding="utf-8")
    return tmp_path / "paper.txt"


def test_the_prompts_by_hand(paper: Path, tmp_path: Path) -> None:
    cut = cut_paper(paper, tmp_path / "theirs")
    assert cut.prompts.name == "theirs" and cut.absent == ("product",)
    assert cut.prompts.template("hotel", "positive").text == (
        "[Instruction]\n"
        'Tell us what made someone book the new hotel and end with "it fits the guest\'s wishes ..."\n\n'
        "[Example Input]\n"
        "Before:\n"
        "Lakeside Lodge is a calm hotel with an open-air stage where musicians of the region play in summer, and whose "
        "owner bakes bread for whoever gets up early enough to smell it.\n"
        "Now:\n"
        "Copper Kettle is a hotel by the canal, known to walkers for its teas.\n\n"
        "[Example Output]\n"
        "It fits the guest's wish for tea.\n\n"
        "[Input]\n"
        "Before:\n$history\nNow:\n$candidate"
    )
    assert cut.prompts.template("restaurant", "profile").text == (
        "[Instruction]\nPaint this restaurant in a line.\n\n"
        "[Example Input]\nBlue Door\n\n[Example Output]\nA blue one.\n\n[Input]\n$item"
    )
    assert cut.prompts.template("movie", "negative").text == (
        "Somebody saw\n$history\n, so what spoke against the movie\n$candidate\n? One line, please."
    )
    assert cut.prompts.template("movie", "aspects").text == (
        "Name words that matter about the movie to someone who saw\n$history\nso far.\nCurrent movie:\n$candidate"
    )
    assert cut.added == (("movie", "aspects"),)
    three = ("profile", "positive", "negative")
    expected = [("hotel", kind) for kind in three] + [("restaurant", kind) for kind in three]
    assert list(cut.printed) == [*expected, *(("movie", kind) for kind in three), ("movie", "aspects")]
    assert cut.taken == {(domain, kind) for domain in cut.prompts.domains for kind in PLACES} - set(cut.printed)
    for key in cut.taken:
        assert cut.prompts.template(*key).text == HOUSE.template(*key).text
    settings_of = read_settings(tmp_path / "theirs" / "set.toml")
    assert "Taken from house: hotel (alternative_positive" in settings_of["about"]
    assert settings_of["answer_tokens"] == {"direct": 8}, "house's length where the whole kind is house's"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width=st.integers(52, 140), height=st.integers(17, 70), indent=st.sampled_from([0, 8]))
def test_no_wrapping_or_paging_changes_what_is_cut(width: int, height: int, indent: int) -> None:
    plain = printed_prompts("\n".join(paragraphs()))
    assert len(plain) == 10
    assert printed_prompts(printed(width, height, indent)) == plain
    assert printed_prompts(printed(width, height).replace("\f", "")).keys() == plain.keys()


def test_divided_words_are_made_whole() -> None:
    """ "ho" and "tel" are no words; "open" and "air" are; "over" and "look" are, but so is "overlook"."""
    around = (
        "10.2 Prompts\n(2) Positive Prompt\nIs this ho-\ntel one for open-\nair lovers who over-\nlook a well-\nKnown "
        "{profile\\_\nseq}?\n10.3 End\nopen the air, look over and overlook"
    )
    (prompt,) = printed_prompts(around).values()
    assert prompt == r"Is this hotel one for open-air lovers who overlook a well- Known {profile\_ seq}?"


def test_a_line_that_only_prompts_share_is_no_running_title() -> None:
    shared = "the same words in both"
    page = "10.2 Prompts\n({n}) {kind} Prompt\nA hotel {{profile_seq}}\n\f{shared}\nand more.\n\f"
    text = page.format(n=2, kind="Positive", shared=shared) + page.format(n=3, kind="Negative", shared=shared)
    found = printed_prompts(text + "\f".join(f"text of page {'x' * k}" for k in range(9)))
    assert all(shared in prompt for prompt in found.values()) and len(found) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.2. Detailed Prompts\nnone here", "no prompts in a section 10.2"),
        ("", "no prompts in a section 10.2"),
        ("(2) Positive Prompt\nhotel {profile_seq}", "no prompts in a section 10.2"),
        ("10.2 Prompts\n(2) Positive Prompt\nA hotel {weather}?", r"place \{weather\} in its prompt hotel/positive"),
        ("10.2 Prompts\n(2) Positive Prompt\nA hotel?", "no prompts in a section 10.2"),
        (
            "10.2 Prompts\n(2) Positive Prompt\nA hotel for $money {profile_seq}?",
            r"positive.txt .*unknown place \$money",
        ),
    ],
)
def test_what_cannot_be_cut_is_said(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        cut_paper(tmp_path / "p.txt", tmp_path / "new")


def test_nothing_is_overwritten(paper: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for make in (lambda folder: cut_paper(paper, folder), lambda folder: copy_set("house", folder)):
        with pytest.raises(InputError, match="exists already"):
            make(tmp_path / "there")
        with pytest.raises(InputError, match="name of a built-in set"):
            make(tmp_path / "zero-shot")
    with pytest.raises(InputError, match="cannot be read"):
        cut_paper(tmp_path / "nowhere.txt", tmp_path / "new")
    assert not (tmp_path / "new").exists() and not list((tmp_path / "there").iterdir())


@pytest.mark.parametrize("name", ["house", "zero-shot"])
def test_a_copy_asks_the_same(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "prompts", "--copy", name, str(tmp_path / "mine")])
    assert f"a copy of {name}" in capsys.readouterr().out
    ours, theirs = prompt_set(name), prompt_set(tmp_path / "mine")
    assert theirs.templates.keys() == ours.templates.keys()
    for key, template in theirs.templates.items():
        other = ours.template(*key)
        assert (template.text, template.answer_tokens, template.stop) == (other.text, other.answer_tokens, other.stop)


def test_the_command_says_what_is_whose(
    paper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["explain", "prompts", "--from", "paper.txt", "theirs"])
    said = capsys.readouterr().out
    assert "cut from the paper: hotel (profile, positive, negative), restaurant (profile" in said
    assert re.search(
        r"taken from house.*movie \(alternative_positive, alternative_negative, general, summary, direct\)", said
    )
    assert "candidate added, for which the print has no place: movie (aspects)" in said
    assert "not in the set, since the paper prints nothing for it: product" in said
    for options in ([], ["--from", "paper.txt", "--copy", "house"]):
        with pytest.raises(SystemExit):
            main(["explain", "prompts", *options, "new"])
        assert "--from PAPER.txt or --copy SET" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_paper_itself_where_it_lies_beside_the_repository(tmp_path: Path) -> None:
    """Nothing of its wording stands here: only that every prompt is there, whole, and can be filled."""
    texts = [path for path in PAPER.glob("*.txt") if "10.2" in path.read_text(encoding="utf-8")]
    if not texts:
        pytest.skip("the paper is not beside the repository")
    cut = cut_paper(texts[0], tmp_path / "paper")
    assert cut.prompts.domains == ("hotel", "movie", "restaurant") and cut.absent == ("product",)
    assert len(cut.printed) == 10 and cut.added == (("movie", "aspects"),)
    for domain, kind in cut.printed:
        text = cut.prompts.template(domain, kind).text
        assert PLACES[kind] <= set(re.findall(r"\$\w+", text)), "every place is there"
        assert not re.search(r"[{}\f“”’]|\(\d\)|10\.\d", text) and DOMAINS[domain].noun in text
        if kind in ("positive", "negative"):
            verb = DOMAINS[domain].verb_past if kind == "positive" else f"did not {DOMAINS[domain].verb_base}"
            assert f"The consumer {verb} this {domain} because" in text, "the form of the answer, as ours"
        if domain != "movie" or kind == "profile":
            heads = re.findall(r"^\[(.*)\]$", text, re.MULTILINE)
            assert heads == ["Instruction", "Example Input", "Example Output", "Input"]
    for domain in cut.prompts.domains:
        items = pl.DataFrame({"item_id": ["a", "b"], "name": ["Ash", "Birch"], "details": ["tea", ""]})
        records = pl.DataFrame({"user_id": "u", "item_id": ["a", "b"], "rating": [3.0, 4.0], "timestamp": [1, 2]})
        split = make_split(make_dataset("tiny", domain, records, items))
        (asked,) = record_requests(split, None, "full", "negative", np.array([1]), prompts=cut.prompts)
        assert "\n- Ash (tea)\n" in asked.messages[0][1] and "\n- Birch" in asked.messages[0][1]
        assert asked.template.startswith(f"paper/{domain}/negative@")

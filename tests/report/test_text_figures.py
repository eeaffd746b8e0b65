"""Figures of explanations: words with no use and the wording of the answer itself are no top words."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.extractive import fill_sentence
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.keywords import said
from lrrecsys_core.explain.reasoners import MetadataExplainer
from lrrecsys_core.report import text_figures
from lrrecsys_core.report.style import NEGATIVE, POSITIVE

DETAILS = ["new york; spa", "little italy; spa", "new york; pool", "bali; pool", "spa; bar", "new york", "bali"]


@pytest.fixture(autouse=True)
def _close() -> object:
    yield
    plt.close("all")


def inns() -> Split:
    items = {"item_id": [f"i{k}" for k in range(7)], "name": [f"Inn {k}" for k in range(7)], "details": DETAILS}
    users, at = np.repeat(np.arange(40), 6), np.random.default_rng(0).permuted(np.tile(np.arange(7), (40, 1)), axis=1)
    records = {"user_id": users, "item_id": [f"i{k}" for k in at[:, :6].ravel()], "rating": 3.0}
    timed = pl.DataFrame(records | {"timestamp": np.arange(240)})
    return make_split(make_dataset("inns", "hotel", timed, pl.DataFrame(items)))


@pytest.mark.parametrize("variant", ["no_profile", "alternative"])
def test_the_wording_of_a_programme_is_told_from_its_phrases(variant: str) -> None:
    split = inns()
    texts = explain_records(split, MetadataExplainer(), variant)
    phrases = {phrase for line in DETAILS for phrase in line.split("; ")}
    assert {said(text) for text in texts.sentences if text} == phrases | {""}


def test_statements_are_told_from_the_sentence_around_them() -> None:
    sentence = fill_sentence("quiet rooms", "a clear, unknown bar", "hotel", "stayed at", "stay at", "negative")
    assert said(sentence) == "quiet rooms a clear, unknown bar"
    assert said(fill_sentence("", "bar", "hotel", "stayed at", "stay at", "positive")) == "bar"
    free = "The consumer stayed at this hotel because the consumer has no clear wishes."
    assert said(free) == free


def test_top_phrases_are_whole_and_are_not_the_explainers_wording() -> None:
    texts = explain_records(inns(), MetadataExplainer(), "no_profile")
    words = text_figures.collect_keywords(inns(), texts, "inns")
    figure, told = text_figures.keywords(words), words.drop_nulls("word")
    assert (told["texts"] > 0).all() and "Inn " not in words.write_csv()
    content = {phrase for line in DETAILS for phrase in line.split("; ")}
    assert "positive" in told["slot"] and set(told["word"]) <= content
    said_of_it = figure.get_supxlabel()
    assert "fixed wording" in said_of_it
    assert all(bar.get_width() > 0 for ax in figure.axes for bar in ax.patches)
    assert "name nothing" in figure.axes[1].get_xlabel() or "name nothing" in figure.axes[0].get_xlabel()


def test_phrases_of_nearly_all_texts_are_left_out_and_named() -> None:
    split = inns()
    sentences = ("", "Cosy evening by the lake", "Cosy evening with music")
    codes = np.arange(len(split.user), dtype=np.int32) % 2 + 1
    texts = Explanations("an LLM", "full", sentences, {"positive": codes, "negative": codes})
    words = text_figures.collect_keywords(split, texts, "inns")
    figure = text_figures.keywords(words)
    assert set(words.filter(slot="positive")["word"]) == {"lake", "music"}
    assert "(cosy evening)" in figure.get_supxlabel() and "fixed wording" not in figure.get_supxlabel()


def test_no_word_of_a_real_items_name_is_drawn_unless_items_are_described_by_it() -> None:
    split = inns()
    items = split.dataset.items.with_columns(name=pl.lit("Gandria's Lake Spa"))
    named = replace(split, dataset=replace(split.dataset, items=items))
    sentences = ("", "Gandria's Lake Spa offers sunny terraces, and a spa", "A sunny terrace, near Gandria's")
    codes = np.arange(len(split.user), dtype=np.int32) % 2 + 1
    texts = Explanations("an LLM", "full", sentences, {"positive": codes, "negative": codes})
    words = text_figures.collect_keywords(named, texts, "inns")
    assert set(words["word"]) == {"spa", "offers", "sunny", "terraces", "sunny terrace"}
    assert "words of items' names" in words["left_out"][0]


def test_lengths_have_the_colours_of_the_other_figures_and_a_legend_outside() -> None:
    codes = {slot: np.array([1, 2, 2], dtype=np.int32) for slot in ("negative", "positive")}
    texts = Explanations("an LLM", "full", ("", "one", "one two three"), codes)
    figure = text_figures.lengths(text_figures.collect_lengths({"inns": texts, "huts": texts}))
    for ax in figure.axes:
        handles, labels = ax.get_legend_handles_labels()
        colours = {label: to_hex(handle.get_edgecolor()) for handle, label in zip(handles, labels, strict=True)}
        assert colours == {"positive": POSITIVE, "negative": NEGATIVE} and ax.get_legend() is None
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["positive", "negative"]

"""Text sets: what networks read of them, and codes that carry nothing are refused, slot by slot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.models import whitening
from lrrecsys_core.models.autoencoder import TextCodes
from lrrecsys_core.models.whitening import Whitening, condition, spectrum
from lrrecsys_core.rows import Texts
from lrrecsys_core.study.texts import TextSet, make_text_set

SLOTS = ("positive", "negative")


@pytest.fixture(scope="module")
def split() -> Split:
    size = replace(DEFAULT_PARAMETERS["hotels"], users=40, items=40, records_per_user=10)
    return make_split(simulate_market("hotels", 3, size))


@pytest.fixture(scope="module")
def made(split: Split) -> TextSet:
    return make_text_set(split, Texts(), seed=0, epochs=30, with_shift=False)[0]


def by_hand() -> TextSet:
    """Two slots with maps of their own over the sentences "", "a", "b"."""
    return TextSet(
        "nobody",
        ("", "a", "b"),
        np.array([[0.0, 0.0], [3.0, 1.0], [5.0, 2.0]]),
        {"positive": np.array([1, 0, 2], dtype=np.int32), "negative": np.array([2, 2, 0], dtype=np.int32)},
        {},
        {
            "positive": Whitening(np.array([1.0, 1.0]), np.array([[0.5, 0.0], [0.0, 2.0]])),
            "negative": Whitening(np.array([0.0, 2.0]), np.array([[0.0, 1.0], [1.0, 0.0]])),
        },
        {},
    )


def test_fields_by_hand() -> None:
    texts = by_hand()
    found = texts.fields(texts.codes)
    assert found["positive"].tolist() == [[1, 0], [0, 0], [2, 2]], "each slot through its own map; no text stays zero"
    assert found["negative"].tolist() == [[0, 5], [0, 5], [0, 0]]
    plain = texts.fields(texts.codes, whitened=False)
    assert plain["positive"].tolist() == [[3, 1], [0, 0], [5, 2]] and plain["negative"].tolist()[0] == [5, 2]
    assert {values.dtype for values in (*found.values(), *plain.values())} == {np.dtype(np.float32)}


def test_training_records_have_whitened_fields_in_each_slot(split: Split, made: TextSet) -> None:
    for slot, values in made.fields(made.codes).items():
        known = values[split.train].astype(np.float64)[made.codes[slot][split.train] > 0]
        np.testing.assert_allclose(known.mean(0), 0.0, atol=1e-4)
        np.testing.assert_allclose(np.cov(known, rowvar=False, bias=True), np.eye(8), atol=0.05)
        plain = made.fields(made.codes, whitened=False)[slot][split.train]
        assert np.linalg.cond(np.cov(plain, rowvar=False)) > 20
    assert not np.allclose(made.maps["positive"].root, made.maps["negative"].root)


def test_the_report_keeps_the_spectrum_over_records_and_not_over_sentences(split: Split, made: TextSet) -> None:
    for slot in SLOTS:
        said = made.codes[slot][split.train]
        told = np.array(made.report["spectrum"][slot])
        np.testing.assert_allclose(told, spectrum(made.embeddings[said[said > 0]]))
        assert told.shape == (8,) and made.report["condition"][slot] == pytest.approx(condition(told))
        once = np.unique(said[said > 0])
        assert len(once) < len(said) and not np.allclose(told, spectrum(made.embeddings[once]), rtol=0.01)


def test_the_report_counts_test_records_far_from_training(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "FAR", 2.5)
    texts = make_text_set(split, Texts(), seed=0, epochs=30, with_shift=False)[0]
    fields = texts.fields(texts.codes)
    leaves = [np.abs(fields[slot][split.test]).max(1) > 2.5 for slot in SLOTS]
    expected = int((leaves[0] | leaves[1]).sum())
    assert texts.report["far"] == expected
    assert max(leaves[0].sum(), leaves[1].sum()) < expected < len(split.test), "a record counts once"


@pytest.mark.parametrize(("slot", "mark"), [("negative", "did not stay"), ("positive", "stayed at")])
def test_a_code_that_collapsed_in_one_slot_is_an_error(
    slot: str, mark: str, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over both slots together it would span all eight directions."""
    embed = TextCodes.embed

    def flat(self: TextCodes, sentences: list[str]) -> np.ndarray:
        codes = embed(self, sentences)
        codes[[mark in sentence for sentence in sentences], 2:] = 0.25
        return codes

    monkeypatch.setattr(TextCodes, "embed", flat)
    reason = rf"collapsed at .*\(slot {slot}: its rank is 2 where 4 are needed, its condition"
    with pytest.raises(InputError, match=reason):
        make_text_set(split, Texts(), seed=0, epochs=30, with_shift=False)


def test_the_strict_run_falls_back_where_one_slot_collapsed(split: Split) -> None:
    made, coder = make_text_set(split, Texts(), seed=0, epochs=20, with_shift=False, strict=True)
    assert coder is not None and coder.lr < 0.1
    assert "at the paper's rate 0.1 its code collapsed (slot positive: its rank is" in made.report["note"]


def test_raw_vectors_are_whitened_too_and_have_no_code_to_judge(split: Split) -> None:
    made, coder = make_text_set(split, Texts(raw=True), seed=0, epochs=1, with_shift=False)
    assert coder is None and "spectrum" not in made.report and made.report["far"] >= 0
    known = made.fields(made.codes)["positive"][split.train]
    variances = np.linalg.eigvalsh(np.cov(known, rowvar=False, bias=True))
    assert variances.max() < 1.01 and (variances > 0.9).sum() >= 8

"""Keys cover what a result was computed from, by content, and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core import rows, source_code
from lrrecsys_core.data.split import Split
from lrrecsys_core.profiles import Profile
from lrrecsys_core.rows import Texts
from lrrecsys_core.study import cell as cells
from lrrecsys_core.study import text_sets
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.fingerprints import array_hash, split_hash
from lrrecsys_core.study.fitted import model_folder
from lrrecsys_core.study.points import Point, Step
from lrrecsys_core.study.run import Run
from lrrecsys_core.study.study import Study
from lrrecsys_core.study.text_sets import TextJob, text_job

TINY = Profile(
    "tiny", users=30, items=25, records_per_user=8, replicates=1, epochs=1, patience=1, autoencoder_epochs=30
)
ARRAYS = [f.name for f in fields(Split) if isinstance(getattr(Run(TINY).split("hotels"), f.name), np.ndarray)]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    return tmp_path


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(ARRAYS), at=st.integers(0, 10**6))
def test_changing_any_entry_of_any_array_of_a_split_moves_its_hash(name: str, at: int) -> None:
    split = Run(TINY).split("hotels")
    values = getattr(split, name).copy()
    if not values.size:
        return
    flat = values.reshape(-1)
    place, most = at % flat.size, flat.max() + 1 if name.endswith("_position") else np.inf  # positions stay within
    flat[place] = not flat[place] if values.dtype == bool else (flat[place] + 1) % most
    assert split_hash(replace(split, **{name: values})) != split_hash(split)
    assert split_hash(replace(split)) == split_hash(split), "a copy has the same content"


@given(st.dictionaries(st.text(min_size=1), st.lists(st.integers(-9, 9)), min_size=1))
def test_arrays_are_told_apart_by_name_type_shape_and_content(parts: dict[str, list[int]]) -> None:
    arrays = {name: np.array(values, dtype=np.int64) for name, values in parts.items()}
    assert array_hash(arrays) == array_hash(dict(reversed(arrays.items())))
    first = next(iter(arrays))
    assert array_hash(arrays) != array_hash(arrays | {first: arrays[first].astype(np.int32)})
    assert array_hash(arrays) != array_hash(arrays | {first: arrays[first][None]})
    assert array_hash(arrays) != array_hash({name + "'": values for name, values in arrays.items()})


def test_the_key_moves_with_everything_a_cell_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(Study(TINY), "hotels", "SASRec")
    key = cell.key
    assert key is not None and key == Cell(Study(TINY), "hotels", "SASRec").key
    assert key != Cell(Study(TINY), "hotels", "DIN").key != Cell(Study(TINY), "movies", "DIN").key
    changes = (
        {"users": 31}, {"epochs": 2}, {"patience": 2}, {"first_seed": 101}, {"replicates": 2}, {"paper_strict": True},
        {"published_sizes": True}, {"split_by": "global_time"}, {"networks": 2},
    )  # fmt: skip
    for change in changes:
        assert Cell(Study(replace(TINY, **change)), "hotels", "SASRec").key != key, change
    for change in (
        {"autoencoder_epochs": 31},
        {"theory": "demo"},
        {"compile": True},
        {"replicates": 2, "first_markets": 1},
    ):
        assert Cell(Study(replace(TINY, **change)), "hotels", "SASRec").key == key, change
    with monkeypatch.context() as patch:
        patch.setattr(cells, "chosen_point", lambda *_: Point(regression=Step(0.5)))
        assert cell.key != key
    with monkeypatch.context() as patch:
        patch.setattr(cells, "same_as_paper", lambda _: True)
        assert cell.key != key


def test_the_code_that_runs_inside_a_cell_is_part_of_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    read: dict[str, tuple[str, ...]] = {}
    for name in ("DIN", rows.DIRECT):
        with monkeypatch.context() as patch:
            patch.setattr(cells, "code_hash", lambda roots, _, name=name: read.setdefault(name, roots) and "")
            patch.setattr(TextJob, "content", "as told")
            assert Cell(Study(TINY), "hotels", name).key
    assert {"data.split", "data.earlier", "models.sequential.din"} <= set(read["DIN"])
    assert {"explain.ratings", "explain.checks", "explain.reading"} <= set(read[rows.DIRECT]) - set(read["DIN"])


def test_other_arguments_of_the_split_move_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old key named the data and the share of them, so that another cut brought old numbers back."""
    key = Cell(Study(TINY), "hotels", "SASRec").key
    split = Run.split

    def shorter(self: Run, *args: object) -> Split:
        whole = split(self, *args)  # type: ignore[arg-type]
        return replace(whole, train=whole.train[:-1])

    monkeypatch.setattr(Run, "split", shorter)
    assert Cell(Study(TINY), "hotels", "SASRec").key != key


def test_attributes_of_a_market_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read from its truth, which neither its records nor the code of model and training tell."""
    cells_of = [Cell(Study(TINY), "hotels", name) for name in (rows.TRUE_ATTRIBUTES, rows.NCF_WITHOUT)]
    before = [cell.key for cell in cells_of]
    real = cells.comparator_features
    monkeypatch.setattr(cells, "comparator_features", lambda row, split: 1 - real(row, split))
    assert cells_of[0].key != before[0] and cells_of[1].key == before[1]


def test_whitening_alone_moves_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(Study(TINY), "hotels", rows.LR)
    cell.text_jobs[0].compute()
    key, row = cell.key, rows.BY_NAME[rows.LR]
    assert row.texts is not None and row.texts.whitened
    monkeypatch.setitem(rows.BY_NAME, rows.LR, replace(row, texts=replace(row.texts, whitened=False)))
    assert None not in (key, cell.key) and cell.key != key


def test_a_market_s_truth_is_part_of_the_keys_that_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(TINY)
    read, unread = (rows.CEILING, rows.MATCH, rows.LR), (rows.BIASES, rows.NCF)
    cells_of = [Cell(study, "hotels", name) for name in (*read, *unread)]
    for cell in cells_of:
        for job in cell.text_jobs:
            job.compute()
    before = [cell.key for cell in cells_of]
    other = {name: lambda split, real=real: 1 - real(split) for name, real in cells.TRUTH.items()}
    monkeypatch.setattr(cells, "TRUTH", other)
    moved = [cell.key != key for cell, key in zip(cells_of, before, strict=True)]
    assert None not in before and moved == [True] * len(read) + [False] * len(unread)


def test_a_cell_that_reads_texts_is_filed_under_their_content(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(TINY)
    cell = Cell(study, "hotels", rows.NCF)
    assert cell.key is None and not cell.done
    (job,) = cell.text_jobs
    job.compute()
    key, content = cell.key, job.content
    assert key is not None and content is not None
    # Other code made the same texts: the set is made anew, and the cell is where it was.
    real = source_code.code_hash
    monkeypatch.setattr(text_sets, "code_hash", lambda roots, within: "refactored" + real(roots, within))
    assert job.content is None
    job.compute()
    assert job.content == content and cell.key == key


def test_a_row_on_codes_as_they_come_shares_the_texts_and_not_the_cell() -> None:
    study = Study(TINY)
    one, two = (Cell(study, "hotels", name) for name in (rows.LR, rows.UNWHITENED))
    assert one.text_jobs == two.text_jobs and one.text_jobs[0].key == two.text_jobs[0].key
    one.text_jobs[0].compute()
    assert None not in (one.key, two.key) and one.key != two.key


def test_the_maps_are_part_of_a_text_set_s_content(monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = Cell(Study(TINY), "hotels", rows.NCF).text_jobs
    made = job.text_set()
    kept, content = job.text_set(), job.content
    for slot, one in made.maps.items():
        np.testing.assert_array_equal(kept.maps[slot].root, one.root)
        np.testing.assert_array_equal(kept.maps[slot].mean, one.mean)
    np.testing.assert_array_equal(kept.embeddings, made.embeddings)
    assert kept.embeddings.dtype == made.embeddings.dtype == np.float64
    monkeypatch.setattr("lrrecsys_core.models.whitening.RIDGE", 1e-3)
    monkeypatch.setattr(text_sets, "code_hash", lambda *_: "another ridge")
    job.compute()
    assert job.content not in (None, content)


def test_shifted_texts_are_part_of_a_text_set_s_key(monkeypatch: pytest.MonkeyPatch) -> None:
    job = text_job(Run(TINY), "hotels", rows.BY_NAME[rows.LR], 0)
    key = job.key
    assert job.text_set().shifted
    monkeypatch.setattr(text_sets.TextJob, "_shifted", lambda self: False)
    assert job.key != key


@pytest.mark.parametrize("row", [rows.LR, rows.ABLATION3, rows.DIRECT])
def test_texts_are_read_from_a_kept_set_as_they_were_written(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = text_job(Run(TINY), "hotels", rows.BY_NAME[row], 0)
    written = job.explanations()
    made = job.text_set()
    assert (len(made.sentences) > len(written.sentences)) == bool(made.shifted) == (row == rows.LR)
    monkeypatch.setattr(type(job.source), "explanations", lambda *_: pytest.fail("asked again"))
    kept = job.explanations()
    assert kept.fingerprint == written.fingerprint
    assert (kept.explainer, kept.variant) == (written.explainer, written.variant)


@pytest.mark.parametrize("row", [rows.ABLATION2, rows.EXTRACTIVE])
def test_what_reads_the_encoder_names_it_and_an_empty_name_is_none(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(name: str) -> str:
        return text_job(Run(TINY), "movies", rows.BY_NAME[name], 0).key

    monkeypatch.delenv("LRRECSYS_ENCODER", raising=False)
    unset, other = key(row), key(rows.LR)
    monkeypatch.setenv("LRRECSYS_ENCODER", "")
    assert key(row) == unset
    monkeypatch.setenv("LRRECSYS_ENCODER", "some-encoder")
    assert key(row) != unset and key(rows.LR) == other


def test_a_text_set_s_key_moves_with_source_and_seed() -> None:
    def key(texts: Texts, **change: object) -> str:
        run = Run(replace(TINY, **change))  # type: ignore[arg-type]
        return text_job(run, "hotels", replace(rows.BY_NAME[rows.LR], texts=texts), 0).key

    plain = key(Texts())
    assert plain == key(Texts())
    assert len({plain, key(Texts(variant="general", slots=("single",))), key(Texts(raw=True))}) == 3
    assert plain != key(rows.BY_NAME[rows.DIAL[50]].texts or Texts())
    assert plain != key(Texts(), autoencoder_epochs=31) and plain != key(Texts(), paper_strict=True)


def test_a_cell_without_its_model_is_not_done(root: Path) -> None:
    cell = Cell(Study(TINY), "hotels", rows.LR)
    cell.compute()
    assert cell.done
    weights = model_folder("tiny", "hotels") / "model.safetensors"
    kept = weights.read_bytes()
    weights.unlink()
    assert not cell.done
    weights.write_bytes(kept)
    assert cell.done
    place = cell.path("predictions")
    assert place is not None
    place.unlink()
    assert not cell.done


def package(folder: Path, **files: str) -> Path:
    """A little package of the same name, for its hashes."""
    place = folder / "lrrecsys_core"
    for name, code in files.items():
        file = place / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    return place


def test_code_is_what_a_module_imports_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "models__a": '"""A."""\nfrom lrrecsys_core.models.b import f\n'
        "if TYPE_CHECKING:\n    from lrrecsys_core.models.d import T\n",
        "models__b": "from lrrecsys_core.data.c import g\n\ndef f():\n    return g()\n",
        "models__d": "T = int\n",
        "data__c": "def g():\n    return 1\n",
    }

    def hashed(**changed: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        monkeypatch.setattr(source_code, "PACKAGE", package(folder, **(files | changed)))
        for cached in (source_code.code_hash, source_code._tree, source_code._code):
            cached.cache_clear()
        return source_code.code_hash(("models.a",), ("models",))

    before = hashed()
    assert before == hashed()
    assert before != hashed(models__b=files["models__b"].replace("return g()", "return g() + 1"))
    assert before == hashed(data__c="def g():\n    return 2\n"), "arrays stand for the code of data/"
    assert before == hashed(models__d="T = float\n"), "imported for types alone"
    assert before == hashed(models__a=files["models__a"].replace("A.", "Other words.") + "# a comment\n")
    assert before != hashed(models__a=files["models__a"] + "from lrrecsys_core.models.d import T\n")
    for cached in (source_code.code_hash, source_code._tree, source_code._code):
        cached.cache_clear()


@pytest.mark.parametrize("changed", ["house/hotel/positive.txt", "house/set.toml", "brief/hotel/positive.txt"])
def test_the_code_of_texts_covers_prompt_sets(changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = package(tmp_path, explain__a="X = 1\n")
    sets = place / "explain" / "prompts"
    for name in ("house/hotel/positive.txt", "house/set.toml", "brief/hotel/positive.txt"):
        (sets / name).parent.mkdir(parents=True, exist_ok=True)
        (sets / name).write_text("x\n")

    def hashed(within: str) -> str:
        for cached in (source_code.code_hash, source_code._tree, source_code._code):
            cached.cache_clear()
        return source_code.code_hash(("explain.a",), (within,))

    monkeypatch.setattr(source_code, "PACKAGE", place)
    before, elsewhere = hashed("explain"), hashed("models")
    (sets / "notes.md").write_text("no template")
    assert hashed("explain") == before
    (sets / changed).write_text("y\n")
    assert hashed("explain") != before and hashed("models") == elsewhere
    for cached in (source_code.code_hash, source_code._tree, source_code._code):
        cached.cache_clear()

"""A frozen store made on one machine rebuilds Tables 4-6 on another, where no library of LLMs can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.cli import main
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.checks import tidy
from lrrecsys_core.explain.prompts import VARIANTS
from lrrecsys_core.explain.recorded import recorded_explanations, stored_variants
from lrrecsys_core.study.study import Study

LLM = "Llama 3.1, prompts house"
FROM_STORE = {
    "positive": (rows.LLAMA31, rows.LR, rows.POSITIVE_ONLY, rows.ABLATION2, rows.NCF, rows.NO_IDS, rows.SHUFFLE_ALL),
    "no_profile": (rows.NO_PROFILE,),
    "alternative": (rows.ABLATION3,),
    "aspects": (rows.ASPECTS_ONLY,),
    "general": (rows.GENERAL_ONLY,),
    "summary": (rows.SUMMARY,),
    "direct": (rows.DIRECT_LLAMA31, rows.DIRECT),
}


WORDS = [
    *("amber", "brisk", "candid", "daring", "eager", "fabled", "gentle", "humble"),
    *("ironic", "jovial", "keen", "lavish", "mellow", "nimble", "ornate", "placid"),
]


def answer_to(prompt: str) -> str:
    """What the model of this test says: a function of the prompt, in the form that was asked for."""
    number = int(blake2b(prompt.encode(), digest_size=4).hexdigest(), 16)
    first, second, third = (WORDS[number // 16**k % 16] for k in range(3))
    reason = f"the consumer likes {first} stories and the movie is {second} and {third}."
    for asked, answer in (
        ("one number only", str(1 + number % 5)),
        ("three short terms", f"{first} plot, {second} score, {third} cast"),
        ("profile of this movie", f"A film with a {first} plot; it suits {second} and {third} viewers."),
        ("liked this movie", f"The consumer liked this movie because {reason}"),
        ("what this consumer prefers", f"The consumer prefers {first}, {second} and {third} stories."),
        ("did not watch", f"The consumer did not watch this movie because {reason}"),
    ):
        if asked in prompt:
            return answer
    return f"The consumer watched this movie because {reason}"


class Answering(BaseHTTPRequestHandler):
    """The chat interface of OpenAI, as any server on this machine offers it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = {"role": "assistant", "content": answer_to(asked["messages"][-1]["content"])}
        whole = {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}], "model": asked["model"]}
        body = json.dumps(whole).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep standard error silent."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A MovieLens of 24 users, so that the paper's numbers stand beside ours."""
    folder, rng = tmp_path_factory.mktemp("movielens"), np.random.default_rng(5)
    genres = [["Drama", "Comedy", "Horror"][k % 3] for k in range(16)]
    titles = pl.DataFrame({"movieId": range(16), "title": [f"Film {k} (1990)" for k in range(16)], "genres": genres})
    titles.write_csv(folder / "movies.csv")
    parts = [
        pl.DataFrame({"userId": user, "movieId": rng.permutation(16)[:9], "rating": rng.integers(1, 6, 9) * 1.0})
        for user in range(24)
    ]
    pl.concat(parts).with_row_index("timestamp").write_csv(folder / "ratings.csv")
    return f"movielens:{folder}"


def ask(url: str, movies: str, store: Path, *options: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRRECSYS_BASE_URL", url)
        main(["explain", "run", "--data", movies, "--llm", "endpoint:llama-3.1", "--store", str(store), *options])


@pytest.fixture(scope="module")
def frozen(url: str, movies: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of every variant, made and frozen by the commands of the guide, pinned as the guide advises."""
    place = tmp_path_factory.mktemp("store")
    variants = [word for variant in VARIANTS for word in ("--variant", variant)]
    ask(url, movies, place / "llama.sqlite", "--revision", "0a1b2c", *variants)
    main(["explain", "freeze", "--store", str(place / "llama.sqlite"), "--folder", str(place / "llama")])
    return place / "llama"


ELSEWHERE = """
import sys

ABSENT = ("transformers", "openai", "sentence_transformers", "ray", "httpx")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Absent())
import json
import torch
torch.set_num_threads(1)
from lrrecsys_core.study.study import Study
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.app.publish import publish_tables

study = Study(get_profile("smoke", seeds_on_files=1, epochs=1, autoencoder_epochs=30), [sys.argv[1]])
study.run_rows([4, 5, 6], jobs=1, progress=False)
publish_tables(study)
told = {}
for row in json.loads(sys.argv[2]):
    texts = study.explanations("movielens", row)
    told[row] = {"by": texts.explainer, "sentences": texts.sentences[1:], "coverage": texts.coverage}
print(json.dumps({"run": study.run, "rows": study.rows_of("movielens", [4, 5, 6]), "told": told}))
assert not set(ABSENT) & set(sys.modules)
"""


@pytest.mark.slow
def test_a_frozen_store_rebuilds_tables_4_to_6_where_no_llm_library_is_importable(
    frozen: Path, movies: str, tmp_path: Path
) -> None:
    read = [row for group in FROM_STORE.values() for row in group]
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("LRRECSYS_", "OPENAI_"))}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, movies, json.dumps(read)],
        capture_output=True, text=True, timeout=300,
        env={**keep, "LRRECSYS_ROOT": str(tmp_path), "LRRECSYS_STORES": f"llama-3.1={frozen}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    answers = pl.read_parquet(frozen / "answers-0000.parquet")
    for variant, group in FROM_STORE.items():
        kinds = ("positive", "negative") if variant in ("positive", "no_profile") else (variant,)
        kinds = ("alternative_positive", "alternative_negative") if variant == "alternative" else kinds
        stored = answers.filter(pl.col("template").str.extract("/([a-z_]+)@").is_in(kinds))["text"]
        for row in group:
            told = made["told"][row]
            assert told["by"] == LLM
            assert set(told["coverage"].values()) == {1.0}
            assert told["sentences"] and set(told["sentences"]) <= {tidy(text) for text in stored}, row
    tables = {k: pl.read_csv(tmp_path / "paper_tables" / made["run"] / f"table{k}.csv") for k in (4, 5, 6)}
    for table in tables.values():
        lines = table.filter(pl.col("row").is_in(made["rows"]))
        assert lines["ours_mean"].is_finite().all() and lines.height
        assert lines.filter(pl.col("paper_mean").is_not_null())["status"].unique().to_list() == ["not comparable"]
    for row in read:
        for line in pl.concat(tables.values()).filter(pl.col("row") == row).iter_rows(named=True):
            assert f"explanations: {LLM}" in line["note"], line
    fourth = tables[4].filter(pl.col("row").is_in([rows.LLAMA31, rows.DIRECT_LLAMA31]))
    assert fourth.height == 6 and fourth["paper_mean"].is_not_null().all()
    direct = fourth.filter(pl.col("row") == rows.DIRECT_LLAMA31)
    assert (
        direct["note"]
        .str.contains(f"answers for the test records: {len(make_split(load_dataset(movies)).test)} ok")
        .all()
    )
    others = tables[4].filter(pl.col("row").is_in([rows.LLAMA3, rows.MIXTRAL, rows.VICUNA, rows.QWEN2, rows.GPT2]))
    assert set(others["status"]) == {"not run"} and others["ours_mean"].is_null().all()


@pytest.fixture(scope="module")
def split(movies: str) -> Split:
    return make_split(load_dataset(movies))


def test_a_store_counts_where_every_record_was_asked_about(
    frozen: Path, split: Split, url: str, movies: str, tmp_path: Path
) -> None:
    assert stored_variants(split, frozen, "llama-3.1") == set(VARIANTS)
    assert stored_variants(split, frozen, "gpt-2") == set()
    fewer = make_split(split.dataset, train_fraction=0.5)
    assert not stored_variants(fewer, frozen, "llama-3.1"), "other histories, other prompts"
    store = tmp_path / "s.sqlite"
    ask(url, movies, store, "--limit", "20")
    assert not stored_variants(split, store, "llama-3.1"), "a trial is no basis for a row"
    assert 0 < recorded_explanations(split, store, "llama-3.1").coverage["positive"] < 1
    ask(url, movies, store)
    ask(url, movies, store, "--fraction", "0.5")
    for one in (split, fewer):
        assert stored_variants(one, store, "llama-3.1") == {"full"}


def test_second_answers_are_found(
    split: Split, url: str, movies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stubborn(prompt: str) -> str:
        corrected = "nothing else" in prompt
        return "The consumer watched this movie because of tea." if corrected else "I am sorry."

    monkeypatch.setitem(globals(), "answer_to", stubborn)
    store = tmp_path / "s.sqlite"
    ask(url, movies, store, "--second-try")
    assert stored_variants(split, store, "llama-3.1") == {"full"}
    told = recorded_explanations(split, store, "llama-3.1")
    assert set(told.texts("positive")) == {"The consumer watched this movie because of tea."}


def test_two_revisions_in_one_store_are_refused(split: Split, url: str, movies: str, tmp_path: Path) -> None:
    store = tmp_path / "s.sqlite"
    for revision in ("a", "b"):
        ask(url, movies, store, "--revision", revision, "--limit", "2")
    assert recorded_explanations(split, store, "llama-3.1@a").coverage["positive"] > 0
    with pytest.raises(InputError, match="keep each revision"):
        recorded_explanations(split, store, "llama-3.1")


def test_what_a_server_calls_the_model_enters_no_key(split: Split, url: str, movies: str, tmp_path: Path) -> None:
    store = tmp_path / "s.sqlite"
    ask(url, movies, store, "--served-as", "llama3.1:8b", "--limit", "3")
    told = recorded_explanations(split, store, "llama-3.1")
    assert told.explainer == LLM and told.coverage["positive"] > 0


def test_rows_whose_texts_the_store_lacks_are_not_run(
    url: str, movies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s.sqlite"
    ask(url, movies, store)
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    monkeypatch.setenv("LRRECSYS_STORES", f"llama-3.1={store}")
    study, half = Study("smoke", [movies]), rows.at_fraction(rows.LR, 50)
    found = set(study.rows_of("movielens"))
    assert found >= {rows.LLAMA31, rows.LR, rows.POSITIVE_ONLY, rows.ABLATION2, rows.NCF, rows.METADATA}
    lacking = (group[0] for variant, group in FROM_STORE.items() if variant != "positive")
    assert not found & {*lacking, rows.DIRECT, rows.GPT2, half}
    ask(url, movies, store, "--fraction", "0.5")
    assert half in study.rows_of("movielens")
    assert study.explanations("movielens", half).explainer == LLM
    ask(url, movies, tmp_path / "own.sqlite", "--llm", "endpoint:my/model@1")
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={tmp_path / 'own.sqlite'}")
    assert study.explanations("movielens").explainer == "my/model, prompts house"
    found = set(study.rows_of("movielens"))
    assert found >= {rows.LR, rows.WITH + "my/model"} and rows.LLAMA31 not in found
    assert study.explanations("movielens", rows.WITH + "my/model").explainer == "my/model, prompts house"
    monkeypatch.setenv("LRRECSYS_STORES", "")
    assert study.explanations("movielens").explainer.startswith("metadata")

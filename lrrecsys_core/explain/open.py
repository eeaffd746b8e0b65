"""Data and LLMs by short texts such as "market:movies" and "endpoint:llama-3.1", the form the command line takes."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.data.toy import fruit_basket
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients import openvino_llm
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.clients.formats import EMBEDDED, known_llm
from lrrecsys_core.explain.clients.transformers_llm import TransformersLLM
from lrrecsys_core.explain.clients.weights import identity, packaged_gguf
from lrrecsys_core.explain.llm import LLM
from lrrecsys_core.explain.reasoners import MetadataExplainer
from lrrecsys_core.profiles import get_profile


def open_data(spec: str) -> Dataset:
    """What `load_data` loads, with what is to be said of it on standard error."""
    dataset = load_data(spec)
    for note in dataset.notes:
        click.echo(note, err=True)
    return dataset


def load_data(spec: str) -> Dataset:
    """A simulated market ("market:hotels", "market:restaurants" or "market:movies", seed 0), or real files.

    "market:hotels@smoke" is the first market of the domain in the runs of that profile; "toy" is Figure 2's history.

    Raises
    ------
    InputError
        When the text cannot be understood or the data cannot be loaded.
    """
    kind, _, rest = spec.partition(":")
    if spec == "toy":
        return fruit_basket()
    if kind != "market":
        return load_dataset(spec)
    market, _, name = rest.partition("@")
    if market not in DEFAULT_PARAMETERS:
        raise InputError(f"there is no market {market!r}: write market:hotels, market:restaurants or market:movies")
    if not name:
        return simulate_market(market, 0)
    profile = get_profile(name)
    return simulate_market(market, profile.first_seed, replace(DEFAULT_PARAMETERS[market], **profile.sizes))


def open_llm(spec: str, *, revision: str = "", chat_format: str = "", **options: Any) -> LLM:
    """The LLM named by kind and model; nothing is loaded or called yet.

    - ``smollm2``: the model that `make llm` installs; ``gguf:FILE``: any model in one GGUF file. Both through OpenVINO
      GenAI where it is installed, through transformers where it is not, or a device or chat format is named.
    - ``endpoint:MODEL``: OpenAI-compatible servers at ``LRRECSYS_BASE_URL``.
    - ``transformers:MODEL``: in this process, by hub name or folder.
    - ``metadata``: the metadata explainer, which is no LLM and needs nothing.

    MODEL is one of the paper's (llama-3.1, llama-3, mixtral, vicuna, qwen2, gpt-2) or any other, perhaps with "@"
    and a revision.

    Parameters
    ----------
    spec
        Kind and model.
    revision
        Commit to pin.
    chat_format
        Overrides the model's: "template", "plain" or "vicuna". Then it enters the identifier, and with it every key.
    options
        Further fields of the client; those that are None are left at their defaults.

    Raises
    ------
    InputError
        When the text cannot be understood, or an option is not one of this kind of client.
    """
    kind, _, place = spec.partition(":")
    given = {name: value for name, value in options.items() if value is not None}
    given |= {name: value for name, value in (("revision", revision), ("chat_format", chat_format)) if value}
    if kind == "metadata" and not place:
        _refuse_alien(given, set(), spec)
        return MetadataExplainer()
    if kind in EMBEDDED and not place:
        return _gguf(packaged_gguf(kind), EMBEDDED[kind].name, given, spec)
    if kind == "gguf" and place:
        return _gguf(Path(place), "", given, spec)
    if kind not in ("endpoint", "transformers") or not place:
        known_kinds = f"{', '.join(EMBEDDED)}, gguf:FILE, endpoint:MODEL, transformers:MODEL or metadata"
        raise InputError(f"{spec!r} names no LLM: write {known_kinds}")
    known = known_llm(place, given.pop("revision", ""))
    client: type[Endpoint | TransformersLLM] = Endpoint if kind == "endpoint" else TransformersLLM
    _refuse_alien(given, _settings(client), spec)
    fallback = known.chat_format
    if kind == "transformers" and known.name == known.model:
        fallback = "auto"  # a model of one's own may come without a chat template, which only its tokenizer can tell
    pinned, form = known.pinned, given.get("chat_format", fallback)
    if form != fallback:  # it decides what the model reads, so it is part of who answered
        given.setdefault("served_as", known.pinned if kind == "transformers" else known.model)
        pinned = f"{known.model}@{','.join(filter(None, (known.revision, form)))}"
    return client(pinned, known.name, **{"chat_format": fallback, **given})


def _gguf(path: Path, name: str, given: dict[str, Any], spec: str) -> LLM:
    """A model in a GGUF file, by the engine that is at hand; a named device, type or format is transformers' business.

    There is no revision to name, nor another place to load it from: the file is both.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: name a GGUF file")
    name = name or path.stem
    if openvino_llm.at_hand() and not {"device", "dtype", "batch_size", "chat_format"} & given.keys():
        _refuse_alien(given, _settings(openvino_llm.OpenVinoLLM), spec)
        return openvino_llm.OpenVinoLLM(path, name, **given)
    _refuse_alien(given, _settings(TransformersLLM) - {"served_as"}, spec)
    engine = f"transformers {version('transformers')}"
    form = f",{given['chat_format']}" if given.get("chat_format", "auto") != "auto" else ""
    return TransformersLLM(identity(path, engine) + form, name, served_as=str(path), **given)


def _settings(client: type[Endpoint | TransformersLLM | openvino_llm.OpenVinoLLM]) -> set[str]:
    """What may be set of a client beside the model, which the text names."""
    return {field.name for field in fields(client) if field.init} - {"model", "name", "path"}


def _refuse_alien(given: dict[str, Any], known: set[str], spec: str) -> None:
    if alien := sorted(given.keys() - known):
        raise InputError(f"{spec} has no option {alien[0].replace('_', '-')!r}: leave it out")

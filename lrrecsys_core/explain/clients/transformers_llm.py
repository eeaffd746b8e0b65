"""Any causal language model of the *transformers* library, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.formats import render, split_revision
from lrrecsys_core.explain.llm import Request, Result


@dataclass
class TransformersLLM:
    """A model loaded once and asked in batches of equal sampling settings; greedy unless a request says otherwise.

    Parameters
    ----------
    model
        Folder or hub identifier, with revision behind "@" where pinned; enters every key.
    name
        Shown in tables; the model when empty.
    served_as
        Folder or hub identifier to load it from, when that differs from the model.
    chat_format
        "auto" uses the tokenizer's chat template and, where it has none, "plain"; see
        :mod:`lrrecsys_core.explain.clients.formats`.
    batch_size
        Prompts generated together.
    window
        Prompts sorted by length before they are cut into batches, so that little is padded.
    device, dtype
        Such as "cuda" and "bfloat16"; "auto" takes a GPU where there is one, and the weights' own type.
    """

    model: str
    name: str = ""
    served_as: str = ""
    chat_format: str = "auto"
    batch_size: int = 16
    window: int = 512
    device: str = "auto"
    dtype: str = "auto"
    _loaded: tuple[Any, Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.name = self.name or self.model

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Answer requests batch by batch, in an order of our choosing (keys set).

        Raises
        ------
        InputError
            When the model cannot be loaded.
        """
        stream = iter(requests)
        while window := list(islice(stream, self.window)):
            window.sort(key=lambda one: (sampling(one), sum(len(text) for _, text in one.messages)))
            for _, alike in groupby(window, key=sampling):
                while batch := list(islice(alike, self.batch_size)):
                    yield from self._answer(batch)

    def _answer(self, batch: Sequence[Request]) -> Iterator[Result]:
        tokenizer, model = self.load()
        special = self._format(tokenizer) != "template"  # a chat template writes its special tokens itself
        prompts = tokenizer([self._prompt(tokenizer, one) for one in batch], add_special_tokens=special)["input_ids"]
        context = getattr(model.config, "max_position_embeddings", None) or 1 << 30
        fitting: list[tuple[Request, list[int]]] = []
        for request, prompt in zip(batch, prompts, strict=True):
            if len(prompt) + request.max_tokens <= context:
                fitting.append((request, prompt))
            else:
                reason = f"a prompt of {len(prompt)} and an answer of {request.max_tokens} tokens exceed {context}"
                yield Result(request.key(self.model), None, "error", len(prompt), 0, reason)
        if fitting:
            yield from self._generate(fitting)

    def _generate(self, batch: list[tuple[Request, list[int]]]) -> Iterator[Result]:
        import torch

        tokenizer, model = self.load()
        began = time.monotonic()
        padded = tokenizer.pad({"input_ids": [prompt for _, prompt in batch]}, return_tensors="pt").to(model.device)
        first = batch[0][0]
        settings: dict[str, Any] = {"do_sample": first.temperature > 0}
        if first.temperature > 0:
            settings["temperature"] = first.temperature
        if first.stop:
            settings |= {"stop_strings": list(first.stop), "tokenizer": tokenizer}
        with torch.inference_mode():
            output = model.generate(
                **padded, max_new_tokens=first.max_tokens, pad_token_id=tokenizer.pad_token_id, **settings
            )
        seconds = (time.monotonic() - began) / len(batch)
        ends = {tokenizer.eos_token_id, tokenizer.pad_token_id, *as_list(model.generation_config.eos_token_id)}
        answers = output[:, padded["input_ids"].shape[1] :].tolist()
        for (request, prompt), tokens in zip(batch, answers, strict=True):
            made = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
            text = tokenizer.decode(tokens[:made], skip_special_tokens=True)
            stopped = made < len(tokens) or any(stop in text for stop in request.stop)
            for stop in request.stop:
                text = text.split(stop, 1)[0]
            result = Result(request.key(self.model), text, "stop" if stopped else "length", len(prompt), made)
            if not text.strip():
                result.text, result.finish_reason, result.error = None, "error", "the answer is empty"
            result.seconds = seconds
            yield result

    def _format(self, tokenizer: Any) -> str:
        if self.chat_format != "auto":
            return self.chat_format
        return "template" if tokenizer.chat_template else "plain"

    def _prompt(self, tokenizer: Any, request: Request) -> str:
        chat_format = self._format(tokenizer)
        if chat_format != "template":
            return render(request.messages, chat_format)
        messages = [{"role": role, "content": text} for role, text in request.messages]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def load(self) -> tuple[Any, Any]:
        """Tokenizer and model, loaded on first use.

        Raises
        ------
        InputError
            When the model cannot be loaded.
        """
        if self._loaded is None:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
            from transformers.utils import logging

            logging.disable_progress_bar()  # notebooks compare what is printed

            place, revision = split_revision(self.served_as or self.model)
            if not isinstance(getattr(torch, self.dtype, None), torch.dtype) and self.dtype != "auto":
                raise InputError(f"the type {self.dtype!r} is unknown: choose auto, float32, bfloat16 or float16")
            pinned = {"revision": revision} if revision else {}
            try:
                tokenizer = AutoTokenizer.from_pretrained(place, padding_side="left", **pinned)
                model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=self.dtype, **pinned)
            except (OSError, ValueError) as error:
                reason = str(error).split("\n", 1)[0]
                raise InputError(
                    f"the model {place!r} cannot be loaded ({reason}): give a folder with its files, or log in to the "
                    "hub and accept its licence there"
                ) from error
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
            device = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
            try:
                self._loaded = tokenizer, model.to(device).eval()
            except (AssertionError, RuntimeError) as error:  # torch's ways of saying that there is none, or no room
                reason = str(error).split("\n", 1)[0]
                raise InputError(f"the device {device!r} cannot be used ({reason}): choose another") from error
        return self._loaded


def sampling(request: Request) -> tuple[float, tuple[str, ...], int]:
    """What must be equal for prompts to be generated together."""
    return request.temperature, request.stop, request.max_tokens


def as_list(value: Any) -> list[int]:
    """A token id, several, or none, as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]

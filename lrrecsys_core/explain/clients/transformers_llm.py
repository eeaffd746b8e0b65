"""Any causal language model of the *transformers* library, in this process."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.formats import render, split_revision
from lrrecsys_core.explain.clients.odds import Beginning, choice_odds
from lrrecsys_core.explain.clients.prefix import batch_of, is_plain, next_logits
from lrrecsys_core.explain.clients.weights import end_tokens
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.reading import emptiness

BATCH = {"cpu": 16, "cuda": 512}
"""Prompts generated together where nothing is said: a GPU takes about as long for 512 as for 16."""


@dataclass
class TransformersLLM:
    """A model loaded once and asked in batches of equal sampling settings; greedy unless a request says otherwise.

    What the prompts of a batch begin with, such as a template's instruction and example, is computed once for all.
    A batch that does not fit a GPU's memory is halved, and so are those after it.

    Parameters
    ----------
    model
        Folder or hub identifier, with revision behind "@" where pinned; enters every key.
    name
        Shown in tables; the model when empty.
    served_as
        Folder, file (.gguf) or hub identifier to load it from, when that differs from the model.
    chat_format
        "auto" uses the tokenizer's chat template and, where it has none, "plain"; see
        :mod:`lrrecsys_core.explain.clients.formats`.
    batch_size
        Prompts generated together; "auto" is 16, and 512 on a GPU.
    window
        Prompts sorted by template and length before they are cut into batches, so that much is shared and little
        padded.
    device, dtype
        Such as "cuda" and "bfloat16"; "auto" takes a GPU where there is one, and the weights' own type: for a GGUF
        file, whose weights are unpacked, float32 and on a GPU bfloat16.
    share
        False computes every prompt from its first token on.
    """

    model: str
    name: str = ""
    served_as: str = ""
    chat_format: str = "auto"
    batch_size: int | Literal["auto"] = "auto"
    window: int = 4096
    device: str = "auto"
    dtype: str = "auto"
    share: bool = True
    _loaded: tuple[Any, Any] | None = field(default=None, init=False, repr=False)
    _fitting: int = field(default=1 << 30, init=False, repr=False, compare=False)  # prompts that memory has room for
    _vocabulary: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.name = self.name or self.model

    @property
    def batch(self) -> int:
        """Prompts computed together: what was asked for, or less where memory ran out."""
        _, model = self.load()
        wanted = BATCH.get(model.device.type, BATCH["cpu"]) if self.batch_size == "auto" else self.batch_size
        return min(wanted, self._fitting)

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Answer requests batch by batch, in an order of our choosing (keys set).

        Raises
        ------
        InputError
            When the model cannot be loaded.
        """
        stream = iter(requests)
        while window := list(islice(stream, self.window)):
            window.sort(key=lambda one: (alike(one), sum(len(text) for _, text in one.messages)))
            for _, group in groupby(window, key=alike):
                waiting = list(group)
                while waiting:
                    batch, waiting = waiting[: self.batch], waiting[self.batch :]
                    yield from self._in_memory(batch)

    def _in_memory(self, batch: list[Request]) -> Iterator[Result]:
        """Answers of a batch, in halves where it is too large."""
        import torch

        try:
            results = list(self._answer(batch))
        except torch.OutOfMemoryError:
            results = []  # and no more here: the handler keeps the batch's tensors alive
        if results:
            yield from results
            return
        torch.cuda.empty_cache()
        if len(batch) == 1:
            reason = "the device has no memory for this prompt alone: choose another device or a smaller dtype"
            yield Result(batch[0].key(self.model), finish_reason="error", error=reason)
            return
        half = self._fitting = len(batch) // 2
        yield from self._in_memory(batch[:half])
        yield from self._in_memory(batch[half:])

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
        pad = tokenizer.pad_token_id
        prompts = batch_of(model, [prompt for _, prompt in batch], pad, share=self.share)
        first = batch[0][0]
        ends = {tokenizer.eos_token_id, *as_list(model.generation_config.eos_token_id)} - {None}
        settings: dict[str, Any] = {"do_sample": first.temperature > 0, "eos_token_id": sorted(ends) or None}
        if first.temperature > 0:
            settings["temperature"] = first.temperature
        if first.stop:
            settings |= {"stop_strings": list(first.stop), "tokenizer": tokenizer}
        if prompts.cache is not None:
            settings["past_key_values"] = prompts.cache
        with torch.inference_mode():
            output = model.generate(
                prompts.tokens, attention_mask=prompts.mask, max_new_tokens=first.max_tokens,
                pad_token_id=pad, return_dict_in_generate=True, **settings,
            )  # fmt: skip
            odds = self._odds([request for request, _ in batch], prompts.tokens, prompts.mask, output.past_key_values)
        seconds = (time.monotonic() - began) / len(batch)
        answers = output.sequences[:, prompts.tokens.shape[1] :].tolist()
        for (request, prompt), tokens, told in zip(batch, answers, odds, strict=True):
            made = next((place for place, token in enumerate(tokens) if token in ends | {pad}), len(tokens))
            text, cut = request.until_stop(tokenizer.decode(tokens[:made], skip_special_tokens=True))
            stopped = made < len(tokens) or cut
            result = Result(request.key(self.model), text, "stop" if stopped else "length", len(prompt), made)
            if nothing := emptiness(text):
                result.text, result.finish_reason, result.error = None, "error", nothing
            result.seconds, result.odds = seconds, told
            yield result

    def _odds(self, requests: list[Request], tokens: Any, mask: Any, cache: Any) -> list[dict[str, float]]:
        """Odds of the requests' choices, from the cache that generation left; none where it cannot be cut back."""
        import torch

        if not any(request.choices for request in requests) or not is_plain(cache):
            return [{} for _ in requests]
        tokenizer, model = self.load()
        self._vocabulary = self._vocabulary or vocabulary(tokenizer, model.config.vocab_size)
        cache.crop(tokens.shape[1] - 1 - cache.get_seq_length())

        def follow(beginnings: list[Beginning]) -> Any:
            nonlocal mask
            rows = torch.tensor([one.source for one in beginnings], device=mask.device)
            cache.batch_select_indices(rows)
            mask = torch.cat([mask[rows], mask.new_ones(len(rows), 1)], 1)
            new = torch.tensor([[one.token] for one in beginnings], device=mask.device)
            return next_logits(model, new, mask, cache).softmax(-1).cpu().numpy()

        likely = next_logits(model, tokens[:, -1:], mask, cache).softmax(-1).cpu().numpy()
        return choice_odds([request.choices for request in requests], self._vocabulary, likely, follow)

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
            from transformers.utils import logging

            logging.disable_progress_bar()  # notebooks compare what is printed

            if not isinstance(getattr(torch, self.dtype, None), torch.dtype) and self.dtype != "auto":
                raise InputError(f"the type {self.dtype!r} is unknown: choose auto, float32, bfloat16 or float16")
            device = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
            tokenizer, model = self._from_files(device)
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
            try:
                self._loaded = tokenizer, model.to(device).eval()
            except (AssertionError, RuntimeError) as error:  # torch's ways of saying that there is none, or no room
                reason = str(error).split("\n", 1)[0]
                raise InputError(f"the device {device!r} cannot be used ({reason}): choose another") from error
        return self._loaded

    def _from_files(self, device: str) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        spec = self.served_as or self.model
        place, revision = (spec, "") if spec.endswith(".gguf") else split_revision(spec)
        files: dict[str, Any] = {"revision": revision} if revision else {}
        dtype, shown, ends = self.dtype, place, list[int]()
        if place.endswith(".gguf"):
            missing = [package for package in ("gguf", "accelerate") if find_spec(package) is None]
            if missing:
                needed = " ".join(missing)
                raise InputError(
                    f"a GGUF file needs {' and '.join(missing)}: pip install --no-deps {needed}, or make llm"
                )
            ends = end_tokens(Path(place)) if Path(place).is_file() else []
            files["gguf_file"], place = Path(place).name, str(Path(place).parent)
            if dtype == "auto":  # the file's own types are packed ones
                dtype = "bfloat16" if device.startswith("cuda") else "float32"
        try:
            with redirect_stderr(io.StringIO()):  # where the unpacking of a GGUF file draws a bar of its own
                tokenizer = AutoTokenizer.from_pretrained(place, **files)
                model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, **files)
        except (OSError, ValueError) as error:
            reason = str(error).split("\n", 1)[0]
            raise InputError(
                f"the model {shown!r} cannot be loaded ({reason}): give a folder with its files, or log in to the "
                "hub and accept its licence there"
            ) from error
        if ends:
            model.generation_config.eos_token_id = ends
        return tokenizer, model


def vocabulary(tokenizer: Any, size: int) -> list[str]:
    """What each token id says within a text; "" for special tokens and ids that are none."""
    anchor = tokenizer.encode("a", add_special_tokens=False)  # some tokenizers drop the space of a text's first token
    known = min(size, len(tokenizer))
    texts = tokenizer.batch_decode([[*anchor, token] for token in range(known)], clean_up_tokenization_spaces=False)
    before = len(tokenizer.decode(anchor, clean_up_tokenization_spaces=False))
    special = set(tokenizer.all_special_ids)
    return ["" if token in special else text[before:] for token, text in enumerate(texts)] + [""] * (size - known)


def alike(request: Request) -> tuple[float, tuple[str, ...], int, str]:
    """What must be equal for prompts to be generated together; prompts of one template share much besides."""
    return request.temperature, request.stop, request.max_tokens, request.template


def as_list(value: Any) -> list[int]:
    """A token id, several, or none, as a list."""
    return [] if value is None else value if isinstance(value, list) else [value]

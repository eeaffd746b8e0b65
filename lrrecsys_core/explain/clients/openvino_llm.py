"""A model in one GGUF file, asked through OpenVINO GenAI in this process: fast on ordinary processors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from typing import Any

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.formats import render
from lrrecsys_core.explain.clients.transformers_llm import TransformersLLM
from lrrecsys_core.explain.clients.weights import context_of, identity
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.reading import emptiness
from lrrecsys_core.terminal import say

ENGINE = "openvino-genai"
# In the engine's own choice of types (bfloat16 where the processor has it, activations quantised when there are many)
# about half of all answers changed with what was computed beside them; in float32 hardly any did. Prefixes kept from
# earlier prompts change some, too, so none are kept.
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
CACHE_GB = 1


def at_hand() -> bool:
    """Whether the engine is installed."""
    return find_spec("openvino_genai") is not None


@dataclass
class OpenVinoLLM:
    """A GGUF model with continuous batching: whenever an answer ends, the next prompt takes its place.

    Chat template, end tokens and context come from the file.

    Parameters
    ----------
    path
        The GGUF file.
    name
        Shown in tables; the file's name when empty.
    in_flight
        Prompts computed together.
    """

    path: Path
    name: str = ""
    in_flight: int = 32
    _loaded: tuple[Any, Any] | None = field(default=None, init=False, repr=False)
    _rater: TransformersLLM | None = field(default=None, init=False, repr=False)
    _rates: bool = field(default=True, init=False, repr=False)

    def __post_init__(self) -> None:
        self.name = self.name or self.path.stem

    @cached_property
    def model(self) -> str:
        """File, its content, engine and version: all that decides an answer beside the request.

        Raises
        ------
        InputError
            When the engine is not installed, or the file is not there.
        """
        try:
            return identity(self.path, f"{ENGINE} {version(ENGINE)}")
        except PackageNotFoundError:
            raise InputError(
                f"{self.path.name} needs the engine {ENGINE}: run `make llm`, or name the file as transformers:PATH"
            ) from None

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Answer requests as they finish (keys set), taking new ones as room comes free.

        Raises
        ------
        InputError
            When engine or file cannot be used.
        """
        pipeline, _ = self.load()
        stream, numbers = iter(requests), count()
        running: dict[int, _Running] = {}
        ended = time.monotonic()
        try:
            while True:
                for request in islice(stream, self.in_flight - len(running)):
                    begun = self._begin(next(numbers), request)
                    if isinstance(begun, Result):
                        yield begun
                    else:
                        running[begun.number] = begun
                if not running:
                    return
                pipeline.step()
                done = [one for one in running.values() if one.finished]
                for one in done:
                    del running[one.number]
                    now = time.monotonic()
                    yield self._result(one, (now - ended) / len(done))
                ended = time.monotonic() if done else ended
        finally:  # an interrupt must not leave prompts behind for the next call to compute
            for one in running.values():
                one.handle.cancel()
            if running:
                pipeline.step()

    def _begin(self, number: int, request: Request) -> _Running | Result:
        import openvino_genai

        pipeline, tokenizer = self.load()
        if tokenizer.chat_template:
            messages = [{"role": role, "content": text} for role, text in request.messages]
            prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        else:
            prompt = render(request.messages, "plain")
        # A chat template writes its special tokens itself.
        tokens = tokenizer.encode(prompt, add_special_tokens=not tokenizer.chat_template).input_ids
        length = tokens.shape[1]
        if length + request.max_tokens > self._context:
            reason = f"a prompt of {length} and an answer of {request.max_tokens} tokens exceed {self._context}"
            return Result(request.key(self.model), None, "error", length, 0, reason)
        settings: openvino_genai.GenerationConfig = pipeline.get_config()  # end tokens as the file has them
        settings.max_new_tokens = request.max_tokens
        settings.do_sample = request.temperature > 0
        if settings.do_sample:
            settings.temperature = request.temperature
        settings.stop_strings = set(request.stop)
        return _Running(number, request, length, pipeline.add_request(number, tokens, settings))

    def _result(self, one: _Running, seconds: float) -> Result:
        import openvino_genai

        made = one.handle.read_all()[0]
        text, cut = one.request.until_stop(str(self.load()[1].decode(made.generated_ids)))
        stopped = cut or made.finish_reason == openvino_genai.GenerationFinishReason.STOP
        key, reason = one.request.key(self.model), "stop" if stopped else "length"
        if nothing := emptiness(text):
            return Result(key, None, "error", one.length, 0, nothing, seconds)
        odds = self._odds(one.request) if one.request.choices else {}
        return Result(key, text, reason, one.length, len(made.generated_ids), seconds=seconds, odds=odds)

    def _odds(self, request: Request) -> dict[str, float]:
        """From the same file through transformers: this engine tells the probabilities of its own choice alone."""
        if not self._rates:
            return {}
        self._rater = self._rater or TransformersLLM(self.model, served_as=str(self.path), device="cpu")
        try:
            return next(iter(self._rater.complete([replace(request, max_tokens=1)]))).odds
        except InputError as error:  # what transformers needs for it is not installed: answers stand without
            self._rates = False
            say(f"{self.name} gives no probabilities of its ratings, so none is read as expected: {error}", err=True)
            return {}

    @cached_property
    def _context(self) -> int:
        """Most tokens of prompt and answer, which the engine itself does not check."""
        return context_of(self.path) or 1 << 30

    def load(self) -> tuple[Any, Any]:
        """Pipeline and tokenizer, loaded on first use.

        Raises
        ------
        InputError
            When the engine is not installed or cannot read the file.
        """
        if self._loaded is None:
            _ = self.model  # says what is missing
            import openvino_genai

            scheduler = openvino_genai.SchedulerConfig()
            scheduler.cache_size = CACHE_GB
            scheduler.max_num_seqs = self.in_flight
            scheduler.enable_prefix_caching = False
            try:
                pipeline = openvino_genai.ContinuousBatchingPipeline(str(self.path), scheduler, "CPU", EXACT, {})
            except RuntimeError as error:
                reason = str(error).strip().rpartition("\n")[2]
                raise InputError(
                    f"{self.path} cannot be read by {ENGINE} ({reason}): it reads GGUF files of the families llama, "
                    "qwen2 and qwen3; name others as transformers:PATH"
                ) from error
            self._loaded = pipeline, pipeline.get_tokenizer()
        return self._loaded


@dataclass(frozen=True)
class _Running:
    """A request that is being answered."""

    number: int
    request: Request
    length: int
    handle: Any

    @property
    def finished(self) -> bool:
        import openvino_genai

        return bool(self.handle.get_status() != openvino_genai.GenerationStatus.RUNNING)

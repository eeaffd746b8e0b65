"""The same clients on many machines: Ray Data runs one in each worker (extra ``ray``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.llm import LLM, Request, Result
from lrrecsys_core.explain.open import open_llm


@dataclass
class RayLLM:
    """An LLM whose requests are answered inside ``map_batches`` on a Ray cluster; results come back to one store.

    Parameters
    ----------
    spec
        As :func:`~lrrecsys_core.explain.open.open_llm` takes it; opened once in each worker.
    options
        Its keyword arguments.
    workers
        Workers, each with a client of its own.
    gpus
        GPUs of each worker (a model in process); 0 for endpoints, whose calls only wait.
    batch_size
        Requests a worker takes at a time.
    wave
        Requests handed to Ray at a time; a run that is stopped repeats at most one wave.
    """

    spec: str
    options: dict[str, Any] = field(default_factory=dict)
    workers: int = 2
    gpus: float = 0
    batch_size: int = 256
    wave: int = 20_000

    def __post_init__(self) -> None:
        here = open_llm(self.spec, **self.options)
        self.name, self.model = here.name, here.model

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Answer requests wave by wave, in any order (keys set).

        Raises
        ------
        InputError
            When Ray is not installed.
        """
        try:
            import ray
        except ImportError as error:
            raise InputError("generation on a cluster needs an extra: pip install 'lrrecsys-core[ray]'") from error
        stream = iter(requests)
        while wave := list(islice(stream, self.wave)):
            blocks = max(1, min(self.workers * 4, len(wave) // self.batch_size))
            dataset = ray.data.from_items([asdict(request) for request in wave], override_num_blocks=blocks)
            answered = dataset.map_batches(
                Worker,
                fn_constructor_args=(self.spec, self.options),
                batch_size=self.batch_size,
                compute=ray.data.ActorPoolStrategy(size=self.workers),
                num_gpus=self.gpus or None,
            )
            for row in answered.iter_rows():
                yield Result(**{**row, "text": row["text"] or None, "error": row["error"] or None})


class Worker:
    """One client in a Ray worker: columns of requests in, columns of results out."""

    def __init__(self, spec: str, options: dict[str, Any]) -> None:
        self.llm: LLM = open_llm(spec, **options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Answer one batch."""
        columns = [batch[name] for name in ("messages", "max_tokens", "temperature", "stop", "template")]
        requests = [
            Request(
                tuple((str(role), str(text)) for role, text in messages), int(most), float(heat), tuple(stop), str(of)
            )
            for messages, most, heat, stop, of in zip(*columns, strict=True)
        ]
        results = list(self.llm.complete(requests))
        for request, result in zip(requests, results, strict=True):
            result.key = result.key or request.key(self.llm.model)
        rows = [asdict(result) | {"text": result.text or "", "error": result.error or ""} for result in results]
        return {name: [row[name] for row in rows] for name in rows[0]}

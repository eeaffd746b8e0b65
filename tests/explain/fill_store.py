"""Asks a server on this machine for N prompts and stores the answers: the process that tests kill."""

from __future__ import annotations

import sys

from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.generate import fill
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.store import ExplanationStore

CONCURRENCY = 32


def prompts(n: int) -> list[Request]:
    """N distinct prompts; every 50th asks what no server can answer."""
    texts = (
        f"Past movies: {place % 7}. {'HOPELESS ' if place % 50 == 49 else ''}prompt {place:08d}" for place in range(n)
    )
    return [Request((("user", text),)) for text in texts]


def endpoint(url: str) -> Endpoint:
    return Endpoint(
        "tiny",
        urls=(url,),
        concurrency=CONCURRENCY,
        timeout=2.0,
        attempts=12,
        pause=0.02,
        longest_pause=0.2,
    )


if __name__ == "__main__":
    url, path, n = sys.argv[1:4]
    with ExplanationStore(path) as store:
        fill(prompts(int(n)), endpoint(url), store)

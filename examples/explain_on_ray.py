"""Answer exported batch files from many machines: Ray hands the lines to workers, which call OpenAI-compatible servers.

    pip install 'ray[data]'
    lrrecsys explain export --data ... --llm endpoint:llama-3.1 --store llama.sqlite --folder out
    export LRRECSYS_BASE_URL=http://node1:8000/v1,http://node2:8000/v1
    python examples/explain_on_ray.py out answers.jsonl --workers 8
    lrrecsys explain import --store llama.sqlite answers.jsonl

A line that gets no answer comes back with its reason: the import records it, and the next export asks it again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

ATTEMPTS, IN_FLIGHT, SECONDS = 4, 64, 300.0


class Worker:
    """Sends the lines of a batch, many at a time, each to any of the servers.

    Parameters
    ----------
    urls
        Base URLs that end in /v1.
    secret
        Bearer token.
    """

    def __init__(self, urls: list[str], secret: str) -> None:
        self.urls = urls
        self.client = httpx.Client(headers={"Authorization": f"Bearer {secret}"}, timeout=SECONDS)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """One line of a result file for each line of a request file."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return {"text": list(pool.map(self.answer, batch["text"]))}

    def answer(self, line: str) -> str:
        """The server's answer to one line, or why there is none."""
        asked, first = json.loads(line), random.randrange(len(self.urls))
        found: dict[str, Any] = {}
        for attempt in range(ATTEMPTS):
            time.sleep(random.uniform(0, 2**attempt - 1))
            try:
                server = self.urls[(first + attempt) % len(self.urls)]
                said = self.client.post(server.removesuffix("/v1") + asked["url"], json=asked["body"])
                found = {"response": {"status_code": said.status_code, "body": said.json()}}
            except (httpx.HTTPError, ValueError) as error:
                found = {"error": {"message": str(error) or type(error).__name__}}
                continue
            if said.status_code < 500 and said.status_code != 429:
                break
        return json.dumps({"custom_id": asked["custom_id"], **found})


def main() -> None:
    """Read the request files of a folder, answer them on the cluster, and write one result file."""
    import ray

    from lrrecsys_core.explain.clients.secrets import Mask, read_key

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    urls = [url.strip() for url in os.environ["LRRECSYS_BASE_URL"].split(",")]
    key = read_key()
    mask = Mask(key, urls)  # servers quote keys in their complaints
    lines = ray.data.read_text([str(path) for path in sorted(options.folder.resolve().glob("requests-*.jsonl"))])
    answered = lines.repartition(4 * options.workers).map_batches(
        Worker,
        fn_constructor_args=(urls, key or "none"),
        batch_size=256,
        compute=ray.data.ActorPoolStrategy(size=options.workers),
    )
    with options.results.open("w", encoding="ascii") as out:
        for row in answered.iter_rows():
            out.write(mask.answer(row["text"]) + "\n")


if __name__ == "__main__":
    main()

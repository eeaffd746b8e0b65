"""An OpenAI-compatible server of one model, for as long as a benchmark needs one."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lrrecsys_core.explain.llm import LLM, Request, Result

Waiting = queue.Queue[tuple[Request, "Future[Result]"] | None]


@contextmanager
def serving(llm: LLM) -> Iterator[str]:
    """The address of a server on this machine; prompts that wait together are answered together."""
    waiting: Waiting = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages = tuple((one["role"], one["content"]) for one in asked["messages"])
            answer: Future[Result] = Future()
            stop = tuple(asked.get("stop") or ())
            waiting.put((Request(messages, max_tokens=asked["max_tokens"], stop=stop), answer))
            body = json.dumps(_completion(answer.result())).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threads = [
        threading.Thread(target=work, args=given, daemon=True)
        for work, given in ((server.serve_forever, ()), (_answer, (llm, waiting)))
    ]
    for thread in threads:
        thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        waiting.put(None)
        server.shutdown()
        server.server_close()


def _answer(llm: LLM, waiting: Waiting) -> None:
    while (first := waiting.get()) is not None:
        together = [first]
        while not waiting.empty() and (one := waiting.get()) is not None:
            together.append(one)
        # Prompts that are the same share a key, and are answered in turn.
        places: dict[str, list[Future[Result]]] = {}
        for request, answer in together:
            places.setdefault(request.key(llm.model), []).append(answer)
        for result in llm.complete([request for request, _ in together]):
            places[result.key].pop().set_result(result)


def _completion(result: Result) -> dict[str, object]:
    message = {"role": "assistant", "content": result.text}
    usage = {"prompt_tokens": result.prompt_tokens, "completion_tokens": result.completion_tokens}
    choice = {"index": 0, "message": message, "finish_reason": result.finish_reason}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "smollm2",
        "choices": [choice],
        "usage": usage,
    }

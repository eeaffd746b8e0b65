"""Calls in flight: which server takes which, and what happens when one goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.completions import CallFailed, read_answer
from lrrecsys_core.explain.llm import Request, Result

if TYPE_CHECKING:
    from lrrecsys_core.explain.clients.endpoint import Endpoint

FATAL = {401: "refuses the key", 403: "forbids the request", 404: "does not know the model or the address"}
MARK = "lrrecsys-"  # tells our request ids, where a server echoes them, from its own
HOPELESS = {400, 413, 415, 422}
LISTS = {  # what asks either interface for the likeliest tokens and their log-probabilities
    "/chat/completions": {"logprobs": True, "top_logprobs": 20}, "/completions": {"logprobs": 20},
}  # fmt: skip
NO_LISTS = HOPELESS | {403, 501}  # ways of refusing them; what they mean otherwise shows when asked again without


class Client:
    """Connections to one server, each an `httpx` client of its own: one client looks through all it has at every call.

    A connection on which anything goes wrong is never used again.

    Parameters
    ----------
    url
        Base URL. Over https, proxies and certificates are those of the environment; http is for one's own network.
    secret
        Sent as bearer token.
    """

    def __init__(self, url: str, secret: str) -> None:
        import httpx

        self._url = url.rstrip("/")
        secure = url.startswith("https://")
        self._options: dict[str, Any] = {
            "headers": {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"},
            "verify": httpx.create_ssl_context() if secure else False,
            "trust_env": secure,
            "timeout": None,
        }
        self._idle: list[httpx.AsyncClient] = []

    async def post(self, path: str, body: dict[str, Any], key: str) -> tuple[int, Mapping[str, str], bytes]:
        """Send one JSON body and read the whole answer: status, headers, content.

        Raises
        ------
        ConnectionError
            When there is no server, it breaks off, or what it sends is not HTTP.
        CallFailed
            When the answer is another request's.
        """
        import httpx

        connection = self._idle.pop() if self._idle else httpx.AsyncClient(**self._options)
        content = json.dumps(body, separators=(",", ":")).encode()
        try:
            answer = await connection.post(self._url + path, content=content, headers={"X-Request-Id": MARK + key})
            echoed = answer.headers.get("x-request-id", "")
            if echoed.startswith(MARK) and echoed != MARK + key:
                raise CallFailed("the server sent the answer of another request")
        except BaseException as error:  # a time-out above all: what still arrives must not meet the next request
            await connection.aclose()
            if isinstance(error, httpx.ConnectError):
                raise ConnectionError("no server answers") from None
            if isinstance(error, httpx.HTTPError):
                raise ConnectionError(str(error) or type(error).__name__) from None
            raise
        self._idle.append(connection)
        return answer.status_code, answer.headers, answer.content

    async def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            await self._idle.pop().aclose()


@dataclass
class Server:
    """One server and its present state; ``lists`` until it refuses to list the likeliest tokens."""

    client: Client
    address: str
    busy: int = 0
    rests_until: float = 0.0
    lists: bool = True

    def rest(self, seconds: float) -> None:
        """Send nothing more for so many seconds."""
        self.rests_until = max(self.rests_until, time.monotonic() + seconds)


class Calls:
    """Calls on an event loop in a thread of its own, since a notebook's main thread has one running already.

    Parameters
    ----------
    endpoint
        Settings, and the bodies of calls.
    urls
        Base URLs of the servers.
    answers
        Where results go; an InputError there ends the run.
    """

    def __init__(self, endpoint: Endpoint, urls: tuple[str, ...], answers: SimpleQueue[Result | InputError]) -> None:
        self._endpoint = endpoint
        self._answers = answers
        self._secret = os.environ.get("LRRECSYS_API_KEY") or os.environ.get("OPENAI_API_KEY") or ""
        self._servers = [self._server(url) for url in urls]
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def _server(self, url: str) -> Server:
        return Server(Client(url, self._secret or "none"), urlsplit(url).netloc.rpartition("@")[2])

    @property
    def addresses(self) -> str:
        """Hosts and ports, for messages."""
        return ", ".join(server.address for server in self._servers)

    def start(self, requests: list[Request]) -> None:
        """Set calls going; returns at once."""
        if requests:
            self._loop.call_soon_threadsafe(self._start, requests)

    def _start(self, requests: list[Request]) -> None:
        for request in requests:
            task = self._loop.create_task(self._answer(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Cancel what is in flight and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            with suppress(Exception):
                await server.client.close()

    async def _answer(self, request: Request) -> None:
        """Put one result into the queue, whatever happens."""
        key = request.key(self._endpoint.model)
        began = time.monotonic()
        result = Result(key, finish_reason="error")
        try:
            result = await self._try(request, result)
        except InputError as error:
            self._answers.put(error)
            return
        except Exception as error:  # a defect must fail one request visibly, not hang the run
            result.error = f"{type(error).__name__}: {error}"
        result.error = result.error and self._without_secret(result.error)
        result.seconds = time.monotonic() - began
        self._answers.put(result)

    def _without_secret(self, text: str) -> str:
        """Servers quote keys in their complaints."""
        return text.replace(self._secret, "***") if self._secret else text

    async def _try(self, request: Request, result: Result) -> Result:
        settings = self._endpoint
        for attempt in range(settings.attempts):
            try:
                last = 0 < attempt == settings.attempts - 1
                return await self._call(request, result.key, odds=bool(request.choices) and not last)
            except CallFailed as failure:
                result.error = str(failure)
                if not failure.again or attempt + 1 == settings.attempts:
                    break
                longest = min(settings.longest_pause, settings.pause * 2**attempt)
                await asyncio.sleep(max(failure.after, random.uniform(0, longest)))
        return result

    async def _call(self, request: Request, key: str, *, odds: bool) -> Result:
        """One call to the server that is least busy and not resting; a second one if it refuses to tell the odds."""
        while (first := min(server.rests_until for server in self._servers)) > time.monotonic():
            await asyncio.sleep(first - time.monotonic())
        server = min((one for one in self._servers if one.rests_until <= time.monotonic()), key=lambda one: one.busy)
        path, body = self._endpoint.body(request)
        listing = odds and server.lists
        status, headers, content = await self._post(server, path, body | LISTS[path] if listing else body, key)
        if listing and status in NO_LISTS:
            status, headers, content = await self._post(server, path, body, key)
            server.lists = status != 200
        if status in FATAL:
            raise InputError(
                f"{server.address} {FATAL[status]} (HTTP {status}): check LRRECSYS_BASE_URL, LRRECSYS_API_KEY "
                f"and the model name {self._endpoint.served_as!r}"
            )
        if status != 200:
            after = retry_after(headers)
            server.rest(after)
            detail = self._without_secret(content.decode("utf-8", "replace"))
            raise CallFailed(
                f"HTTP {status}: {' '.join(detail[:200].split())}", again=status not in HOPELESS, after=after
            )
        return read_answer(content, key, request.choices if listing else ())

    async def _post(
        self, server: Server, path: str, body: dict[str, Any], key: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a body and wait for the answer, but not longer than stated.

        Raises
        ------
        CallFailed
            When there is no answer.
        """
        server.busy += 1
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                return await server.client.post(path, body, key)
        except TimeoutError:
            raise CallFailed(f"no answer within {self._endpoint.timeout:g} s") from None
        except ConnectionError as error:
            server.rest(self._endpoint.pause)
            raise CallFailed(f"connection failed: {error}") from None
        finally:
            server.busy -= 1


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds a server asks to wait (``Retry-After`` in either form, or ``retry-after-ms``); 0 when it does not say."""
    stated = headers.get("retry-after", "")
    with suppress(ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000 if "retry-after-ms" in headers else float(stated))
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(stated).timestamp() - time.time())
    return 0.0

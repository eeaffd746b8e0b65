"""Calls in flight: which server takes which, and what happens when one goes wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.completions import CallFailed, read_answer, reason_of
from lrrecsys_core.explain.clients.secrets import Mask, authorization, read_key
from lrrecsys_core.explain.llm import Request, Result

if TYPE_CHECKING:
    from lrrecsys_core.explain.clients.endpoint import Endpoint

FATAL = {  # unless the model is known to answer: then 403 and 404 are about one prompt
    401: "refuses the key", 403: "forbids the request", 404: "does not know the model or the address",
}  # fmt: skip
LONGEST_COMPLAINT = 1000
MARK = "lrrecsys-"  # tells our request ids, where a server echoes them, from its own
HOPELESS = {400, 413, 415, 422}  # for the prompt's own sake, by a server that is known to answer others
LISTS = {  # what asks either interface for the likeliest tokens and their log-probabilities
    "/chat/completions": {"logprobs": True, "top_logprobs": 20}, "/completions": {"logprobs": 20},
}  # fmt: skip
NO_LISTS = HOPELESS | {403, 501}  # ways of refusing them; what they mean otherwise shows when asked again without


@dataclass
class Arrived:
    """A result, and how the last call for it failed where it gave no text (None for a defect of ours)."""

    result: Result
    failure: CallFailed | None = None

    @property
    def unsure(self) -> bool:
        """Whether the server refuses one prompt or everything: nobody knows before the first success."""
        return self.failure is not None and self.failure.status in HOPELESS | FATAL.keys()

    @property
    def outage(self) -> bool:
        """Whether something may be wrong with the server rather than with the prompt."""
        failure = self.failure
        return self.result.text is None and (failure is None or failure.again or failure.status in FATAL)


class Client:
    """Connections to one server, each an `httpx` client of its own: one client looks through all it has at every call.

    A connection on which anything goes wrong is never used again.

    Parameters
    ----------
    url
        Base URL. Over https, proxies and certificates are those of the environment; http is for one's own network.
    key
        Sent as bearer token, unless the address has a user and a password.
    """

    def __init__(self, url: str, key: str) -> None:
        import httpx

        self._url, header = authorization(url, key)
        secure = url.startswith("https://")
        self._options: dict[str, Any] = {
            "headers": {"Authorization": header, "Content-Type": "application/json"},
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
            url = self._url._replace(path=self._url.path.rstrip("/") + path).geturl()
            answer = await connection.post(url, content=content, headers={"X-Request-Id": MARK + key})
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

    Raises
    ------
    InputError
        When the key in the environment can be none.
    """

    def __init__(self, endpoint: Endpoint, urls: tuple[str, ...], answers: SimpleQueue[Arrived | InputError]) -> None:
        self._endpoint = endpoint
        self._answers = answers
        key = read_key()
        self._mask = Mask(key, urls)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log each address, and a key in it
        self._servers = [Server(Client(url, key), urlsplit(url).netloc.rpartition("@")[2]) for url in urls]
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def addresses(self) -> str:
        """Host and port of the first server, for messages, and how many more there are."""
        more = f" and {len(self._servers) - 1} more" if len(self._servers) > 1 else ""
        return self._servers[0].address + more

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
        arrived = Arrived(Result(key, finish_reason="error"))
        try:
            arrived = await self._try(request, arrived)
        except InputError as error:
            self._answers.put(error)
            return
        except Exception as error:  # a defect must fail one request visibly, not hang the run
            arrived.result.error = f"{type(error).__name__}: {error}"
        result = arrived.result
        result.error = result.error and self._mask.complaint(result.error)[:LONGEST_COMPLAINT]
        result.text = result.text and self._mask.answer(result.text)
        result.seconds = time.monotonic() - began
        self._answers.put(arrived)

    async def _try(self, request: Request, arrived: Arrived) -> Arrived:
        settings = self._endpoint
        for attempt in range(settings.attempts):
            try:
                last = 0 < attempt == settings.attempts - 1
                odds = bool(request.choices) and not last
                return Arrived(await self._call(request, arrived.result.key, odds=odds))
            except CallFailed as failure:
                arrived.result.error, arrived.failure = str(failure), failure
                if not failure.again or attempt + 1 == settings.attempts:
                    break
                if not failure.rests or self._shortest_rest() > 0:
                    await asyncio.sleep(random.uniform(0, min(settings.longest_pause, settings.pause * 2**attempt)))
        return arrived

    def _shortest_rest(self) -> float:
        """Seconds until some server may be asked; 0 or less when one may be now."""
        return min(server.rests_until for server in self._servers) - time.monotonic()

    async def _free_server(self) -> Server:
        """The least busy of the servers that do not rest; where all do, the first that is to be free again.

        Raises
        ------
        InputError
            When that takes longer than a request may wait.
        """
        rest = self._shortest_rest()
        if rest > self._endpoint.longest_pause:
            soonest = min(self._servers, key=lambda one: one.rests_until)
            raise InputError(
                f"{soonest.address} asks to be left alone for {rest:,.0f} s, longer than the "
                f"{self._endpoint.longest_pause:g} s that a request may wait: run the same command again later"
            )
        if rest > 0:
            await asyncio.sleep(rest)
        now = time.monotonic()
        return min(self._servers, key=lambda one: (max(one.rests_until - now, 0.0), one.busy))

    async def _call(self, request: Request, key: str, *, odds: bool) -> Result:
        """One call to a server that does not rest; a second one if it refuses to tell the odds."""
        server = await self._free_server()
        path, body = self._endpoint.body(request)
        listing = odds and server.lists
        status, headers, content = await self._post(server, path, body | LISTS[path] if listing else body, key)
        if listing and status in NO_LISTS:
            status, headers, content = await self._post(server, path, body, key)
            server.lists = status != 200
        if status == 200:
            choices = request.choices if listing else ()
            try:
                return read_answer(self._mask.answer(as_text(content)), key, choices)
            except CallFailed:  # which quotes from the answer: once more, with any key masked before it is cut
                return read_answer(self._mask.complaint(as_text(content)), key, choices)
        after = retry_after(headers)
        server.rest(after)
        said: object = self._mask.complaint(as_text(content))
        with suppress(ValueError, RecursionError):
            said = json.loads(str(said))
        failed = CallFailed(
            f"HTTP {status}: {reason_of(said)}",
            again=status not in HOPELESS | FATAL.keys(), rests=after > 0, status=status,
        )  # fmt: skip
        if status == 401:
            raise self.refusal(server.address, failed)
        raise failed

    def refusal(self, address: str, failed: CallFailed) -> InputError:
        """Why nothing can be asked there."""
        if failed.status in HOPELESS:
            return InputError(
                f"{address} has refused every request ({failed}): check the model name {self._endpoint.served_as!r} "
                "(--served-as), how it is asked (--chat-format) and that prompts fit its context"
            )
        return InputError(
            f"{address} {FATAL[failed.status]} ({failed}): check LRRECSYS_BASE_URL, LRRECSYS_API_KEY and the model "
            f"name {self._endpoint.served_as!r}"
        )

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
            raise CallFailed(f"connection failed: {error}", rests=True) from None
        finally:
            server.busy -= 1


def as_text(content: bytes) -> str:
    """Bytes as text, in whatever encoding of JSON."""
    return content.decode(json.detect_encoding(content), "replace")


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds a server asks to wait; 0 when it does not say.

    ``Retry-After`` in seconds, with a unit or as a date, or ``retry-after-ms``.
    """
    for stated in (headers.get("retry-after-ms", "") + "ms", headers.get("retry-after", "")):
        seconds = stated.strip().lower().removesuffix("s").removesuffix("m")
        with suppress(ValueError):
            return max(0.0, float(seconds) / (1000 if stated.strip().lower().endswith("ms") else 1))
        with suppress(ValueError, TypeError, OverflowError):
            date = parsedate_to_datetime(stated)
            return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
    return 0.0

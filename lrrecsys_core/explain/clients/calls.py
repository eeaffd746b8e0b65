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
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.wire import PlainClient
from lrrecsys_core.explain.llm import Request, Result

if TYPE_CHECKING:
    from lrrecsys_core.explain.clients.endpoint import Endpoint

FATAL = {401: "refuses the key", 403: "forbids the request", 404: "does not know the model or the address"}
MARK = "lrrecsys-"  # tells our request ids, where a server echoes them, from its own
HOPELESS = {400, 413, 415, 422}


class CallFailed(Exception):
    """One call failed: why, whether to try again, and after how many seconds at least."""

    def __init__(self, reason: str, *, again: bool = True, after: float = 0.0) -> None:
        super().__init__(reason)
        self.again = again
        self.after = after


class Client(Protocol):
    """Sends one call to one server."""

    async def post(self, path: str, body: dict[str, Any], name: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and content; raises ConnectionError or TimeoutError."""

    async def close(self) -> None:
        """Let go of connections."""


class HostedClient:
    """The `openai` client: TLS, proxies and whatever hosted services need; retries are ours.

    Parameters
    ----------
    url
        Base URL.
    secret
        The key.
    timeout
        Seconds.
    """

    def __init__(self, url: str, secret: str, timeout: float) -> None:
        from openai import AsyncOpenAI

        self._client = AsyncOpenAI(base_url=url, api_key=secret, max_retries=0, timeout=timeout)

    async def post(self, path: str, body: dict[str, Any], name: str) -> tuple[int, dict[str, str], bytes]:
        """As :meth:`Client.post`."""
        import openai

        calls: Any = self._client.chat.completions if path == "/chat/completions" else self._client.completions
        named = {name: body[name] for name in ("model", "messages", "prompt") if name in body}
        rest = {name: value for name, value in body.items() if name not in named}
        try:
            raw = await calls.with_raw_response.create(**named, extra_body=rest, extra_headers={"X-Request-Id": name})
        except openai.APIStatusError as error:
            return error.response.status_code, dict(error.response.headers), error.response.text.encode()
        except openai.APITimeoutError:
            raise TimeoutError from None
        except openai.APIConnectionError as error:
            raise ConnectionError(str(error.__cause__ or error)) from None
        return raw.status_code, dict(raw.headers), raw.content

    async def close(self) -> None:
        """As :meth:`Client.close`."""
        await self._client.close()


@dataclass
class Server:
    """One server and its present state."""

    client: Client
    address: str
    busy: int = 0
    rests_until: float = 0.0

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
        secret, timeout = self._secret or "none", self._endpoint.timeout
        plain = url.startswith("http://") and not self._endpoint.hosted
        client: Client = PlainClient(url, secret) if plain else HostedClient(url, secret, timeout)
        return Server(client, urlsplit(url).netloc.rpartition("@")[2])

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
                return await self._call(request, result.key)
            except CallFailed as failure:
                result.error = str(failure)
                if not failure.again or attempt + 1 == settings.attempts:
                    break
                longest = min(settings.longest_pause, settings.pause * 2**attempt)
                await asyncio.sleep(max(failure.after, random.uniform(0, longest)))
        return result

    async def _call(self, request: Request, key: str) -> Result:
        """One call to the server that is least busy and not resting."""
        while (first := min(server.rests_until for server in self._servers)) > time.monotonic():
            await asyncio.sleep(first - time.monotonic())
        server = min((one for one in self._servers if one.rests_until <= time.monotonic()), key=lambda one: one.busy)
        path, body = self._endpoint.body(request)
        server.busy += 1
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                status, headers, content = await server.client.post(path, body, MARK + key)
        except TimeoutError:
            raise CallFailed(f"no answer within {self._endpoint.timeout:g} s") from None
        except ConnectionError as error:
            server.rest(self._endpoint.pause)
            raise CallFailed(f"connection failed: {error}") from None
        finally:
            server.busy -= 1
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
        echoed = headers.get("x-request-id", "")
        if echoed.startswith(MARK) and echoed != MARK + key:
            raise CallFailed("the server sent the answer of another request")
        return read_answer(content, key)


def read_answer(content: bytes, key: str) -> Result:
    """The result inside a chat or text completion.

    Raises
    ------
    CallFailed
        When the body is not whole JSON, has no choice, or the text is empty.
    """
    try:
        answer = json.loads(content)
        choice = answer["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise CallFailed(f"the answer is not a completion: {content[:80]!r}") from None
    if not isinstance(text, str) or not text.strip():
        raise CallFailed(f"the answer is empty (finish reason {choice.get('finish_reason')!r})")
    usage = answer.get("usage") or {}
    return Result(
        key,
        text,
        str(choice.get("finish_reason") or "stop"),
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
    )


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds a server asks to wait (``Retry-After`` in either form, or ``retry-after-ms``); 0 when it does not say."""
    stated = headers.get("retry-after", "")
    with suppress(ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000 if "retry-after-ms" in headers else float(stated))
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(stated).timestamp() - time.time())
    return 0.0

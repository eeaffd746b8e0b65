"""HTTP/1.1 to servers on one's own network, as lean as it can be: several times the rate of a general client."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, list[tuple[str, str]], bytes, int]
"""Status, headers (names in lower case), body, and the number of bytes they took."""


class PlainClient:
    """Kept-alive plain connections to one server, one request on each at a time; no TLS, proxies or redirects.

    A connection on which anything looks wrong, a stray byte after an answer included, is never used again.

    Parameters
    ----------
    url
        Base URL, http only.
    secret
        Sent as bearer token.
    """

    def __init__(self, url: str, secret: str) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "", parts.port or 80)
        self._path = parts.path.rstrip("/")
        self._headers = (
            f"Host: {parts.netloc.rpartition('@')[2]}\r\nAuthorization: Bearer {secret}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\n"
        )
        self._idle: list[_Connection] = []

    async def post(self, path: str, body: dict[str, Any], name: str) -> tuple[int, dict[str, str], bytes]:
        """Send one JSON body and read the whole answer: status, headers (names in lower case), content.

        Raises
        ------
        ConnectionError
            When there is no server, it breaks off, or what it sends is not HTTP/1.1.
        """
        content = json.dumps(body, separators=(",", ":")).encode()
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._headers}X-Request-Id: {name}\r\n"
        message = f"{head}Content-Length: {len(content)}\r\n\r\n".encode("latin-1") + content
        while True:
            reused = bool(self._idle)
            connection = self._idle.pop() if reused else await self._open()
            if connection.closed:
                continue
            try:
                status, headers, answer, _ = await connection.ask(message)
                break
            except BaseException as error:
                connection.close()
                if isinstance(error, ConnectionError) and reused and not connection.buffer:
                    continue  # the server had closed it while idle: nothing of this request was answered
                if isinstance(error, ValueError):
                    raise ConnectionError(str(error)) from error
                raise  # a time-out above all: what still arrives must not meet the next request
        if not connection.closed:
            self._idle.append(connection)
        return status, dict(headers), answer

    async def _open(self) -> _Connection:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, *self._place)
        except OSError as error:
            raise ConnectionError(f"no server answers at {self._place[0]}:{self._place[1]}") from error
        return connection

    async def close(self) -> None:
        """Close every idle connection."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.buffer = bytearray()
        self.closed = False
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, message: bytes) -> asyncio.Future[Answer]:
        self.buffer.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._read(ended=False)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._read(ended=True)

    def _read(self, *, ended: bool) -> None:
        if self._answer is None or self._answer.done():
            self.close()
            return
        try:
            answer = parse_answer(bytes(self.buffer), ended=ended)
        except ValueError as error:
            self._answer.set_exception(error)
            return
        if answer is not None:
            if answer[3] < len(self.buffer) or dict(answer[1]).get("connection", "").lower() == "close":
                self.close()
            self._answer.set_result(answer)
        elif ended:
            self._answer.set_exception(ConnectionError("the server broke off its answer"))

    def close(self) -> None:
        self.closed = True
        self._transport.close()


def parse_answer(data: bytes, *, ended: bool) -> Answer | None:
    """The HTTP/1.1 answer at the start of ``data``, or None while it is incomplete.

    Parameters
    ----------
    data
        All bytes received so far.
    ended
        Whether the server has closed the connection, which ends a body of unstated length.

    Raises
    ------
    ValueError
        When the bytes are no HTTP/1.1 answer.
    """
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        if data and not (b"HTTP/1." + data[7:]).startswith(data):
            raise ValueError(f"the answer is not HTTP/1.1: it starts with {data[:20]!r}")
        return None
    first, *rest = head.split(b"\r\n")
    if not first.startswith(b"HTTP/1.") or not first[9:12].isdigit():
        raise ValueError(f"the answer is not HTTP/1.1: it starts with {first[:20]!r}")
    pairs = (line.decode("latin-1").partition(":") for line in rest)
    headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
    named = dict(headers)
    if "chunked" in named.get("transfer-encoding", "").lower():
        chunks = read_chunks(body)
        content, used = (None, 0) if chunks is None else chunks
    elif "content-length" in named:
        used = int(named["content-length"])
        content = body[:used] if len(body) >= used else None
    else:
        content, used = (body, len(body)) if ended else (None, 0)
    return None if content is None else (int(first[9:12]), headers, content, len(head) + 4 + used)


def read_chunks(body: bytes) -> tuple[bytes, int] | None:
    """Content of a chunked body and the bytes it took, or None while it is incomplete."""
    content: list[bytes] = []
    at = 0
    while (end := body.find(b"\r\n", at)) >= 0:
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            ended = body.find(b"\r\n\r\n", end)
            return (b"".join(content), ended + 4) if ended >= 0 else None
        at = end + 2 + size + 2
        if len(body) < at:
            return None
        content.append(body[end + 2 : at - 2])
    return None

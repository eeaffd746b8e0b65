"""A chat server that answers everything at once with the same sentence; prints its port."""

from __future__ import annotations

import asyncio
import json

TEXT = "The consumer watched this movie because the consumer likes sea voyages and the movie is about one."


def answer() -> bytes:
    """The whole HTTP answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 400, "completion_tokens": 20, "total_tokens": 420}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    body = json.dumps(whole).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Instant(asyncio.Protocol):
    """Counts whole requests and answers each."""

    whole = answer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.waiting = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            length = self.waiting[:end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            stop = end + 4 + int(length or 0)
            if len(self.waiting) < stop:
                return
            self.waiting = self.waiting[stop:]
            self.transport.write(self.whole)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

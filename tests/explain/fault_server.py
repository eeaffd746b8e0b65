"""A server of OpenAI's chat interface that fails in every way a server can, by a seed; run as a process of its own.

    python fault_server.py LOG --faults 0.3 --seed 1

prints its port. Each line of LOG is "KEY OUTCOME" and is complete before the answer's last byte leaves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path

KINDS = (
    "rate limit", "server error", "time-out", "truncated", "broken off", "wrong id", "empty", "twice", "slow drip",
    "not http", "not a completion",
)  # fmt: skip


def answer_to(prompt: str) -> str:
    """What a sound server answers: a function of the prompt, so that no answer can pass for another's."""
    return f"The consumer watched this movie because the prompt ended in {prompt[-24:]}"


def completion(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(whole).encode()


def http(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body: bytes, header: str) -> bytes:
    half = len(body) // 2
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{header}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + parts + b"0\r\n\r\n"


class FaultServer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.log = Path(options.log)
        self.calls: Counter[str] = Counter()
        self.in_flight: dict[str, str] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                key, prompt = (
                    fields.get("x-request-id", "unnamed").removeprefix("lrrecsys-"),
                    body["messages"][-1]["content"],
                )
                if self.options.secret:
                    assert fields["authorization"] == f"bearer {self.options.secret}".lower()
                self.in_flight[key] = prompt
                try:
                    keep = await self.answer(key, prompt, writer)
                finally:
                    self.in_flight.pop(key, None)
                if not keep:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, key: str, prompt: str, writer: asyncio.StreamWriter) -> bool:
        """Answer one call, soundly or not; returns whether the connection stays open."""
        self.calls[key] += 1
        draw = random.Random(f"{self.options.seed} {key} {self.calls[key]}")
        sound = completion(answer_to(prompt))
        await asyncio.sleep(draw.uniform(0, self.options.delay))
        if "HOPELESS" in prompt:
            kind = "hopeless"
        elif draw.random() < self.options.faults:
            kind = draw.choice(KINDS)
        else:
            kind = "ok"
        if kind == "wrong id" and len(self.in_flight) < 2:
            kind = "ok"
        if kind not in ("slow drip", "time-out"):
            with self.log.open("a") as log:
                log.write(f"{key} {kind}\n")
        if kind == "ok":
            echo = f"X-Request-Id: lrrecsys-{key}"
            writer.write(chunked(sound, echo) if draw.random() < 0.2 else http(200, sound, echo))
        elif kind == "hopeless":
            secret = self.options.secret
            writer.write(http(400, b'{"error": {"message": "no such thing, Bearer %s"}}' % secret.encode()))
        elif kind == "rate limit":
            writer.write(http(429, b"{}", "Retry-After: 0.05"))
        elif kind == "server error":
            writer.write(http(500, b'{"error": "out of luck"}'))
        elif kind == "time-out":
            await asyncio.sleep(60)
        elif kind == "truncated":
            writer.write(http(200, sound[: len(sound) // 2]))
        elif kind == "broken off":
            writer.write(http(200, sound[:20], length=len(sound)))
            return False
        elif kind == "wrong id":
            other = draw.choice([one for one in self.in_flight if one != key])
            writer.write(http(200, completion(answer_to(self.in_flight[other])), f"X-Request-Id: lrrecsys-{other}"))
        elif kind == "empty":
            writer.write(http(200, completion("  ")))
        elif kind == "twice":
            writer.write(http(200, sound, f"X-Request-Id: lrrecsys-{key}") * 2)
        elif kind == "slow drip":
            for byte in http(200, sound):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.2)
        elif kind == "not http":
            writer.write(b"SSH-2.0-whatever\r\n\r\n")
            return False
        elif kind == "not a completion":
            writer.write(http(200, b'{"choices": [{"message": {"content": null}}]}'))
        await writer.drain()
        return True


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("--faults", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.01)
    parser.add_argument("--secret", default="")
    server = FaultServer(parser.parse_args())
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 24)
    print(listening.sockets[0].getsockname()[1], flush=True)
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""Opens WebSockets and says `open`; then idles until a line of standard input, the number of those
that shall be busy and for how many seconds, and prints messages, p50 and p99 in milliseconds.

websockets.py PORT COUNT
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PAUSE = 0.1
"""Seconds between two messages on each that is busy."""
TEXT = b"a message of some bytes"


async def main(port: int, count: int) -> None:
    context = ssl._create_unverified_context()  # noqa: SLF001 - it is signed by itself
    at_once = asyncio.Semaphore(32)
    sockets = await asyncio.gather(*(_open(port, context, at_once) for _ in range(count)))
    print("open", flush=True)
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    busy, seconds = line.split()
    times: list[float] = []
    end = time.monotonic() + float(seconds)
    await asyncio.gather(*(_ask(each, end, times) for each in sockets[: int(busy)]))
    times.sort()
    p50, p99 = (1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.99))
    print(json.dumps({"messages": len(times), "p50_ms": p50, "p99_ms": p99}), flush=True)
    os._exit(0)  # closing thousands in order takes long and shows nothing


async def _open(port: int, context: ssl.SSLContext, at_once: asyncio.Semaphore) -> Streams:
    async with at_once:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost", limit=2048
        )
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            raise RuntimeError(head.decode(errors="replace").splitlines()[0])
        return reader, writer


async def _ask(streams: Streams, end: float, times: list[float]) -> None:
    reader, writer = streams
    frame = bytes([0x81, 0x80 | len(TEXT), 0, 0, 0, 0]) + TEXT
    while time.monotonic() < end:
        begun = time.monotonic()
        writer.write(frame)
        await reader.readexactly(2 + len(TEXT))
        times.append(time.monotonic() - begun)
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

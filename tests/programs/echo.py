"""An HTTP/1.1 server on $PORT that says who answered, and misbehaves when told to.

Answers every request with JSON: pid, port, instance, method, path, headers, body_bytes, and
`open` and `most`, the requests being answered now and at most so far, its check not counted.

In the query: `sleep=0.3` waits first, `until=file` waits for the file, `status=503` answers so,
`close=1` hangs up without an answer, `exit=3` ends the program, `size=1000` pads the answer.
`/healthz` is its check. A WebSocket's messages come back as JSON: pid, text.

In the environment, each also for one instance alone (`SLEEP_1=0.2`, counted from 0):
  SLEEP=s          every answer but the check's takes so long
  STATUS=503       every answer but the check's has this status
  START_DELAY=s    listens only after so long
  NEVER_LISTEN=1   runs, and listens nowhere
  LISTEN_ON=port   listens there, whatever $PORT says
  UNHEALTHY=file   the check fails while the file exists
  HANG_AFTER=n     stops answering anything after so many answers
  CRASH=1          exits with code 7 at once, after saying so
  CRASH_AFTER=s    exits with code 7 so long after the start
  LEAK=bytes       keeps so much memory for every answer
  IGNORE_SIGTERM=1 goes on
  DIE_AT_ONCE=1    ends at SIGTERM without finishing what it has
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import frames

INSTANCE = int(os.environ.get("NODE_APP_INSTANCE", "0"))
PORT = int(os.environ.get("PORT", "3000"))


async def main() -> None:
    print(f"instance {INSTANCE} starts as pid {os.getpid()}", flush=True)
    if switch("CRASH"):
        die(7)
    await asyncio.sleep(float(switch("START_DELAY", "0")))
    program = Program()
    if not switch("NEVER_LISTEN"):
        await program.listen(int(switch("LISTEN_ON", str(PORT))))
    loop = asyncio.get_running_loop()
    if switch("IGNORE_SIGTERM"):
        loop.add_signal_handler(signal.SIGTERM, print, "SIGTERM is ignored")
    elif not switch("DIE_AT_ONCE"):
        loop.add_signal_handler(signal.SIGTERM, program.leave)
    if crash_after := switch("CRASH_AFTER"):
        loop.call_later(float(crash_after), die, 7)
    await program.left.wait()


def switch(name: str, default: str = "") -> str:
    return os.environ.get(f"{name}_{INSTANCE}", os.environ.get(name, default))


def die(code: int) -> None:
    print(f"ends with code {code}", file=sys.stderr, flush=True)
    os._exit(code)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body_bytes: int


class Program:
    def __init__(self) -> None:
        self.left = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._idle: set[asyncio.StreamWriter] = set()
        self._open = self._most = self._answers = 0
        self._kept: list[bytes] = []

    async def listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", port, backlog=1024)

    def leave(self) -> None:
        """Listen no more, finish what is open, then end."""
        if self._server:
            self._server.close()
        for writer in self._idle:
            writer.close()
        if not self._open:
            self.left.set()
        self._server = None

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._idle.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while request := await read_request(reader):
                self._idle.discard(writer)
                if key := request.headers.get("sec-websocket-key"):
                    await frames.echo(key, reader, writer)
                    break
                counts = int(request.path != "/healthz")
                self._open += counts
                self._most = max(self._most, self._open)
                try:
                    await self._answer(request, writer)
                finally:
                    self._open -= counts
                if self._server is None or writer.is_closing():
                    break
                self._idle.add(writer)
        self._idle.discard(writer)
        writer.close()
        if self._server is None and not self._open:
            self.left.set()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if "exit" in request.query:
            die(int(request.query["exit"]))
        if request.query.get("close"):
            writer.transport.abort()
            return
        self._answers += 1
        if self._answers > int(switch("HANG_AFTER", str(sys.maxsize))):
            await asyncio.Event().wait()
        self._kept.append(bytes(int(switch("LEAK", "0"))))
        status = await self._wait_and_choose_status(request)
        facts = {
            "pid": os.getpid(),
            "port": PORT,
            "instance": INSTANCE,
            "method": request.method,
            "path": request.path,
            "headers": request.headers,
            "body_bytes": request.body_bytes,
            "open": self._open,
            "most": self._most,
            "padding": "." * int(request.query.get("size", "0")),
        }
        body = json.dumps(facts).encode()
        head = (
            f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"X-Instance: {INSTANCE}\r\nX-Pid: {os.getpid()}\r\n\r\n"
        )
        writer.write(head.encode() + (b"" if request.method == "HEAD" else body))
        await writer.drain()

    async def _wait_and_choose_status(self, request: Request) -> int:
        if request.path == "/healthz":
            unhealthy = switch("UNHEALTHY")
            return 503 if unhealthy and Path(unhealthy).exists() else 200  # noqa: ASYNC240 - a stat
        if delay := float(request.query.get("sleep", switch("SLEEP", "0"))):
            await asyncio.sleep(delay)
        while "until" in request.query and not Path(request.query["until"]).exists():  # noqa: ASYNC110, ASYNC240 - a stat
            await asyncio.sleep(0.02)
        return int(request.query.get("status", switch("STATUS", "200")))


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request with its body read and counted; None when the client has left."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    url = urlsplit(target)
    body_bytes = await read_body(reader, headers)
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, body_bytes)


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> int:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        total = 0
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
            total += size
        await reader.readline()
        return total
    length = left = int(headers.get("content-length", "0"))
    while left:
        chunk = await reader.read(min(left, 65536))
        if not chunk:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(chunk)
    return length


if __name__ == "__main__":
    asyncio.run(main())

"""A bounded load on a server of this machine, and an honest account of what was lost.

Every request is sent once: nothing is tried again, so what the server lost is what is counted.
A connection that the server closed while no request was on it is replaced, as any client does.
With a rate, latency counts from when a request was due, not from when it could be sent, so that
a stall is seen by all the requests it held up.

    python tests/load.py https://app.localhost:8443/ --ca root.pem --rate 200 --seconds 10

prints the report as JSON, also when it is told to stop early (SIGTERM or SIGINT).
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import signal
import ssl
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

LONGEST_RUN = 900.0
MOST_CONNECTIONS = 2000
BAD_STATUS = 400
UPLOAD_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Work:
    url: str
    address: str = "127.0.0.1"
    """Where to connect to, whatever the name in the URL resolves to; loopback only."""
    ca: str | None = None
    """PEM file of the authority that the server's certificate must come from."""
    connections: int = 16
    rate: float | None = None
    """Requests a second over all connections; without it every connection asks without pause."""
    seconds: float = 10.0
    requests: int | None = None
    posts: float = 0.0
    """Share of the requests that are POST, from 0 to 1."""
    body: int = 1024
    """Bytes in a POST."""
    timeout: float = 10.0
    websockets: int = 0
    websocket_path: str = "/"
    upload_rate: int = 0
    """Bytes a second of one upload after the other; each lasts `upload_seconds`."""
    upload_seconds: float = 5.0
    upload_path: str = "/"

    def __post_init__(self) -> None:
        if not ipaddress.ip_address(self.address).is_loopback:
            raise ValueError(f"{self.address} is not this machine")
        if not 0 < self.seconds <= LONGEST_RUN or not 0 < self.connections <= MOST_CONNECTIONS:
            raise ValueError("more than this load generator is for")


@dataclass
class Report:
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """By method and kind: `GET refused`, `POST reset`, `GET timeout`, `GET 502`."""
    answers: Counter[str] = field(default_factory=Counter)
    """Good answers by the X-Pid they carried."""
    instances: Counter[str] = field(default_factory=Counter)
    """Good answers by the X-Instance they carried."""
    seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    worst_ms: float = 0.0
    longest_gap_s: float = 0.0
    """The longest time without a good answer."""
    first_failures: list[str] = field(default_factory=list)
    messages: int = 0
    """WebSocket messages that came back."""
    uploads: int = 0
    uploaded: int = 0
    """Bytes."""

    @property
    def lost(self) -> int:
        return self.failed.total()


class Load:
    def __init__(self, work: Work) -> None:
        url = urlsplit(work.url)
        self._work, self._host = work, url.hostname or ""
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._ssl = _tls(work.ca) if url.scheme == "https" else None
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._get = f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {work.body}\r\n\r\n"
        self._post = head.encode() + b"x" * work.body
        self._netloc = url.netloc
        self._report = Report()
        self._latencies: list[float] = []
        self._turns = 0
        self._begun = self._end = self._last_good = 0.0

    async def run(self) -> Report:
        self._begun = self._last_good = time.monotonic()
        self._end = self._begun + self._work.seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self._work.connections):
                group.create_task(self._ask_by_turns())
            for _ in range(self._work.websockets):
                group.create_task(self._talk())
            if self._work.upload_rate:
                group.create_task(self._upload())
        return self._finished()

    def stop(self) -> None:
        """End soon: what was sent is still waited for."""
        self._end = 0.0

    # requests

    async def _ask_by_turns(self) -> None:
        connection: Connection | None = None
        while (due := await self._next_turn()) is not None:
            method = "POST" if due[0] * 61 % 100 < self._work.posts * 100 else "GET"
            try:
                async with asyncio.timeout(self._work.timeout):
                    if connection is None or connection.is_gone:
                        connection = await self._connect()
                    answer = await connection.ask(self._post if method == "POST" else self._get)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self._failed(method, _kind(error))
                if connection:
                    connection.close()
                connection = None
            else:
                self._answered(method, answer, due[1])
        if connection:
            connection.close()

    async def _next_turn(self) -> tuple[int, float] | None:
        """The number of the request to send now and the time it was due; None at the end."""
        turn, now = self._turns, time.monotonic()
        due = self._begun + turn / self._work.rate if self._work.rate else now
        if due >= self._end or turn == self._work.requests:
            return None
        self._turns += 1
        if due > now:
            await asyncio.sleep(due - now)
        return turn, due

    async def _connect(self) -> Connection:
        reader, writer = await asyncio.open_connection(
            self._work.address,
            self._port,
            ssl=self._ssl,
            server_hostname=self._host if self._ssl else None,
        )
        return Connection(reader, writer)

    def _answered(self, method: str, answer: Answer, due: float) -> None:
        if answer.status >= BAD_STATUS:
            self._failed(method, str(answer.status))
            return
        now = time.monotonic()
        self._report.requests += 1
        self._report.answers[answer.pid] += 1
        self._report.instances[answer.instance] += 1
        self._latencies.append(now - due)
        self._report.longest_gap_s = max(self._report.longest_gap_s, now - self._last_good)
        self._last_good = now

    def _failed(self, method: str, kind: str) -> None:
        self._report.requests += 1
        self._report.failed[f"{method} {kind}"] += 1
        if len(self._report.first_failures) < 20:
            at = time.monotonic() - self._begun
            self._report.first_failures.append(f"{at:.3f}s {method} {kind}")

    # what stays open

    async def _talk(self) -> None:
        scheme = "wss" if self._ssl else "ws"
        uri = f"{scheme}://{self._netloc}{self._work.websocket_path}"
        while time.monotonic() < self._end:
            try:
                async with connect(
                    uri, host=self._work.address, port=self._port, ssl=self._ssl, proxy=None
                ) as socket:
                    while time.monotonic() < self._end:
                        await socket.send("hello")
                        await asyncio.wait_for(socket.recv(), self._work.timeout)
                        self._report.messages += 1
                        await asyncio.sleep(0.1)
            except (OSError, WebSocketException, TimeoutError) as error:
                self._failed("WebSocket", _kind(error))
                await asyncio.sleep(0.2)

    async def _upload(self) -> None:
        size = int(self._work.upload_rate * self._work.upload_seconds)
        pause = UPLOAD_CHUNK / self._work.upload_rate
        head = (
            f"POST {self._work.upload_path} HTTP/1.1\r\nHost: {self._netloc}\r\n"
            f"Content-Length: {size}\r\nConnection: close\r\n\r\n"
        )
        while time.monotonic() < self._end:
            try:
                connection = await self._connect()
                answer = await connection.ask(head.encode(), rest=size, pause=pause)
                if answer.status >= BAD_STATUS:
                    self._failed("upload", str(answer.status))
                else:
                    self._report.uploads += 1
                    self._report.uploaded += size
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self._failed("upload", _kind(error))
                await asyncio.sleep(0.2)

    def _finished(self) -> Report:
        report, now = self._report, time.monotonic()
        report.seconds = now - self._begun
        if self._work.connections:
            report.longest_gap_s = max(report.longest_gap_s, now - self._last_good)
        if self._latencies:
            ordered = sorted(self._latencies)
            report.p50_ms = ordered[len(ordered) // 2] * 1000
            report.p99_ms = ordered[len(ordered) * 99 // 100] * 1000
            report.worst_ms = ordered[-1] * 1000
        return report


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    pid: str
    instance: str


class Connection:
    """One keep-alive connection of HTTP/1.1, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._closing = False

    @property
    def is_gone(self) -> bool:
        return self._closing or self._reader.at_eof() or self._writer.is_closing()

    async def ask(self, message: bytes, *, rest: int = 0, pause: float = 0.0) -> Answer:
        """Send the message, then `rest` more bytes with a pause after each chunk."""
        self._writer.write(message)
        while rest:
            chunk = min(rest, UPLOAD_CHUNK)
            self._writer.write(b"u" * chunk)
            await self._writer.drain()
            rest -= chunk
            await asyncio.sleep(pause)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        await self._skip_body(headers)
        self._closing = headers.get("connection", "").lower() == "close"
        status = int(first.split(" ", 2)[1])
        return Answer(status, headers.get("x-pid", ""), headers.get("x-instance", ""))

    async def _skip_body(self, headers: dict[str, str]) -> None:
        if "content-length" in headers:
            await self._reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await self._reader.readline(), 16):
                await self._reader.readexactly(size + 2)
            await self._reader.readline()

    def close(self) -> None:
        self._writer.close()


def _kind(error: BaseException) -> str:
    match error:
        case ConnectionRefusedError():
            return "refused"
        case TimeoutError():
            return "timeout"
        case ssl.SSLError():
            return "tls"
        case WebSocketException():
            return type(error).__name__
        case _:
            return "reset"


def _tls(ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _run_until_told(work: Work) -> Report:
    load = Load(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stop)
    print("begun", file=sys.stderr, flush=True)
    return await load.run()


def main() -> None:
    parser = argparse.ArgumentParser(description="a bounded load on a server of this machine")
    parser.add_argument("url")
    for name, kind in {
        "address": str,
        "ca": str,
        "connections": int,
        "rate": float,
        "seconds": float,
        "requests": int,
        "posts": float,
        "body": int,
        "timeout": float,
        "websockets": int,
        "websocket-path": str,
        "upload-rate": int,
        "upload-seconds": float,
        "upload-path": str,
    }.items():
        parser.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS)
    work = Work(**vars(parser.parse_args()))
    with suppress(BrokenPipeError):
        print(json.dumps(vars(asyncio.run(_run_until_told(work)))))


if __name__ == "__main__":
    main()

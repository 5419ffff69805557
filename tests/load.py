"""A bounded load on a server of this machine, and an honest account of what was lost.

Every request is sent once: nothing is tried again, so what the server lost is what is counted.
A connection that the server closed while no request was on it is replaced, as any client does.
With a rate, latency counts from when a request was due, not from when it could be sent, so that
a stall is seen by all the requests it held up.

    python -m tests.load https://app.localhost:8443/ --ca root.pem --rate 200 --seconds 10

prints the report as JSON, also when it is told to stop early (SIGTERM or SIGINT).
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import math
import signal
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urlsplit

from tests.connection import UPLOAD_CHUNK, Answer, Connection
from tests.network import enter, is_in_own_network

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

    from websockets.asyncio.client import connect

LONGEST_RUN = 900.0
MOST_CONNECTIONS = 2000
BAD_STATUS = 400
MOST_LOSSES = 5000


@dataclass(frozen=True, slots=True)
class Work:
    url: str
    address: str = "127.0.0.1"
    """Where to connect to, whatever the name in the URL resolves to: loopback, unless this process
    is in a network that a test has made.
    """
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
    websocket_pause: float = 0.1
    """Seconds between two messages on each."""
    upload_rate: int = 0
    """Bytes a second of one upload after the other; each lasts `upload_seconds`."""
    upload_seconds: float = 5.0
    upload_path: str = "/"

    def __post_init__(self) -> None:
        if not ipaddress.ip_address(self.address).is_loopback and not is_in_own_network():
            raise ValueError(f"{self.address} is not this machine")
        if not 0 < self.seconds <= LONGEST_RUN or not 0 < self.connections <= MOST_CONNECTIONS:
            raise ValueError("more than this load generator is for")


class Loss(TypedDict):
    """One that failed. Times are of the machine's monotonic clock, the same in every process."""

    kind: str
    """`GET`, `POST`, `upload`, `WebSocket`"""
    why: str
    """`refused`, `reset`, `timeout`, `502`, a WebSocket's close code"""
    sent: float
    lost: float
    port: int
    """The client's own port; 0 where no connection came about."""
    pid: int
    """Who a WebSocket was connected to, if that one has said so (X-Pid); else 0."""


@dataclass
class Report:
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """By method and kind: `GET refused`, `POST reset`, `GET timeout`, `GET 502`."""
    answers: Counter[str] = field(default_factory=Counter)
    """Good answers by the X-Pid they carried."""
    instances: Counter[str] = field(default_factory=Counter)
    """Good answers by the X-Instance they carried."""
    sent: Counter[str] = field(default_factory=Counter)
    """By kind, whether it went well or not; of WebSockets, how many were opened."""
    by_tenth: Counter[str] = field(default_factory=Counter)
    """Good answers by the tenth of a second in which they came, counted from `begun`."""
    begun: float = 0.0
    """On the monotonic clock."""
    losses: list[Loss] = field(default_factory=list)
    """The first of those that failed, MOST_LOSSES at most."""
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

    def __post_init__(self) -> None:
        for name in ("failed", "answers", "instances", "sent", "by_tenth"):
            setattr(self, name, Counter(getattr(self, name)))

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
        self._begun = self._last_good = 0.0
        self._end = math.inf
        self._connections = [self._connection() for _ in range(work.connections)]

    async def connect(self) -> None:
        """Ahead of time, so that the first requests are as quick as the others."""
        if self._work.websockets:
            import websockets.asyncio.client  # noqa: F401, PLC0415 - most loads have none
        await asyncio.gather(*(self._open_early(each) for each in self._connections))

    async def run(self) -> Report:
        self._begun = self._last_good = self._report.begun = time.monotonic()
        self._end = min(self._end, self._begun + self._work.seconds)
        async with asyncio.TaskGroup() as group:
            for connection in self._connections:
                group.create_task(self._ask_by_turns(connection))
            for _ in range(self._work.websockets):
                group.create_task(self._talk())
            if self._work.upload_rate:
                group.create_task(self._upload())
        return self._finished()

    def stop(self) -> None:
        """End soon: what was sent is still waited for."""
        self._end = min(self._end, time.monotonic())

    # requests

    async def _open_early(self, connection: Connection) -> None:
        """What fails is tried again, and counted, when it is needed."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._work.timeout):
                await connection.open()

    async def _ask_by_turns(self, connection: Connection) -> None:
        while (due := await self._next_turn()) is not None:
            method = "POST" if due[0] * 61 % 100 < self._work.posts * 100 else "GET"
            sent = time.monotonic()
            try:
                async with asyncio.timeout(self._work.timeout):
                    if not connection.is_open:
                        await connection.open()
                    answer = await connection.ask(self._post if method == "POST" else self._get)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self._failed(method, _kind(error), sent, connection)
                connection.close()
            else:
                self._answered(method, answer, sent, due[1], connection)
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

    def _connection(self) -> Connection:
        return Connection(self._work.address, self._port, self._ssl, self._host)

    def _answered(
        self, method: str, answer: Answer, sent: float, due: float, connection: Connection
    ) -> None:
        if answer.status >= BAD_STATUS:
            self._failed(method, str(answer.status), sent, connection)
            return
        now = time.monotonic()
        self._report.requests += 1
        self._report.sent[method] += 1
        self._report.answers[answer.pid] += 1
        self._report.instances[answer.instance] += 1
        self._report.by_tenth[str(int(10 * (now - self._begun)))] += 1
        self._latencies.append(now - due)
        self._report.longest_gap_s = max(self._report.longest_gap_s, now - self._last_good)
        self._last_good = now

    def _failed(
        self, kind: str, why: str, sent: float, connection: Connection, pid: int = 0
    ) -> None:
        report, now = self._report, time.monotonic()
        report.requests += 1
        report.sent[kind] += 1
        report.failed[f"{kind} {why}"] += 1
        if len(report.losses) < MOST_LOSSES:
            loss = Loss(kind=kind, why=why, sent=sent, lost=now, port=connection.own, pid=pid)
            report.losses.append(loss)
        if len(report.first_failures) < 20:
            report.first_failures.append(f"{now - self._begun:.3f}s {kind} {why}")

    # what stays open

    async def _talk(self) -> None:
        from websockets.exceptions import WebSocketException  # noqa: PLC0415

        while time.monotonic() < self._end:
            connection, begun, pid = self._connection(), time.monotonic(), 0
            try:
                async with self._websocket(await connection.reach()) as websocket:
                    pid = int(websocket.response.headers.get("X-Pid", 0))
                    while time.monotonic() < self._end:
                        await websocket.send("hello")
                        await asyncio.wait_for(websocket.recv(), self._work.timeout)
                        self._report.messages += 1
                        await asyncio.sleep(self._work.websocket_pause)
            except (OSError, WebSocketException, TimeoutError) as error:
                self._failed("WebSocket", _websocket_kind(error), begun, connection, pid)
                await asyncio.sleep(0.2)
            else:
                self._report.sent["WebSocket"] += 1

    def _websocket(self, reached: socket.socket) -> connect:
        from websockets.asyncio.client import connect  # noqa: PLC0415

        return connect(
            f"{'wss' if self._ssl else 'ws'}://{self._netloc}{self._work.websocket_path}",
            sock=reached,
            ssl=self._ssl,
            server_hostname=self._host if self._ssl else None,
            proxy=None,
        )

    async def _upload(self) -> None:
        size = int(self._work.upload_rate * self._work.upload_seconds)
        pause = UPLOAD_CHUNK / self._work.upload_rate
        head = (
            f"POST {self._work.upload_path} HTTP/1.1\r\nHost: {self._netloc}\r\n"
            f"Content-Length: {size}\r\nConnection: close\r\n\r\n"
        )
        while time.monotonic() < self._end:
            connection, begun = self._connection(), time.monotonic()
            try:
                async with asyncio.timeout(self._work.upload_seconds + self._work.timeout):
                    await connection.open()
                    answer = await connection.ask(head.encode(), rest=size, pause=pause)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self._failed("upload", _kind(error), begun, connection)
                await asyncio.sleep(0.2)
            else:
                self._uploaded(size, answer, begun, connection)
            connection.close()

    def _uploaded(self, size: int, answer: Answer, begun: float, connection: Connection) -> None:
        if answer.status >= BAD_STATUS:
            self._failed("upload", str(answer.status), begun, connection)
        else:
            self._report.sent["upload"] += 1
            self._report.uploads += 1
            self._report.uploaded += size

    def _finished(self) -> Report:
        report, now = self._report, time.monotonic()
        report.seconds = now - self._begun
        if self._work.connections:
            until = min(now, self._end)  # after that only the last upload was waited for
            report.longest_gap_s = max(report.longest_gap_s, until - self._last_good)
        if self._latencies:
            ordered = sorted(self._latencies)
            report.p50_ms = ordered[len(ordered) // 2] * 1000
            report.p99_ms = ordered[len(ordered) * 99 // 100] * 1000
            report.worst_ms = ordered[-1] * 1000
        return report


def _kind(error: BaseException) -> str:
    match error:
        case ConnectionRefusedError():
            return "refused"
        case TimeoutError():
            return "timeout"
        case ssl.SSLError():
            return "tls"
        case _:
            return "reset"


def _websocket_kind(error: BaseException) -> str:
    from websockets.exceptions import ConnectionClosed, WebSocketException  # noqa: PLC0415
    from websockets.frames import CloseCode  # noqa: PLC0415

    match error:
        case ConnectionClosed():
            return str(error.rcvd.code if error.rcvd else CloseCode.ABNORMAL_CLOSURE.value)
        case WebSocketException():
            return type(error).__name__
        case _:
            return _kind(error)


def _tls(ca: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _run_until_told(work: Work, begun: Callable[[], None]) -> Report:
    load = Load(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stop)
    await load.connect()
    begun()
    return await load.run()


def run_forked(pipe: Pipe, network: str, work: dict[str, Any]) -> None:
    """In the network of that path, if there is one: sends None when it begins, and its report."""
    if network:
        enter(network)
    pipe.send(asyncio.run(_run_until_told(Work(**work), lambda: pipe.send(None))))


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
        "websocket-pause": float,
        "upload-rate": int,
        "upload-seconds": float,
        "upload-path": str,
    }.items():
        parser.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS)
    work = Work(**vars(parser.parse_args()))
    report = asyncio.run(
        _run_until_told(work, lambda: print("begun", file=sys.stderr, flush=True))
    )
    with suppress(BrokenPipeError):
        print(json.dumps(vars(report)))


if __name__ == "__main__":
    main()

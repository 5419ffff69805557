"""The load generators: wrk for HTTP/1.1, h2load for HTTP/2, and that of the tests for a steady
rate. Loopback only, bounded in time.

wrk and h2load keep a number of requests in flight and send the next one when one is answered, so
their latencies compare peers under full load; they are not those of clients that come at a rate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.compare.arithmetic import percentile
from bench.compare.certificates import NAME
from bench.compare.installed import Programs
from tests.running_load import RunningLoad

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "programs/wrk.lua"
STREAMS = 4
"""Requests in flight on each connection of HTTP/2."""
LEEWAY = 30.0
"""Seconds for a load generator to end after its time."""
MAX_SECONDS = 60.0


def http1(
    programs: Programs, url: str, connections: int, seconds: float, body: int = 0
) -> dict[str, float]:
    """`requests`, `seconds`, `failed`, `p50_ms`, `p99_ms`, `p999_ms`."""
    threads = min(os.cpu_count() or 1, connections)
    words = [f"-t{threads}", f"-c{connections}", f"-d{_whole(seconds)}s", "--timeout", "20s"]
    out = _run(programs, [programs.wrk, *words, "-s", SCRIPT, url], seconds, BODY=str(body))
    return json.loads(out.strip().splitlines()[-1])


def http2(
    programs: Programs, url: str, connections: int, seconds: float, body: int = 0
) -> dict[str, float]:
    """The same; `connections` is the number of requests in flight, STREAMS on a connection."""
    with tempfile.TemporaryDirectory() as name:
        log, data = Path(name) / "requests", Path(name) / "body"
        data.write_bytes(b"x" * body)
        words = ["-t", str(min(os.cpu_count() or 1, connections)), "-m", str(STREAMS)]
        words += ["-c", str(max(1, connections // STREAMS)), "-D", str(_whole(seconds))]
        words += ["--log-file", str(log), *(["-d", str(data)] if body else [])]
        _run(programs, [programs.h2load, *words, url], seconds)
        return _read(log, _whole(seconds))


def _read(log: Path, seconds: float) -> dict[str, float]:
    """A line a request: when it began, its status, microseconds. Open ones are not in it."""
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    times = sorted(int(micro) / 1000 for _, _, micro in lines)
    failed = sum(not status.startswith("2") for _, status, _ in lines)
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    found = {key: percentile(times, share) for key, share in shares.items()}
    return {"requests": len(lines), "seconds": seconds, "failed": failed, **found}


@contextmanager
def steady(port: int, authority: Path, rate: int, host: str = NAME) -> Iterator[RunningLoad]:
    """Requests at a rate, whatever the answers take; each is sent once, and those lost counted."""
    words = [f"--rate={rate}", f"--ca={authority}", "--connections=32", "--seconds=300"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.load", f"https://{host}:{port}/", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    running = RunningLoad(process)
    try:
        yield running
    finally:
        running.stop()


def url(port: int, path: str, scheme: str = "https") -> str:
    return f"{scheme}://{NAME}:{port}{path}"


def _whole(seconds: float) -> int:
    return max(1, round(min(seconds, MAX_SECONDS)))


def _run(programs: Programs, command: list, seconds: float, **environ: str) -> str:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**programs.environ, **environ},
        timeout=seconds + LEEWAY,
        start_new_session=True,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0].name}: {(done.stdout + done.stderr)[-300:]}")
    return done.stdout

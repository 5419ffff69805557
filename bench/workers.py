"""What it brings to pin workers to processors and to give each a queue: `python -m bench.workers`.

    python -m bench.workers                       with the nginx of the wheel
    python -m bench.workers --nginx /path/nginx   with another one

Starts what Portico renders for one app and one site with one worker for each processor, and the
same with one thing changed, in front of programs that answer at once; wrk sends requests on 64
connections that are kept, and requests that each open one. Variants take turns; figures are the
medians of rounds, of the processor time of the workers a request, of requests/s, and of the share
of the busiest worker. Writes bench/results/workers-DATE.json and prints the table of
docs/performance.md. Needs what `scripts/bench --setup` installs, and a machine without other work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.compare.installed import Programs
from bench.compare.peers.nginx import Constant
from bench.compare.processes import end, family
from bench.settings import RESULTS, SITE, WHEEL, Variant, changed
from tests.addresses import free_port
from tests.counted_nginx import rendered_here
from tests.waiting import eventually, is_listening

CONNECTIONS, SECONDS, ROUNDS = 64, 4, 5
_PROCESSORS = len(os.sched_getaffinity(0))
_NO_QUEUES = (" reuseport", "")
_PINNED = (r"worker_processes \d+;", f"worker_processes {_PROCESSORS}; worker_cpu_affinity auto;")
_HERE = (r"server_name app\.example", "server_name localhost")
"""wrk names in TLS whom it connects to."""
_EACH = (r"worker_processes \d+;", f"worker_processes {_PROCESSORS};")
VARIANTS = (
    Variant("as rendered", (_HERE, _EACH)),
    Variant("workers pinned to processors", (_HERE, _PINNED)),
    Variant("one queue for all workers", (_HERE, _EACH, _NO_QUEUES)),
)
LOADS = {"kept connections": "keep-alive", "a connection for each request": "close"}


@dataclass(frozen=True, slots=True)
class Place:
    """An nginx that serves one variant."""

    port: int
    pid: int

    def measured(self, programs: Programs, connection: str) -> dict[str, float]:
        before = self._workers()
        requests = _wrk(programs, self.port, connection)
        used = [now - then for then, now in zip(before, self._workers(), strict=True)]
        return {
            "micro": sum(used) * 1e6 / requests,
            "rate": requests / SECONDS,
            "busiest": max(used) / sum(used),
        }

    def _workers(self) -> list[float]:
        """Seconds of a processor of each, in the order of their numbers."""
        workers = sorted(each.pid for each in family([self.pid]) if each.pid != self.pid)
        assert len(workers) == _PROCESSORS, workers
        return [
            int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9 for pid in workers
        ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nginx", type=Path, default=WHEEL)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    found = measured(options.nginx, options.rounds)
    page = RESULTS / f"workers-{datetime.now(UTC).date()}.json"
    page.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(table(found)))


def measured(nginx: Path, rounds: int) -> list[dict]:
    programs = Programs(None)
    with tempfile.TemporaryDirectory(prefix="portico-workers-") as name, ExitStack() as stack:
        folder = Path(name)
        apps = stack.enter_context(_apps(programs, folder))
        places = [
            stack.enter_context(_serving(variant, nginx, folder / str(number), apps))
            for number, variant in enumerate(VARIANTS)
        ]
        found: list[dict] = [
            {"load": load, "name": variant.name, "rounds": []}
            for load in LOADS
            for variant in VARIANTS
        ]
        for number in range(rounds):
            turns = [*zip(found, places * len(LOADS), strict=True)]
            for each, place in turns if number % 2 else reversed(turns):
                each["rounds"].append(place.measured(programs, LOADS[each["load"]]))
    return found


def table(found: Sequence[dict]) -> Iterator[str]:
    yield "| | | processor time a request, µs | requests/s | share of the busiest worker |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for each in found:
        micro, rate, busiest = (
            [one[key] for one in each["rounds"]] for key in ("micro", "rate", "busiest")
        )
        yield (
            f"| {each['load']} | {each['name']} | {median(micro):.0f} "
            f"({min(micro):.0f} to {max(micro):.0f}) | {median(rate):,.0f} "
            f"| {median(busiest):.0%} |"
        )


@contextmanager
def _apps(programs: Programs, folder: Path) -> Iterator[list[int]]:
    """Ports of an nginx that answers at once: what is behind is no part of the question."""
    ports = [free_port() for _ in range(4)]
    backend = Constant(folder, programs.debian_nginx, ports, programs.environ)
    try:
        eventually(lambda: is_listening(ports[0]))
        yield ports
    finally:
        backend.stop()


@contextmanager
def _serving(variant: Variant, nginx: Path, folder: Path, apps: Sequence[int]) -> Iterator[Place]:
    folder.mkdir()
    port = free_port()
    edge = f"[edge]\nhttp = {free_port()}\nhttps = {port}\n"
    conf = rendered_here(edge + SITE, folder, apps)
    (folder / "nginx.conf").write_text(changed(conf, variant))
    with _nginx(nginx, folder, port) as pid:
        yield Place(port, pid)


@contextmanager
def _nginx(nginx: Path, folder: Path, port: int) -> Iterator[int]:
    words = ["-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"]
    process = subprocess.Popen([nginx, *words])
    try:
        eventually(lambda: is_listening(port))
        yield process.pid
    finally:
        end(process)


def _wrk(programs: Programs, port: int, connection: str) -> int:
    """How many requests were answered with 200."""
    done = subprocess.run(
        [
            *(programs.wrk, "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s"),
            *("-H", f"Connection: {connection}"),
            f"https://localhost:{port}/",
        ],
        check=True,
        capture_output=True,
        text=True,
        env=programs.environ,
        timeout=SECONDS + 30,
    )
    lines = done.stdout.splitlines()
    assert not any("Non-2xx" in line for line in lines), done.stdout
    (answered,) = [line.split()[0] for line in lines if " requests in " in line]
    return int(answered)


if __name__ == "__main__":
    main()

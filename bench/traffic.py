"""Counts of Portico against those of the load generator: `python -m bench.traffic [REQUESTS]`.

While the load runs the logs are rotated and, again and again, the daemon and the program that
counts are killed, the structure of the file changes and the app is replaced. Every request must be
counted exactly once. Then requests with known times: percentiles must be within 2 % of the
client's own.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from itertools import count

import psutil

from tests.load import LONGEST_RUN
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually, kill

SITE = "app.localhost"
REQUESTS = 1_000_000
MAX_CHUNK = 50_000
ROUNDS = 6
"""At least: each disturbance comes twice, however few requests there are."""
TIMED = 3000
CONNECTIONS = 100
MAX_DIFFERENCE = 0.02
EDGE = {"log_max_size": 1 << 24, "log_keep": 200}


def file_of(number: int) -> str:
    return f"""
[apps.web]
command = ["node", "{PROGRAMS / "echo.js"}"]
instances = 2
health = "/healthz"
[sites."{SITE}"]
app = "web"
redirect_http = false
[sites."{SITE}".routes]
"/load" = "web"
"/timed" = "web"
"/number{number}" = "web"
"""


def main(requests: int) -> int:
    with Stack() as stack:
        stack.up(file_of(0), **EDGE)
        used = time.process_time()
        sent = kills = 0
        for number in count(1):
            if sent >= requests:
                break
            some = min(MAX_CHUNK, -(-requests // ROUNDS), requests - sent)
            with stack.load(SITE, "/load", requests=some, seconds=LONGEST_RUN) as load:
                kills += disturb(stack, number)
                report = load.report()
            sent += sum(report.sent.values())
            print(f"{sent} sent, {report.lost} lost, {kills} kills", file=sys.stderr, flush=True)
        eventually(lambda: day(stack, "/load")["requests"] >= sent, within=120)
        counted = day(stack, "/load")["requests"]
        files = len([*(stack.home / "logs/sites").glob(f"{SITE}.access.log*")])
        times = asyncio.run(timed(stack.http))
        eventually(lambda: day(stack, "/timed")["requests"] >= len(times), within=120)
        differences = list(compared(sorted(times), day(stack, "/timed")))
        result = {
            "sent": sent,
            "counted": counted,
            "kills": kills,
            "log files": files,
            "differences": differences,
            "processor seconds of this": round(time.process_time() - used, 1),
        }
    print(json.dumps(result, indent=2))
    return int(sent != counted or any(each["by"] > MAX_DIFFERENCE for each in differences))


def disturb(stack: Stack, number: int) -> int:
    """One thing after the other; returns how many processes were killed."""
    if number % 3 == 0:
        stack.kill_daemon()
        stack.done("status")
        return 1
    if number % 3 == 1:
        daemon = psutil.Process(stack.status()["daemon"]["pid"])
        children = [p.pid for p in daemon.children() if "traffic" in " ".join(p.cmdline())]
        for pid in children:
            kill(pid)
        stack.up(file_of(number), **EDGE)
        return len(children)
    stack.done("reload", "web")
    return 0


def day(stack: Stack, route: str) -> dict:
    return stack.api(f"/v1/traffic?route={route}")["day"]


def compared(times: list[float], found: dict):
    for share in (50, 95, 99):
        exact = times[-(-len(times) * share // 100) - 1]
        shown = found[f"p{share}_s"]
        difference = round(abs(shown - exact) / exact, 4)
        yield {"percentile": share, "client": round(exact, 4), "counted": shown, "by": difference}


async def timed(port: int) -> list[float]:
    """Requests that take from 0.2 to 2 seconds, most of them less than one."""
    chance, times = random.Random(1), []
    waits = [min(0.2 + chance.lognormvariate(-1, 0.6), 2.0) for _ in range(TIMED)]

    async def client(mine: list[float]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for wait in mine:
            begun = time.perf_counter()
            request = f"GET /timed?sleep={wait:.3f} HTTP/1.1\r\nHost: {SITE}:{port}\r\n\r\n"
            writer.write(request.encode())
            await reader.readuntil(b"\r\n0\r\n\r\n")  # the end of an answer in chunks
            times.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(client(waits[n::CONNECTIONS]) for n in range(CONNECTIONS)))
    return times


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS))

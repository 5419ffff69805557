"""A program that writes 50 MB/s for ten seconds, and what its logs take: `python -m bench.logs`.

All files together may exceed `total_size` by what is written between two looks and what a rotation
copies, as docs/logs-and-events.md says; the daemon must go on answering.
"""

from __future__ import annotations

import json
import sys
import time

import psutil

from tests.stack import Stack

RATE = 50 * 10**6
SECONDS = 10.0
MAX_SIZE = 32 << 20
TOTAL_SIZE = 256 << 20
MAX_LOOK_INTERVAL = 2.0
"""Seconds: a look may come so late (core/planning/flood.py)."""
MAX_ANSWER_TIME = 2.0
WRITER = f"""
import os, time
line = b"x" * 99 + b"\\n"
piece, begun, written = line * 5000, time.monotonic(), 0
while (now := time.monotonic() - begun) < {SECONDS}:
    if written < now * {RATE}:
        written += os.write(1, piece)
    else:
        time.sleep(0.001)
os.write(2, b"written %d\\n" % written)
time.sleep(1000)
"""
FILE = f"""
[apps.flood]
command = ["{sys.executable}", "writer.py"]
port = false
logs = {{ max_size = {MAX_SIZE}, keep = 20, total_size = {TOTAL_SIZE} }}
"""


def main() -> int:
    with Stack() as stack:
        (stack.folder / "writer.py").write_text(WRITER)
        stack.up(FILE)
        folder, largest, slowest = stack.home / "logs/apps", 0, 0.0
        daemon = psutil.Process(stack.status()["daemon"]["pid"])
        used, end = sum(daemon.cpu_times()[:2]), time.monotonic() + 4 * SECONDS
        while time.monotonic() < end and not written(stack):
            asked = time.monotonic()
            stack.api("/v1/version")
            slowest = max(slowest, time.monotonic() - asked)
            largest = max(largest, sum(each.stat().st_size for each in folder.iterdir()))
            time.sleep(0.02)
        result = {
            "written, MB": round(written(stack) / 1e6, 1),
            "largest of all files, MB": round(largest / 1e6, 1),
            "total_size, MB": round(TOTAL_SIZE / 1e6, 1),
            "slowest answer of the API, ms": round(slowest * 1000, 1),
            "processor seconds of the daemon": round(sum(daemon.cpu_times()[:2]) - used, 2),
            "problems": stack.status()["troubles"],
        }
    print(json.dumps(result, indent=2))
    allowed = TOTAL_SIZE + MAX_SIZE + RATE * MAX_LOOK_INTERVAL
    return int(largest > allowed or slowest > MAX_ANSWER_TIME or not result["written, MB"])


def written(stack: Stack) -> int:
    """Bytes, when it has written all; else 0."""
    text = (stack.home / "logs/apps/flood.1.err.log").read_text()
    return int(text.split()[1]) if text.startswith("written") else 0


if __name__ == "__main__":
    sys.exit(main())

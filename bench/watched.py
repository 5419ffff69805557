"""What it costs to be watched: the dashboard and `portico top` beside `pm2 monit`.

    python -m bench.watched [INSTANCES]

The same programs run under Portico and under PM2. Of each daemon, memory and processor time are
measured alone and while it is watched, and those of the program that watches in a terminal. The
program that counts requests, which is a process of its own, is shown beside.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

from bench.compare import processes
from bench.compare.installed import Programs
from bench.compare.supervisors import Pm2Alone, PorticoAlone, running
from tests.integration.test_dashboard import Browser
from tests.stack import BIN

INSTANCES = 4
SETTLED = 5.0
WATCHED = 20.0
"""Seconds that are measured."""
SIZE = {"LINES": "40", "COLUMNS": "160", "TERM": "xterm-256color"}


def main(count: int) -> int:
    programs, found = Programs(None), {}
    with tempfile.TemporaryDirectory() as folder:
        with running(PorticoAlone, programs, Path(folder)) as portico:
            assert isinstance(portico, PorticoAlone)
            portico.up(count)
            stack = portico.stack
            top = [str(BIN / "portico"), "top"]
            found["portico alone"] = measured(portico.daemon(), nullcontext)
            found["portico, dashboard open"] = measured(portico.daemon(), lambda: opened(portico))
            found["portico, top"] = measured(
                portico.daemon(), lambda: in_terminal(top, stack.environ)
            )
        with running(Pm2Alone, programs, Path(folder)) as pm2:
            assert isinstance(pm2, Pm2Alone)
            pm2.up(count)
            environ = {**programs.environ, "PM2_HOME": str(pm2.folder / "pm2")}
            monit = [str(programs.pm2), "monit"]
            found["PM2 alone"] = measured(pm2.daemon(), nullcontext)
            found["PM2, monit"] = measured(pm2.daemon(), lambda: in_terminal(monit, environ))
    print(json.dumps({"instances": count, **found}, indent=2))
    return 0


def measured(
    daemon: int, watch: Callable[[], AbstractContextManager[int | None]]
) -> dict[str, float]:
    """Memory in megabytes, processor time in percent of a core."""
    with watch() as watcher:
        time.sleep(SETTLED)
        parts = {"daemon": processes.alone([daemon])}
        if counting := [p for p in parts["daemon"][0].children() if "traffic" in command(p)]:
            parts["counting"] = counting
        if watcher:
            parts["watcher"] = processes.family([watcher])
        before = {name: processes.processor_seconds(each) for name, each in parts.items()}
        time.sleep(WATCHED)
        values: dict[str, float] = {}
        for name, each in parts.items():
            used = processes.processor_seconds(each) - before[name]
            values[f"{name}, MB"] = round(processes.memory(each)["rss_mb"], 1)
            values[f"{name}, %"] = round(100 * used / WATCHED, 2)
    return values


def command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@contextmanager
def opened(portico: PorticoAlone) -> Iterator[int]:
    """A browser that reads the live status, as the pages do."""
    browser = Browser(json.loads(portico.stack.done("open", "--json").stdout)["url"])
    browser.sign_in()
    with browser.live() as answer:
        threading.Thread(target=read_all, args=(answer.fileno(),), daemon=True).start()
        yield 0


@contextmanager
def in_terminal(words: Sequence[str], environ: dict[str, str]) -> Iterator[int]:
    here, there = pty.openpty()
    with subprocess.Popen(
        words, stdin=there, stdout=there, stderr=there, env={**environ, **SIZE}
    ) as program:
        os.close(there)
        threading.Thread(target=read_all, args=(here,), daemon=True).start()
        try:
            yield program.pid
            assert program.poll() is None, f"{words} has ended"
        finally:
            processes.end(program)


def read_all(file: int) -> None:
    with suppress(OSError):
        while os.read(file, 1 << 16):
            pass


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else INSTANCES))

"""Instances without an engine: a launch from a few words, and everything dead at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from portico.adapters.processes.groups import folder_for, remove_empty_groups
from portico.adapters.processes.supervisor import LinuxProcesses
from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.core.model.instance import Exit, LogFiles, Process
from portico.core.model.launch import Launch
from portico.core.model.names import InstanceId
from portico.core.planning.environment import NoticePaths
from portico.system.clock import SystemClock

PROGRAMS = Path(__file__).parent / "programs"
T = TypeVar("T")


def launch(
    folder: Path,
    *,
    port: int = 41003,
    slot: int = 1,
    environ: Mapping[str, str] = {},
    links: Mapping[str, str] = {},
    **app: Any,
) -> Launch:
    shell = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    spec = Spec("v1", "web", App.model_validate(app), str(folder), {**shell, **environ}, 0, links)
    return Launch(InstanceId(f"web.{slot}.7"), spec, slot, port)


def python(program: str, *words: object) -> tuple[str, ...]:
    return (sys.executable, str(PROGRAMS / program), *map(str, words))


def node(program: str, *words: object) -> tuple[str, ...]:
    return ("node", str(PROGRAMS / program), *map(str, words))


class Exits:
    """Notes each exit it is told, and waits for the first."""

    def __init__(self) -> None:
        self.all: list[Exit] = []

    def __call__(self, ending: Exit) -> None:
        self.all.append(ending)

    async def first(self, within: float = 60) -> Exit:
        return (await until(lambda: self.all, within))[0]


async def until(look: Callable[[], T], within: float = 60) -> T:
    """What `look` gives, as soon as it is true."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.01)
    return seen


class Supervised(LinuxProcesses):
    """The real one, that remembers whom it started."""

    def __init__(self, logs: Path, notices: NoticePaths | None = None) -> None:
        super().__init__(logs, SystemClock(), notices)
        self.folder = logs
        self.started: list[Process] = []

    async def spawn(self, launch: Launch, on_exit: Callable[[Exit], None]) -> Process:
        process = await super().spawn(launch, on_exit)
        self.started.append(process)
        return process

    def output(self, launch: Launch) -> str:
        return Path(LogFiles.of(launch.spec, launch.slot, str(self.folder)).stdout).read_text()

    def errors(self, launch: Launch) -> str:
        return Path(LogFiles.of(launch.spec, launch.slot, str(self.folder)).stderr).read_text()


@asynccontextmanager
async def supervised(
    folder: Path, notices: NoticePaths | None = None
) -> AsyncIterator[Supervised]:
    processes = Supervised(folder / "logs", notices)
    try:
        yield processes
    finally:
        processes.close()
        for process in processes.started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(process.pid, 0)  # noqa: ASYNC222 - killed, so it does not wait
        if groups := folder_for(os.getpid(), folder / "logs"):
            remove_empty_groups(groups)


def is_dead(pid: int) -> bool:
    """Whether it has ended, buried or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"

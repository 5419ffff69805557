"""`portico run`: the daemon as the one process that systemd or a container looks after."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from pathlib import Path

from portico.core.model.event import Requester
from portico.core.model.requests import DocumentRequest, DownRequest
from portico.core.model.views import ChangeView
from portico.daemon.life import DaemonProcess, run_daemon
from portico.daemon.wiring import Portico
from portico.engine.control.operations import Operations
from portico.errors import PorticoError

log = logging.getLogger(__name__)


async def run_in_foreground(
    process: DaemonProcess, file: Path | None, environ: Mapping[str, str]
) -> int:
    """Serve until SIGTERM, then end everything: open requests first, a second signal at once.

    Returns the exit code: 2 if the file cannot be used.
    """
    code = 0

    async def companion(portico: Portico) -> None:
        nonlocal code
        signals = Signals()
        async with asyncio.TaskGroup() as tasks:
            up_task = tasks.create_task(_up(portico.control.operations, file, environ))
            stop_task = tasks.create_task(signals.first.wait())
            await asyncio.wait({up_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
            if up_task.done():
                code = up_task.result()
            up_task.cancel()  # asked to stop, it must not put anything in force any more
            if not code:
                await stop_task
                await _down(portico.control.operations, signals)
            stop_task.cancel()
        process.stop.set()

    await run_daemon(process, companion, "foreground")
    return code


class Signals:
    """The first asks, the second insists."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._set)

    def _set(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def _up(operations: Operations, file: Path | None, environ: Mapping[str, str]) -> int:
    if file is None:
        return 0
    from portico.importers.read import read_file  # noqa: PLC0415 - only where a file is named

    try:
        read = await asyncio.to_thread(read_file, file, environ)
        for note in read.notes:
            log.info("note: %s", note)
        request = DocumentRequest(
            source=read.source, folder=read.folder, table=read.table, environ=read.environ
        )
        change = await operations.up(request, Requester("portico run"))
    except PorticoError as error:
        log.error("%s", error)  # noqa: TRY400 - its text is for the operator
        return error.exit_code
    except Exception:
        log.exception("internal error (a bug in portico): %s is not in force", file)
        return 1
    await _log_progress(operations, change)  # what does not become ready is started again
    return 0


async def _down(operations: Operations, signals: Signals) -> None:
    log.info("shutting down; send the signal again to stop waiting for open requests")
    ending = await operations.down(Requester("signal"), DownRequest(everything=True))
    async with asyncio.TaskGroup() as tasks:
        done = tasks.create_task(_log_progress(operations, ending))
        second_signal = tasks.create_task(signals.second.wait())
        await asyncio.wait({done, second_signal}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            at_once = DownRequest(everything=True, now=True)
            await operations.down(Requester("second signal"), at_once)
            await done
        second_signal.cancel()


async def _log_progress(operations: Operations, change: ChangeView) -> None:
    logged = 0
    async for view in operations.follow(change.id):
        for line in view.lines[logged:]:
            log.info("%s", line)
        logged = len(view.lines)
        if view.error:
            log.error("%s", view.error)

"""Replacing nginx's program while it serves: nginx's upgrade on the fly, by SIGUSR2.

The old master starts its program anew and hands its sockets over; for a moment both serve. Then
the old workers finish what they have (SIGWINCH), and when the new ones have held for a while the
old master exits (SIGQUIT). Until then it can serve again, with workers that SIGHUP gives it.

While both live, `nginx.pid` is the new master's file and `nginx.pid.oldbin` the old one's. Where
the new one ends, the old one takes its file back by itself.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from portico.adapters.nginx.error_lines import LogTail
from portico.adapters.nginx.lifecycle import (
    POLL_INTERVAL,
    START_TIMEOUT,
    TERM_TIMEOUT,
    Paths,
    ReloadFailed,
    exits_within,
    kill_master,
    list_processes,
    retire_orphans,
)
from portico.adapters.nginx.processes import Master, workers_of

TRIAL_TIME: Final = 1.5
"""Seconds in which no worker of the new program may die. Discovery has answered them long before:
they ask within milliseconds."""


async def upgrade(old: Master, paths: Paths) -> Master:
    """Have the master start its program anew; returns the new one, which serves alone.

    ReloadFailed when that did not work; then the old one serves alone, as before.
    """
    tail = LogTail(paths.error_log)
    old.signal(signal.SIGUSR2)
    return await finish_upgrade(old, paths, tail)


async def finish_upgrade(old: Master, paths: Paths, tail: LogTail) -> Master:
    """The same for an upgrade that has begun, perhaps under another daemon."""
    try:
        return await _finish_upgrade(old, paths, tail)
    except ReloadFailed:
        await _wait_for_pid_file(old, paths)
        raise


async def _finish_upgrade(old: Master, paths: Paths, tail: LogTail) -> Master:
    try:
        async with asyncio.timeout(START_TIMEOUT):
            new = await _new_master(old, paths, tail)
    except TimeoutError:
        await _kill_children(old, paths)
        slow = f"the new program did not start within {START_TIMEOUT:g} seconds"
        raise ReloadFailed(slow, reported=True) from None
    old.signal(signal.SIGWINCH)
    if not await _is_stable(new, paths) and await restore_workers(old, paths):
        await _stop_new_master(new, paths)
        raise ReloadFailed("the workers of the new program exited immediately", reported=True)
    old.signal(signal.SIGQUIT)
    return new


async def _new_master(old: Master, paths: Paths, tail: LogTail) -> Master:
    """Wait for a second master, and for its workers."""
    while True:
        new = Master.from_pid_file(paths.pid_file)
        if new is not None:
            if new.pid != old.pid and workers_of(new, await list_processes(paths.folder)):
                return new
            new.close()
        if failure := _failure(old, tail):
            raise ReloadFailed(failure, reported=True)
        if not old.is_running():
            raise ReloadFailed("the master process died during the replacement", reported=False)
        await asyncio.sleep(POLL_INTERVAL)


def _failure(old: Master, tail: LogTail) -> str:
    """What the new program logged before it gave up, or the old master about it."""
    errors = [each for each in tail.error_lines() if each.is_fatal and each.pid != old.pid]
    if errors:
        return "\n".join(map(str, errors))
    alerts = (each.text for each in tail.error_lines() if each.level == "alert")
    return next((text for text in alerts if "new binary process" in text), "")


async def _is_stable(new: Master, paths: Paths) -> bool:
    """Whether every worker that came up lives on."""
    seen: set[int] = set()
    loop = asyncio.get_running_loop()
    end = loop.time() + TRIAL_TIME
    while loop.time() < end:
        workers = {worker.pid for worker in workers_of(new, await list_processes(paths.folder))}
        seen |= workers
        if seen - workers or not new.is_running():
            return False
        await asyncio.sleep(POLL_INTERVAL)
    return True


async def restore_workers(old: Master, paths: Paths) -> bool:
    """Have the old master start workers again; False where it is exiting already."""
    old.signal(signal.SIGHUP)
    end = asyncio.get_running_loop().time() + TERM_TIMEOUT
    while old.is_running() and asyncio.get_running_loop().time() <= end:
        workers = workers_of(old, await list_processes(paths.folder))
        if any(not worker.is_shutting_down for worker in workers):
            return True
        await asyncio.sleep(POLL_INTERVAL)
    return False


async def _stop_new_master(new: Master, paths: Paths) -> None:
    new.signal(signal.SIGQUIT)
    if not await exits_within(new, TERM_TIMEOUT):
        await kill_master(new)
        await retire_orphans(paths.folder)
    new.close()


async def _wait_for_pid_file(old: Master, paths: Paths) -> None:
    """Wait until the old master has noticed the exit of the new one and renamed its pid file."""
    end = asyncio.get_running_loop().time() + TERM_TIMEOUT
    while paths.old_pid_file.exists() and old.is_running():
        if asyncio.get_running_loop().time() > end:
            return
        await asyncio.sleep(POLL_INTERVAL)


async def _kill_children(old: Master, paths: Paths) -> None:
    """Whatever the new program is doing, it is not serving."""
    for process in await list_processes(paths.folder):
        if process.is_master and process.parent == old.pid:
            process.signal(signal.SIGKILL)
    await retire_orphans(paths.folder)

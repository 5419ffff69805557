"""The end of a program that asyncio has started, once it was killed."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from contextlib import suppress
from typing import Final

GIVE_UP: Final = 1.0
"""Seconds. What is not gone then waits in the kernel, for a disk perhaps."""


async def bury(process: Process) -> None:
    """Let go of its pipes and wait until it is gone; of one that has ended, only the pipes.

    `Process.wait` also waits until nobody holds the other ends of the pipes (CPython,
    `BaseSubprocessTransport._try_finish`), and sees nothing of that while a full one is not read.
    It would wait for ever for whoever has left the group of the killed one with them.
    """
    transport = process._transport  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else has the pipes
    for number in range(3):
        if pipe := transport.get_pipe_transport(number):
            pipe.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(GIVE_UP):
            await process.wait()

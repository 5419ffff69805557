"""The program that counts requests, as the daemon asks it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import psutil

from portico.adapters.traffic.counting import KEEP_TIME, CountingChild
from tests.fakes.clock import FakeClock


def child() -> int:
    living = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
    return next(p.pid for p in living if "counts" in p.cmdline()[-1])


async def until(check) -> None:
    async with asyncio.timeout(60):
        while not await check():  # noqa: ASYNC110 - it is another program that changes it
            await asyncio.sleep(0.02)


def test_a_status_has_the_rates_known_last_while_the_program_that_counts_is_silent(tmp_path):
    async def scenario() -> None:
        clock = FakeClock()
        traffic = CountingChild(tmp_path / "counts", clock)
        running = asyncio.create_task(traffic.run())

        async def is_there() -> bool:
            return traffic.is_new

        async def is_silent() -> bool:
            return "does not answer" in (await traffic.rates()).problem

        await until(is_there)
        await traffic.arrange([], [])
        assert (await traffic.metrics()).startswith("#")
        await traffic.rates()
        os.kill(child(), signal.SIGSTOP)
        await clock.advance(KEEP_TIME + 0.1)
        assert not await is_silent(), "it was waited for"
        await until(is_silent)  # which is said when nothing came in time
        os.kill(child(), signal.SIGCONT)

        async def answers() -> bool:
            await clock.advance(KEEP_TIME + 0.1)
            return not await is_silent()

        await until(answers)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())

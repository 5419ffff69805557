"""What is looked at for whoever asks: who asks often never waits for it."""

from __future__ import annotations

import asyncio

from portico.system.observation import STALE_TIME, Observation

FRESH = 1.0


class Looks:
    def __init__(self) -> None:
        self.begun = self.done = 0
        self.now = 100.0
        self.may_end = asyncio.Event()
        self.observation = Observation(self._look, lambda: self.now, fresh=FRESH, timeout=0.05)

    async def _look(self) -> None:
        self.begun += 1
        await self.may_end.wait()
        self.done += 1

    async def asked(self) -> bool:
        """Whether it was answered without waiting for anything."""
        asking = asyncio.create_task(self.observation.ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_once = asking.done()
        await asking
        return at_once


def test_the_first_to_ask_waits_for_the_look():
    async def scenario() -> None:
        looks = Looks()
        looks.may_end.set()
        await looks.observation.ask()
        assert looks.done == 1
        assert await looks.asked()
        assert looks.begun == 1

    asyncio.run(scenario())


def test_who_asks_often_is_answered_at_once_while_a_look_takes_for_ever():
    async def scenario() -> None:
        looks = Looks()
        looks.may_end.set()
        await looks.observation.ask()
        looks.may_end.clear()
        looks.now += FRESH + 0.1
        assert await looks.asked()
        for _ in range(20):
            looks.now += STALE_TIME / 2
            assert await looks.asked()
        assert looks.begun == 2, "one look at a time"

    asyncio.run(scenario())


def test_who_has_not_asked_for_long_waits_no_longer_than_the_timeout():
    async def scenario() -> None:
        looks = Looks()
        assert not await looks.asked()
        assert (looks.begun, looks.done) == (1, 0)
        looks.may_end.set()
        await looks.observation.ask()
        looks.now += FRESH + STALE_TIME + 1
        await looks.observation.ask()
        assert looks.done == 2

    asyncio.run(scenario())


def test_a_look_that_fails_is_no_end_of_looking():
    async def scenario() -> None:
        looks = [RuntimeError("a bug"), None]

        async def look() -> None:
            if error := looks.pop(0):
                raise error

        now = 0.0
        observation = Observation(look, lambda: now, fresh=FRESH)
        await observation.ask()
        now += 100
        await observation.ask()
        assert looks == []

    asyncio.run(scenario())

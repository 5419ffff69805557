"""Observe, plan, execute; again whenever something may have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, NoReturn

from portico.core.model.desired import Desired
from portico.core.model.instance import InstanceState
from portico.core.model.world import World
from portico.core.planning.reconcile import plan, wake_at
from portico.core.planning.steps import Announce, Recycle, Respawn, SkipRun, StartInstance, Step
from portico.ports.clock import Clock

RESYNC_INTERVAL: Final = 2.0  # seconds that a lost wake-up may cost
COUNT_INTERVAL: Final = 0.25  # while connections of a draining instance are counted
ROUND_TIMEOUT: Final = 1.0
MAX_REST_TIME: Final = 0.1
"""Seconds. After it has looked and planned, the loop rests as long as that took: with a thousand
instances it then leaves half of the time to requests, and hears many of them in one round.
"""

TIMED_STEPS: Final = (StartInstance, Respawn, SkipRun, Recycle)
"""What is done when it is time for an app."""


async def _turn_of_others() -> None:
    """Requests, signals and ends of programs."""
    await asyncio.sleep(0)


class ReconcileLoop:
    """The only task that changes the world. Everybody else calls `wake`."""

    def __init__(  # noqa: PLR0913 - all that it does is given to it
        self,
        clock: Clock,
        desired: Callable[[], tuple[Desired, str]],
        observe: Callable[[], Awaitable[World]],
        execute: Callable[[Step], Awaitable[None]],
        failed: Callable[[Step, Exception], None],
        reserve: Callable[[Sequence[StartInstance]], Awaitable[None]],
        *,
        turn: Callable[[], Awaitable[object]] = _turn_of_others,
        longest_rest: float = MAX_REST_TIME,
    ) -> None:
        """`desired` returns the same object for as long as nothing else is wanted.

        `reserve` is told of all starts of a round before the first of them is executed. Before
        each step others have their `turn`.
        """
        self._clock, self._desired, self._observe = clock, desired, observe
        self._execute, self._failed, self._reserve = execute, failed, reserve
        self._turn, self._longest_rest = turn, longest_rest
        self._woken, self._rest = asyncio.Event(), 0.0
        self._due = frozenset[str]()
        """Of which it was time in a round that ended before it came to them."""
        self._round_done = asyncio.Condition()

    def wake(self) -> None:
        self._woken.set()

    async def next_round(self) -> None:
        """Return after the next round, or a second: for whoever waits until the world is as
        wanted.
        """
        try:
            async with asyncio.timeout(ROUND_TIMEOUT):
                await self.after_round()
        except TimeoutError:
            pass

    async def after_round(self, interval: float = 0.0) -> None:
        """Return after the first round that ends in `interval` seconds or later: for what is
        looked at again and again. At rest that wakes the daemon for nothing more, because rounds
        come every `RESYNC_INTERVAL` anyway.
        """
        begun = self._clock.monotonic()
        async with self._round_done:
            await self._round_done.wait()
            while self._clock.monotonic() - begun < interval:
                await self._round_done.wait()

    async def run(self) -> NoReturn:
        while True:
            self._woken.clear()  # before observing: a wake during a round is kept
            pause = await self._round()
            if self._rest > 0:
                await self._clock.sleep(self._rest)
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _round(self) -> float:
        """One round; returns after how many seconds time alone may ask for the next."""
        begun = self._clock.monotonic()
        world = await self._observe()
        world, self._due = replace(world, due=world.due | self._due), frozenset()
        looked = self._clock.monotonic()
        await self._turn()  # looking and planning are long enough each
        planning = self._clock.monotonic()
        desired, generation = self._desired()
        steps = plan(desired, world, generation=generation)
        self._rest = min(looked - begun + self._clock.monotonic() - planning, self._longest_rest)
        possible = await self._reserve_starts(steps)
        hopeless: set[str] = set()
        for number, step in enumerate(possible):
            await self._turn()
            if self._plan_is_stale(desired):
                self._due = world.due & {
                    _subject(s) for s in possible[number:] if isinstance(s, TIMED_STEPS)
                }
                break  # what follows was right for what was wanted before
            if _subject(step) in hopeless:
                continue  # it assumed that the failed one worked; others did not
            try:
                await self._execute(step)
            except Exception as error:  # noqa: BLE001 - other apps have their steps all the same
                hopeless.add(_subject(step))
                self._failed(step, error)
        async with self._round_done:
            self._round_done.notify_all()
        if (steps and possible == steps and not hopeless) or self._plan_is_stale(desired):
            self.wake()
        return 0.0 if self._woken.is_set() else self._pause(desired, world)

    async def _reserve_starts(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The steps; without any start where nothing can be recorded. What makes things smaller
        goes on.
        """
        starts = [step for step in steps if isinstance(step, StartInstance)]
        if not starts:
            return steps
        await self._turn()
        try:
            await self._reserve(starts)
        except Exception as error:  # noqa: BLE001 - all others have their steps all the same
            self._failed(starts[0], error)
            return tuple(step for step in steps if not isinstance(step, StartInstance))
        return steps

    def _plan_is_stale(self, desired: Desired) -> bool:
        """Whether something else is wanted by now: by an operator, or because of a step."""
        return self._desired()[0] is not desired

    def _pause(self, desired: Desired, world: World) -> float:
        waiting = RESYNC_INTERVAL
        if any(i.state is InstanceState.DRAINING for i in world.instances.values()):
            waiting = COUNT_INTERVAL
        moment = wake_at(desired, world)
        if moment is not None:
            waiting = min(waiting, moment - self._clock.monotonic())
        return max(waiting, 0.01)


def _subject(step: Step) -> str:
    if isinstance(step, Announce):
        return ""  # no app has this name, and nginx has nothing to do with it
    name = getattr(step, "app", None) or getattr(step, "instance", "nginx")
    return str(name).split(".", maxsplit=1)[0]

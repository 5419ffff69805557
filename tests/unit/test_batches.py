"""With very many instances no turn of the daemon's loop is long: requests are answered between."""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import time
from collections.abc import Callable, Iterator

import pytest

from portico.core.model.app import App
from portico.core.model.check import Check
from portico.core.model.instance import InstanceState
from portico.core.planning.reconcile import plan
from portico.engine.batches import BATCH_SIZE, LoopShare, in_batches
from tests.fakes.clock import MeasuredLoop
from tests.unit.outside import STUBBORN
from tests.unit.simulation import Machine
from tests.unit.worlds import NOW, app, desired, one, world

S = InstanceState
MANY = 500
MOST_TIME = 0.02 * MANY / 1000
"""Seconds of processor time of the loop's own, in one turn."""
MOST_CALLS = 4 * BATCH_SIZE
MOST_PLANS = 3
"""On a machine that is too slow for that: as long as so many plans for that many instances."""


class LargeMachine(Machine):
    most_steps_at_once = 3 * MANY
    gives_turns = True

    def assert_allowed(self, step: object) -> None:
        """It would look at all instances for each of them; other tests do that."""


@pytest.fixture
def machine(caplog) -> Iterator[Machine]:
    gc.disable()  # it would look through the modules of all tests
    caplog.set_level(logging.ERROR)
    with LargeMachine(loop=MeasuredLoop(1000.0)) as machine:
        machine.up(
            "web", App(instances=MANY, stop_timeout=1, health=Check(interval=10)), "v1", STUBBORN
        )
        machine.run(3)
        assert len(machine.in_state(S.READY)) == MANY
        yield machine
    gc.enable()


def measured(machine: Machine, act: Callable[[], None], seconds: float) -> tuple[float, int]:
    """The longest turn, and the most calls back in one."""
    machine.loop.longest_turn = machine.loop.most_calls = 0
    act()
    machine.run(seconds)
    return machine.loop.longest_turn, machine.loop.most_calls


def limit() -> float:
    its = app(instances=MANY)
    crashed = world(*(one(S.BACKOFF, slot=n, retry_at=NOW + 9) for n in range(1, MANY + 1)))
    times = []
    for _ in range(5):
        begun = time.thread_time()
        plan(desired(its), crashed)
        times.append(time.thread_time() - begun)
    return max(MOST_TIME, MOST_PLANS * statistics.median(times))


@pytest.mark.slow
def test_no_turn_is_long_when_many_instances_are_checked_exit_and_are_stopped(machine):
    def exit_all() -> None:
        for process in list(machine.processes.values()):
            machine.crash(process)

    first = {each.process for each in machine.instances.values()}
    checked, _ = measured(machine, lambda: None, 11)
    exited, calls_of_exits = measured(machine, exit_all, 0.01)
    assert not first & {each.process for each in machine.instances.values()}
    machine.run(3)
    stopped, calls_of_stops = measured(machine, lambda: machine.down(at_once=True), 5)
    assert not machine.instances
    assert max(checked, exited, stopped) < limit(), (checked, exited, stopped)
    assert max(calls_of_exits, calls_of_stops) < MOST_CALLS, (calls_of_exits, calls_of_stops)


def test_of_many_things_a_few_are_done_in_a_turn():
    async def scenario() -> list[int]:
        counts, done, turns = list[int](), 0, LoopShare()

        async def act() -> None:
            nonlocal done
            await turns.wait()
            done += 1

        async def follow() -> None:
            async for _ in in_batches(range(3 * BATCH_SIZE)):
                await act()

        tasks = [asyncio.create_task(act()) for _ in range(3 * BATCH_SIZE)]
        tasks[-1].cancel()
        tasks.append(asyncio.create_task(follow()))
        while not all(task.done() for task in tasks):
            before = done
            await asyncio.sleep(0)
            counts.append(done - before)
        return counts

    counts = asyncio.run(scenario())
    assert sum(counts) == 6 * BATCH_SIZE - 1
    assert max(counts) <= BATCH_SIZE

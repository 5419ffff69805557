"""When instances are asked, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

from portico.core.model.app import App
from portico.core.model.check import Check
from portico.core.model.instance import Instance, InstanceState, Process
from portico.core.model.names import InstanceId
from portico.engine.instances.liveness import Liveness
from portico.engine.safe_mode import SafeMode
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from tests.fakes.clock import FakeClock

S = InstanceState


class Known:
    """What the engine knows: instances, and an app for all of them."""

    def __init__(self, app: App, count: int = 1) -> None:
        self.app, self.reached = app, True
        self.instances = {i.id: i for i in map(instance, range(1, count + 1))}

    def put(self, i: Instance) -> None:
        self.instances[i.id] = i

    def app_of(self, _: Instance) -> App:
        return self.app

    def is_reached(self, _: str) -> bool:
        return self.reached

    @property
    def first(self) -> Instance:
        return next(iter(self.instances.values()))


class Probes:
    """Answers as it is told; a probe takes as long as `takes` says, by the clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.asked = clock, list[tuple[float, int]]()
        self.trouble: str | None = None
        self.bug: Exception | None = None
        self.takes = 0.0

    async def probe(self, _: Check, port: int) -> str | None:
        self.asked.append((self.clock.monotonic(), port))
        if self.bug:
            raise self.bug
        trouble = self.trouble
        if self.takes:
            await self.clock.sleep(self.takes)
        return trouble


class Ownership:
    """Each answers on its own port."""

    async def trouble(self, _: Instance, *, silence: bool) -> str | None:
        return None


class SpreadClock(FakeClock):
    """Its chance is spread evenly over calls."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def jitter(self) -> float:
        self._calls += 1
        return self._calls % 10 / 10


class ProbedInstances:
    def __init__(self, known: Known, clock: FakeClock | None = None) -> None:
        self.known, self.clock, self.woken = known, clock or FakeClock(), 0
        self.probes, self.troubles, self.deaths = Probes(self.clock), Troubles(), 0

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        async def scenario() -> None:
            async with asyncio.TaskGroup() as group:
                engine = SimpleNamespace(
                    clock=self.clock,
                    intent=self.known,
                    loop=SimpleNamespace(wake=self._wake),
                    observed=self.known,
                    safe_mode=SafeMode(self.deaths, self.troubles),
                    tasks=Tasks(group, self.troubles, self.clock),
                )
                self.liveness = Liveness(engine, Ownership(), probes=self.probes, processes=None)
                await self.liveness.watch()
                await story()
                self.known.instances.clear()
                await self.liveness.watch()
                await self.clock.advance(10)  # what is under way ends

        asyncio.run(scenario())

    def _wake(self) -> None:
        self.woken += 1

    async def round(self) -> None:
        self.liveness.apply_events()
        await self.liveness.watch()


def instance(number: int) -> Instance:
    name = InstanceId(f"web.{number}.{number}")
    process = Process(number, 1.0)
    return Instance(name, "web", number, "v1", 41000 + number, S.READY, 0.0, process)


def app(**check: object) -> App:
    return App(instances=1, health=Check(**{"timeout": 0.5, "interval": 5, "fall": 2} | check))


def test_an_instance_is_asked_at_the_pace_of_its_check():
    watching = ProbedInstances(Known(app()))

    async def story() -> None:
        await watching.clock.advance(16)
        assert [at for at, _ in watching.probes.asked] == [0, 5, 10, 15]
        assert watching.woken == 0  # nobody is told of what changes nothing

    watching.run(story)


def test_instances_are_not_asked_all_at_once():
    watching = ProbedInstances(Known(app(), count=10), SpreadClock())

    async def story() -> None:
        await watching.clock.advance(4.9)
        times = sorted(at for at, _ in watching.probes.asked)
        assert len(times) == 10
        assert all(0.4 < later - earlier < 0.6 for earlier, later in pairwise(times))

    watching.run(story)


def test_a_verdict_wakes_the_loop_and_is_applied_in_its_round():
    watching = ProbedInstances(Known(app()))

    async def story() -> None:
        watching.probes.trouble = "answered 503"
        await watching.clock.advance(5.1)
        assert watching.woken == 2
        assert watching.known.first.state is S.READY  # only the loop changes the world
        await watching.round()
        assert watching.known.first.state is S.UNREADY

    watching.run(story)


def test_a_probe_that_takes_long_does_not_hold_up_the_next():
    watching = ProbedInstances(Known(app(interval=5, timeout=5, fall=3)))
    watching.probes.takes = 5.0

    async def story() -> None:
        watching.probes.trouble = "no answer within 5s"
        await watching.clock.advance(11)
        await watching.round()
        assert [at for at, _ in watching.probes.asked] == [0, 3, 6, 9]
        assert watching.known.first.state is S.UNREADY

    watching.run(story)


def test_what_is_heard_of_a_process_that_was_replaced_does_not_count():
    watching = ProbedInstances(Known(app(fall=1)))
    watching.probes.takes = 1.0

    async def story() -> None:
        watching.probes.trouble = "no answer"
        await watching.clock.advance(0.5)
        watching.known.put(replace(watching.known.first, process=Process(99, 7.0)))
        await watching.clock.advance(1)
        await watching.round()
        assert watching.known.first.state is S.READY

    watching.run(story)


def test_a_probe_that_ends_by_a_bug_is_a_probe_that_failed_and_is_said_until_one_ends_well():
    watching = ProbedInstances(Known(app()))

    async def story() -> None:
        watching.probes.bug = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        await watching.clock.advance(5.1)
        await watching.round()
        assert watching.known.first.state is S.UNREADY
        assert watching.known.first.reason.endswith("details in porticod.log")
        (said,) = watching.troubles.sentences()
        assert said.startswith(
            "check of web.1.1: internal error (a bug in portico), UnicodeDecodeError"
        )
        watching.probes.bug = None
        await watching.clock.advance(10)
        await watching.round()
        assert watching.known.first.state is S.READY
        assert watching.troubles.sentences() == []

    watching.run(story)


def test_nobody_is_asked_in_safe_mode():
    watching = ProbedInstances(Known(app()))
    watching.deaths = 3

    async def story() -> None:
        await watching.clock.advance(60)
        assert watching.probes.asked == []
        assert watching.known.first.state is S.READY

    watching.run(story)


def test_a_new_interval_holds_at_once():
    watching = ProbedInstances(Known(app(interval=3600)))

    async def story() -> None:
        await watching.clock.advance(1)
        watching.known.app = app(interval=2)
        await watching.round()
        await watching.clock.advance(4.5)
        assert [at for at, _ in watching.probes.asked] == [0, 1, 3, 5]

    watching.run(story)


def test_one_that_may_listen_nowhere_is_asked_when_a_site_reaches_it():
    known = Known(App(command="run", after_ready_timeout="continue"))
    known.reached = False
    watching = ProbedInstances(known)

    async def story() -> None:
        await watching.clock.advance(60)
        assert watching.probes.asked == []
        known.reached = True
        await watching.round()
        await watching.clock.advance(60)
        assert watching.probes.asked

    watching.run(story)


def test_nobody_is_asked_who_leaves_and_no_worker_that_has_no_command():
    watching = ProbedInstances(Known(app()))

    async def story() -> None:
        await watching.clock.advance(0.1)
        watching.known.put(replace(watching.known.first, state=S.DRAINING))
        await watching.round()
        worker = replace(instance(2), port=0)
        watching.known.put(worker)
        await watching.round()
        await watching.clock.advance(60)
        assert len(watching.probes.asked) == 1

    watching.run(story)

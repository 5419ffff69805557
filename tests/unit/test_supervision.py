"""What a new daemon makes of what is on record, with processes that only exist as said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Final

import pytest

from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.core.model.instance import Exit, Instance, InstanceState, ListeningPort, Process
from portico.core.model.launch import Launch
from portico.core.model.names import InstanceId
from portico.core.model.world import Endpoint, NginxSeen
from portico.engine.instances.supervision import Supervision
from portico.engine.observed import ObservedWorld
from portico.engine.program_ports import ProgramPorts
from tests.fakes.clock import FakeClock
from tests.fakes.state import MemoryState, events_of
from tests.unit.worlds import one

S = InstanceState
OTHER: Final = Process(7777, 9.0)


class Outside:
    """Processes, of which only one runs; and all else that is asked on the way."""

    def __init__(self, runs: Process | None, found: Process | None, app: App) -> None:
        self.runs, self.found, self.app = runs, found, app
        self.ended: list[tuple[InstanceId, Process | None]] = []
        """Of which instances leftovers were ended, and which process of it stays."""

    async def adopt(self, _: Launch, process: Process, __: object) -> bool:
        return process == self.runs

    async def find(self, since: Sequence[tuple[Launch, float]]) -> Mapping[InstanceId, Process]:
        return {launch.instance: self.found for launch, _ in since if self.found}

    async def end_orphans(self, lost: Sequence[tuple[Launch, Process | None]]) -> None:
        self.ended = [(launch.instance, stays) for launch, stays in lost]

    @property
    def versions(self) -> SimpleNamespace:
        spec = Spec("v1", "web", self.app, "/srv", {})
        return SimpleNamespace(spec=lambda _: spec, records={})

    def start(self, subject: str, work, *, of: str) -> None:
        """What would be probed is not."""

    @staticmethod
    def fence(subject: str, *, of: str = ""):
        return nullcontext()

    def observe(self) -> NginxSeen:
        return NginxSeen(None)

    def app_of(self, _: Instance) -> App:
        return self.app

    def apply_events(self) -> None:
        """Nothing was heard."""

    async def watch(self) -> None:
        """Nobody is asked."""


class Adoption:
    """A daemon has taken over what is on record of one instance, 100 seconds after that."""

    def __init__(
        self,
        before: Instance,
        *,
        runs: Process | None = None,
        found: Process | None = None,
        **keys,
    ) -> None:
        self.outside = Outside(runs, found, App(command="run", **keys))
        supervision, observed = taking_over([before], self.outside, Unapplied)
        asyncio.run(supervision.adopt())
        self.now = observed.instances[before.id]
        self.ended = supervision.ended


class Unapplied(Supervision):
    async def apply_events(self) -> None:
        self.ended = self._ended


def taking_over(
    before: Sequence[Instance],
    outside: Outside,
    kind: type[Supervision] = Supervision,
    clock: FakeClock | None = None,
) -> tuple[Supervision, ObservedWorld]:
    state, clock = MemoryState(), clock or FakeClock()
    for each in before:
        state.put_instance(each)
    asyncio.run(clock.advance(100.0))
    events = events_of(state, clock)
    observed = ObservedWorld(state, clock, outside, outside, outside, events)
    engine = SimpleNamespace(
        clock=clock,
        events=events,
        intent=outside,
        loop=SimpleNamespace(wake=lambda: None),
        observed=observed,
        tasks=outside,
    )
    return kind(engine, outside, outside, outside, ProgramPorts(*[outside] * 7)), observed


def test_a_start_that_was_not_come_to_is_made_now_and_has_all_of_its_time():
    after = Adoption(one(S.STARTING, process=None, since=0.0))
    assert (after.now.state, after.now.process, after.now.since) == (S.STARTING, None, 100.0)
    assert after.ended == []


@pytest.mark.parametrize("state", [S.STARTING, S.BACKOFF, S.STOPPED, S.FAILED])
def test_what_was_started_and_not_noted_is_found(state):
    before = one(state, process=None, since=0.0, is_run=state is S.STOPPED)
    after = Adoption(before, runs=OTHER, found=OTHER)
    assert (after.now.state, after.now.process, after.now.since) == (S.STARTING, OTHER, 100.0)
    assert after.now.restarts == (0 if state is S.STARTING else 1)
    assert after.outside.ended == [(before.id, OTHER)]


def test_a_start_that_goes_on_has_its_time_once_more():
    before = one(S.STARTING, since=0.0)
    after = Adoption(before, runs=before.process)
    assert (after.now.process, after.now.since) == (before.process, 100.0)


def test_a_start_whose_end_nobody_saw_is_made_again_and_is_no_crash():
    after = Adoption(one(S.STARTING, since=0.0))
    assert (after.now.state, after.now.process, after.now.crashes) == (S.STARTING, None, 0)
    assert after.ended == []


@pytest.mark.parametrize("fields", [{"is_run": True}, {"is_run": True, "process": None}, {}])
def test_what_is_to_run_once_does_not_run_twice(fields):
    before = one(S.STARTING, since=0.0, **fields)
    after = Adoption(before, port=False, autorestart=False)
    assert after.ended == [(before.id, Exit())]


def test_an_instance_that_was_ready_and_is_gone_has_exited_and_leaves_nobody():
    before = one(since=0.0)
    after = Adoption(before, runs=OTHER, found=OTHER)
    assert after.ended == [(before.id, Exit())]
    assert after.outside.ended == [(before.id, None)]


def test_what_has_ended_gets_no_more_requests_before_anybody_asks_its_output_why():
    happened: list[str] = []

    class Dying(Outside):
        async def adopt(self, launch: Launch, _: Process, on_exit) -> bool:
            if launch.slot < 3:
                on_exit(Exit(1))
            return True

        def publish(self, _: str, endpoints: tuple[Endpoint, ...]) -> int:
            happened.append(f"answers name {[e.instance for e in endpoints]}")
            return len(happened)

        async def last_lines(self, _: Spec, slot: int, __: int) -> list[str]:
            happened.append(f"output of slot {slot} is read")
            return ["no database"]

        async def holder(self, _: int) -> None:
            return None

    before = [one(slot=n, since=0.0) for n in (1, 2, 3)]
    supervision, observed = taking_over(before, Dying(None, None, App(command="run")))
    endpoints = tuple(Endpoint(i.slot, i.id, i.port) for i in before)
    observed.publish("web", endpoints)
    asyncio.run(supervision.adopt())
    assert happened == [
        "answers name ['web.1.1', 'web.2.2', 'web.3.3']",
        "answers name ['web.3.3']",
        "output of slot 1 is read",
        "output of slot 2 is read",
    ]
    assert "no database" in observed.instances["web.1.1"].reason


def test_others_have_their_turn_between_any_two_ends_of_instances():
    """`down --now` of a thousand is heard of in one round."""
    heard: list[str] = []

    class Heard(Outside):
        def app_of(self, i: Instance) -> App:
            heard.append(i.id)
            asyncio.get_running_loop().call_soon(heard.append, "others")
            return super().app_of(i)

    leaving = [one(S.STOPPING, slot=n) for n in (1, 2, 3)]
    supervision, observed = taking_over(leaving, Heard(None, None, App(command="run")))
    asyncio.run(supervision.adopt())
    assert {i.state for i in observed.instances.values()} == {S.GONE}
    assert heard[-6:] == ["web.1.1", "others", "web.2.2", "others", "web.3.3", "others"]


class Probed(Outside):
    """A program that is starting, opens its port at some time, and then fails its check."""

    def __init__(self, clock: FakeClock, opens_at: float, **keys) -> None:
        super().__init__(None, None, App(command="run", ready_timeout=3, **keys))
        self.clock, self.opens_at = clock, opens_at

    async def spawn(self, launch: Launch, _: object) -> Process:
        return OTHER

    def begin(self, _: Spec, __: int) -> None:
        """Its log files are there."""

    def start(self, _: str, work, *, of: str) -> None:
        self.task = asyncio.create_task(work())

    def can_probe(self, _: Instance) -> bool:
        return True

    async def probe(self, i: Instance) -> str:
        return "GET / answered 500" if await self.listening_ports(OTHER) else "connection refused"

    async def listening_ports(self, _: Process) -> set[ListeningPort]:
        port = ListeningPort(41001, "127.0.0.1")
        return {port} if self.clock.monotonic() >= 100 + self.opens_at else set()

    def is_reached(self, _: str) -> bool:
        return True

    async def last_lines(self, _: Spec, __: int, ___: int) -> list[str]:
        return []


@pytest.mark.parametrize(
    ("opens_at", "seconds", "keys", "expected"),
    [
        (9.0, 2.98, {}, "opened no port within 3s; if it needs longer, increase ready_timeout"),
        (2.9, 2.98, {}, "was not ready within 3s: GET / answered 500"),
        (0.5, 2.98, {}, "was not ready within 3s: GET / answered 500"),
        (0.5, 1.0, {}, ""),
        (9.0, 8.0, {"after_ready_timeout": "continue"}, "opened no port within 3s"),
        (9.0, 10.0, {"after_ready_timeout": "continue"}, "was not ready within 3s: GET / answer"),
    ],
)
def test_that_a_program_opened_no_port_is_said_only_while_it_is_so(
    opens_at, seconds, keys, expected
):
    starting = one(S.STARTING, process=None, port=41001)
    clock = FakeClock()
    probed = Probed(clock, opens_at, **keys)
    supervision, observed = taking_over([starting], probed, clock=clock)

    async def story() -> None:
        await supervision.spawn(starting, probed.versions.spec("v1"))
        await clock.advance(seconds)
        probed.task.cancel()

    asyncio.run(story())
    now = observed.instances[starting.id]
    assert now.reason.startswith(expected)
    assert bool(now.reason) is bool(expected)
    wrong = "connection refused" if seconds < opens_at else "GET / answered 500"
    assert supervision.waits_for(now) == wrong

"""When nginx is known to have been told, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from portico.core.model.instance import InstanceState
from portico.core.model.world import NginxSeen
from portico.engine.observed import COUNT_INTERVAL, RECORDS_AT_ONCE, UNASKED_TIME, ObservedWorld
from portico.errors import Failed
from tests.fakes.clock import FakeClock
from tests.fakes.state import MemoryState, events_of
from tests.unit.worlds import one

RUNS, DEAD = NginxSeen(81), NginxSeen(None)


class Discovery:
    """Hands out versions, and was asked when the test says so."""

    def __init__(self) -> None:
        self.version, self.asked = 0, (0, 0.0)

    def publish(self, app: str, endpoints: tuple[object, ...]) -> int:
        self.version += 1
        return self.version

    def acknowledged_version(self, app: str) -> tuple[int, float]:
        return self.asked


class Nginx:
    def __init__(self, seen: NginxSeen) -> None:
        self.now = seen

    def observe(self) -> NginxSeen:
        return self.now


class TcpPorts:
    def __init__(self) -> None:
        self.counts = 0

    async def connection_counts(self, ports: frozenset[int]) -> dict[int, int]:
        self.counts += 1
        return dict.fromkeys(ports, 3 - self.counts)


class Scene:
    """A daemon that begins now and finds a draining instance, with nginx as it is."""

    def __init__(self, nginx: NginxSeen) -> None:
        self.clock, self.state = FakeClock(), MemoryState()
        self.instance = one(InstanceState.DRAINING, since=0.0)
        self.state.put_instance(self.instance)
        self.discovery, self.nginx, self.ports = Discovery(), Nginx(nginx), TcpPorts()
        self.observed = ObservedWorld(
            self.state,
            self.clock,
            self.discovery,
            self.nginx,
            self.ports,
            events_of(self.state, self.clock),
        )
        self.observed.publish("web", ())

    def settled_after(self, seconds: float) -> bool:
        async def look() -> bool:
            await self.clock.advance(seconds)
            return self.instance.id in (await self.observed.look()).settled

        return asyncio.run(look())


def test_a_new_daemon_hears_all_who_may_ask_before_it_believes_that_all_were_told():
    """One worker asks at once; another, of files before these, is still waiting for an answer
    that the daemon before this one owed it, and asks again only then.
    """
    scene = Scene(RUNS)
    scene.discovery.asked = (1, 0.2)
    assert not scene.settled_after(UNASKED_TIME - 0.1)
    assert scene.settled_after(0.2)


def test_an_nginx_that_is_younger_than_the_daemon_has_asked_nobody_else():
    scene = Scene(DEAD)
    scene.nginx.now = RUNS
    scene.discovery.asked = (1, 0.2)
    assert not scene.settled_after(1.0)
    assert scene.settled_after(0.3)


def test_while_nginx_is_being_started_it_may_have_read_an_answer_before():
    scene = Scene(DEAD)
    scene.observed.nginx_busy = True
    assert not scene.settled_after(10 * UNASKED_TIME)
    scene.observed.nginx_busy = False
    assert scene.settled_after(0.0)


def test_workers_of_a_master_that_was_killed_may_still_serve():
    scene = Scene(NginxSeen(None, live="a generation"))
    scene.discovery.asked = (1, 0.2)
    assert not scene.settled_after(UNASKED_TIME - 0.1)
    assert scene.settled_after(0.2)


def test_an_app_that_nginx_does_not_ask_about_is_in_no_site():
    scene = Scene(RUNS)
    assert not scene.settled_after(UNASKED_TIME - 0.1)
    assert scene.settled_after(1.0)


class Disk(MemoryState):
    """Counts what is written at once; full when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.writes, self.is_full = 0, False

    @contextmanager
    def transaction(self, *, durable: bool = True, more: bool = False) -> Iterator[None]:
        if self.is_full:
            raise Failed("the disk is full")
        assert not durable
        self.writes += 1
        yield


def begun(disk: Disk) -> ObservedWorld:
    clock = FakeClock()
    return ObservedWorld(disk, clock, Discovery(), Nginx(RUNS), TcpPorts(), events_of(disk, clock))


def look(observed: ObservedWorld) -> None:
    asyncio.run(observed.look())


def test_rounds_of_one_moment_count_connections_once():
    scene = Scene(DEAD)
    assert scene.settled_after(1.0)
    assert scene.observed.connections == {scene.instance.id: 2}
    for _ in range(9):
        scene.settled_after(COUNT_INTERVAL / 10)
    assert (scene.ports.counts, scene.observed.connections[scene.instance.id]) == (1, 2)
    scene.settled_after(COUNT_INTERVAL / 5)
    assert (scene.ports.counts, scene.observed.connections[scene.instance.id]) == (2, 1)


def test_what_becomes_of_a_thousand_instances_in_a_round_is_few_writes():
    disk = Disk()
    observed = begun(disk)
    places = [("web", partial(lambda slot, _: one(slot=slot), n + 1)) for n in range(1000)]
    its = observed.add(places)
    assert (disk.writes, len(disk.instances())) == (1, 1000)
    for i in its:
        observed.put(one(InstanceState.DRAINING, slot=i.slot))
    for i in its[500:]:
        observed.forget(i.id)
    look(observed)
    assert disk.writes == 1 + 2000 // RECORDS_AT_ONCE
    assert {i.state for i in disk.instances()} == {InstanceState.DRAINING}
    assert len(disk.instances()) == 500
    look(observed)
    assert disk.writes == 1 + 2000 // RECORDS_AT_ONCE


def test_on_a_full_disk_what_ends_is_forgotten_all_the_same_and_written_when_there_is_room():
    disk = Disk()
    observed = begun(disk)
    [first, second] = observed.add([("web", lambda _: one()), ("web", lambda _: one(slot=2))])
    disk.is_full = True
    observed.put(one(InstanceState.DRAINING))
    observed.forget(first.id)
    look(observed)
    assert list(observed.instances) == [second.id]
    assert observed.unrecorded == "the disk is full"
    assert len(disk.instances()) == 2
    disk.is_full = False
    look(observed)
    assert observed.unrecorded == ""
    assert [i.id for i in disk.instances()] == [second.id]


def test_on_a_full_disk_nothing_new_begins():
    """Its process would be on no record."""
    disk = Disk()
    observed = begun(disk)
    disk.is_full = True
    with pytest.raises(Failed, match="full"):
        observed.add([("web", lambda _: one())])
    assert observed.instances == {}

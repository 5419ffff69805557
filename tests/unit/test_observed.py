"""When nginx is known to have been told, on a clock that the test moves."""

from __future__ import annotations

import asyncio

from portico.core.model.instance import InstanceState
from portico.core.model.world import NginxSeen
from portico.engine.observed import UNASKED, Observed
from tests.fakes.clock import FakeClock
from tests.fakes.state import MemoryState
from tests.unit.worlds import one

RUNS, DEAD = NginxSeen(81), NginxSeen(None)


class Discovery:
    """Hands out versions, and was asked when the test says so."""

    def __init__(self) -> None:
        self.version, self.asked = 0, (0, 0.0)

    def publish(self, app: str, endpoints: tuple[object, ...]) -> int:
        self.version += 1
        return self.version

    def told(self, app: str) -> tuple[int, float]:
        return self.asked


class Nginx:
    def __init__(self, seen: NginxSeen) -> None:
        self.now = seen

    def seen(self) -> NginxSeen:
        return self.now


class Ports:
    async def established(self, ports: frozenset[int]) -> dict[int, int]:
        return {}


class Scene:
    """A daemon that begins now and finds a draining instance, with nginx as it is."""

    def __init__(self, nginx: NginxSeen) -> None:
        self.clock, self.state = FakeClock(), MemoryState()
        self.instance = one(InstanceState.DRAINING, since=0.0)
        self.state.put_instance(self.instance)
        self.discovery, self.nginx = Discovery(), Nginx(nginx)
        self.observed = Observed(self.state, self.clock, self.discovery, self.nginx, Ports())
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
    assert not scene.settled_after(UNASKED - 0.1)
    assert scene.settled_after(0.2)


def test_an_nginx_that_is_younger_than_the_daemon_has_asked_nobody_else():
    scene = Scene(DEAD)
    scene.nginx.now = RUNS
    scene.discovery.asked = (1, 0.2)
    assert not scene.settled_after(1.0)
    assert scene.settled_after(0.3)


def test_an_app_that_nginx_does_not_ask_about_is_in_no_site():
    scene = Scene(RUNS)
    assert not scene.settled_after(UNASKED - 0.1)
    assert scene.settled_after(1.0)

"""What whoever waits for a change is told meanwhile, and when the wait is over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from portico.core.model.instance import InstanceState
from portico.core.model.site import Site
from portico.core.model.upstream import Upstream
from portico.core.planning.file_effects import unchanged_sites
from portico.engine.changes import Change
from portico.engine.control.convergence import CHANGE_TIMEOUT, NGINX_TIMEOUT, Convergence
from portico.errors import Failed
from tests.fakes.clock import FakeClock
from tests.unit.worlds import app, desired, one, world

S = InstanceState


class Outside:
    """An app web that becomes ready when it is told to, behind an nginx that asks when told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.its, self.instance = app(good=None), one(S.STARTING)
        self.revert_reasons: dict[str, str] = {}
        self.missing: list[str] = []
        self.change = Change("c1", "up", "web", frozenset(), 0.0)
        engine = SimpleNamespace(intent=self, observed=self, loop=self, clock=self.clock)
        self.convergence = Convergence(engine, self, nginx=None, sites=None)

    def ends_after(self, seconds: float, name: str = "web") -> bool:
        """Whether the wait does, and without a failure."""

        async def wait() -> bool:
            waiting = asyncio.create_task(self.convergence.apps(self.change, [name]))
            await self.clock.advance(seconds)
            done = waiting.done()
            if done:
                waiting.result()
            waiting.cancel()
            return done

        return asyncio.run(wait())

    def becomes_ready(self) -> None:
        self.its, self.instance = app(), one()

    # As intent, what is observed, the loop and the report

    fingerprint = "g1"

    @property
    def desired(self):
        return desired(self.its, upstreams={"web": Upstream(apps=("web",))})

    def now(self):
        return world(self.instance, knows=[self.its], now=self.clock.monotonic())

    @property
    def instances(self):
        return {self.instance.id: self.instance}

    def not_acknowledged(self, _: object) -> list[str]:
        return self.missing

    async def next_round(self) -> None:
        await self.clock.sleep(1.0)

    def waits_for(self, _: object) -> str:
        return "web.1.1 does not answer"

    def last_lines(self, _: str, __: float) -> list[str]:
        return ["the last lines"]


def test_who_waits_is_told_for_how_long_and_for_what():
    outside = Outside()
    assert not outside.ends_after(25)
    assert outside.change.lines == [
        "web: 0 of 1 ready",
        "waiting for 10s: web: 0 of 1 ready; web.1.1 does not answer",
        "waiting for 20s: web: 0 of 1 ready; web.1.1 does not answer",
    ]


def test_a_program_that_runs_once_before_others_is_waited_for_as_long_as_it_needs():
    outside = Outside()
    run = app("migrate", good=None, port=False, autorestart=False)
    outside.its, outside.instance = replace(run, must_end=True), one(name="migrate")
    assert not outside.ends_after(4 * CHANGE_TIMEOUT - 1, "migrate")
    why = outside.waits_for(None)
    assert outside.change.lines == [
        "migrate: running",
        *(f"waiting for {n}s: migrate: running; {why}" for n in range(60, 3600, 60)),
    ]


def test_what_never_becomes_ready_is_given_up_after_the_longest_wait():
    with pytest.raises(Failed, match="timed out after 900s; Portico continues"):
        Outside().ends_after(CHANGE_TIMEOUT + 1)


@pytest.mark.parametrize(("longest", "after"), [(0.0, "900s"), (3600.0, "4500s")])
def test_an_end_that_does_not_come_is_given_up_too_but_not_before_a_drain_may_have_ended(
    longest, after
):
    outside = Outside()
    engine = SimpleNamespace(intent=outside, observed=outside, loop=outside, clock=outside.clock)
    stuck = SimpleNamespace(observe=lambda: SimpleNamespace(pid=None))
    convergence = Convergence(engine, outside, nginx=stuck, sites=None)

    async def wait() -> None:
        ending = asyncio.create_task(convergence.end(outside.change, longest))
        await outside.clock.advance(CHANGE_TIMEOUT + longest - 2)
        assert not ending.done()
        await outside.clock.advance(4)
        assert ending.done()
        await ending

    with pytest.raises(Failed, match=f"timed out after {after}; Portico continues"):
        asyncio.run(wait())
    assert outside.change.lines == ["waiting for 1 instance to stop"]


def test_a_change_is_done_when_nginx_sends_requests_to_no_previous_instance():
    outside = Outside()
    outside.becomes_ready()
    outside.missing = ["web"]
    assert not outside.ends_after(NGINX_TIMEOUT - 1)
    outside.missing = []
    assert outside.ends_after(1)
    assert outside.change.lines == []


def test_where_nginx_does_not_ask_a_change_says_what_that_means():
    outside = Outside()
    outside.becomes_ready()
    outside.missing = ["web"]
    assert outside.ends_after(NGINX_TIMEOUT + 1)
    assert outside.change.lines == [
        "nginx has not asked where web is for 10s and may still use the previous instances"
    ]


@pytest.mark.parametrize(
    ("must_end", "said"),
    [
        (False, "web was rolled back; the previous version is serving: it ended"),
        (True, "web failed; the apps after it were not replaced: it ended"),
    ],
)
def test_a_rollout_that_was_given_up_says_what_still_holds(must_end, said):
    outside = Outside()
    outside.its = replace(outside.its, must_end=must_end)
    outside.revert_reasons = {"web": "it ended"}
    with pytest.raises(Failed, match=f"{said}\nthe last lines"):
        outside.ends_after(1)


class CountedSites:
    """Every site answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def ask(self, name: str, *_: object, **__: object) -> None:
        self.asked.append(name)


def asked_of(number: int, answered: set[str]) -> tuple[list[str], list[str]]:
    """Which of so many sites with two apps in turn are asked, and what is said."""
    sites = {f"s{n}.test": Site(app="web" if n % 2 else "api") for n in range(number)}
    upstreams = {name: Upstream(apps=(name,)) for name in ("web", "api")}
    wants = desired(app(), sites=sites, upstreams=upstreams)
    outside, counted = Outside(), CountedSites()
    engine = SimpleNamespace(intent=outside, observed=outside, loop=outside, clock=outside.clock)
    convergence = Convergence(engine, outside, nginx=None, sites=counted)
    asyncio.run(convergence.sites(outside.change, wants, wants, answered))
    return counted.asked, outside.change.lines


def test_one_more_of_many_sites_is_asked_with_one_for_each_app():
    """A handshake with all of 300 took longer than all the rest of an `up`."""
    assert len(asked_of(300, set())[0]) == 300
    known = {f"s{n}.test" for n in range(300)}
    asked, lines = asked_of(301, known)
    assert asked == ["s0.test", "s1.test", "s300.test"]
    assert lines == ["3 sites answer, 298 are unchanged"]
    assert len(asked_of(20, known)[0]) == 20


def test_a_site_is_as_it_was_only_where_nginx_listens_as_it_did():
    before = desired(sites={"a.test": Site(app="web"), "b.test": Site(app="web")})
    after = replace(before, sites={**before.sites, "b.test": Site(app="api")})
    assert unchanged_sites(before, after) == {"a.test"}
    moved = replace(after, listeners=replace(after.listeners, https=444))
    assert unchanged_sites(before, moved) == frozenset()

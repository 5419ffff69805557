"""What a machine does of a change of its cluster, and makes up for, by its own operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from portico.core.model.app import App
from portico.core.planning.switches import MissedSwitches
from portico.engine import in_force
from portico.engine.cluster.local_work import OwnWork
from portico.engine.cluster.machine_drain import TAKE_OVER_TIMEOUT
from portico.engine.control.assembly import Control
from portico.engine.projects import Projects
from portico.errors import Failed, Refused
from tests.unit.test_switches import change


class Operations:
    """Notes what it is asked for; apps of which `fails` is one do not start. A drain is under way
    until the clock says `drain_ends`.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.fails, self.drain_ends = "", 0.0

    def __getattr__(self, verb: str) -> Callable:
        async def begin(name: str, who: object, *more: object) -> SimpleNamespace:
            self.asked.append((verb, name, *more))
            return SimpleNamespace(id=name, state="doing", lines=(), error=None)

        return begin


class Clock:
    """Time that passes in sleeps alone."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += seconds


class Changes:
    def __init__(self, operations: Operations, clock: Clock) -> None:
        self._operations, self._clock = operations, clock

    def under_way(self) -> list:
        is_over = self._clock.monotonic() >= self._operations.drain_ends
        return [] if is_over else [SimpleNamespace(apps={"web"})]

    def hold(self, apps: object) -> None:
        raise Refused("the drain of m1 is under way")

    async def follow(self, id_: str):
        state = "failed" if id_ == self._operations.fails else "done"
        yield SimpleNamespace(id=id_, state=state, lines=(), error="it exited")


@pytest.fixture
def operations() -> Operations:
    return Operations()


@pytest.fixture
def work(operations) -> OwnWork:
    apps = {
        "web": App(command="x"),
        "clean": App(command="x", port=False, schedule="@daily"),
    }
    revision = SimpleNamespace(document={"project": "shop"}, folder="/srv")
    desired = SimpleNamespace(
        apps={name: SimpleNamespace(app=app) for name, app in apps.items()}, sites={"a.test"}
    )
    intent = SimpleNamespace(
        desired=desired, revisions={"default": revision}, inputs=lambda revision: revision
    )
    intent.runs = SimpleNamespace(withdraw=lambda _: [])
    engine = SimpleNamespace(intent=intent, clock=Clock())
    engine.changes = Changes(operations, engine.clock)
    hanging = SimpleNamespace(check=lambda _: asyncio.Event().wait())
    control = Control(operations, None, hanging)
    return OwnWork(engine, control, lambda app, id_: None)


def make_up(work: OwnWork, **missed: object) -> None:
    asyncio.run(work.make_up(MissedSwitches(**missed), lambda line: None))


def test_what_is_known_here_is_made_up_for_and_no_run_of_a_schedule(work, operations):
    make_up(
        work,
        stop=("shop/clean", "shop/removed"),
        start=("other/web",),
        reload=("shop/web", "shop/clean"),
        pause={"a.test": 5.0, "b.test": 0.0},
        resume=("a.test",),
    )
    assert operations.asked == [
        ("stop", "shop/clean"),
        ("reload", "shop/web"),
        ("pause", "a.test", 5.0),
        ("resume", "a.test"),
    ]


def test_an_app_that_is_called_as_one_of_another_project_is_reloaded_after_its_file(
    work, operations
):
    shop = work._intent.revisions["default"]  # noqa: SLF001 - as two projects are in force
    blog = SimpleNamespace(document={"project": "blog"}, folder="/srv/blog")
    work._intent.revisions = {"default": shop, "blog": blog}  # noqa: SLF001
    apps = work._intent.desired.apps  # noqa: SLF001
    apps["blog/clean"] = apps["clean"]
    reload = change("reload", project="shop", apps=("shop/clean",))
    asyncio.run(work.make(reload, SimpleNamespace(), (), lambda line: None))
    assert operations.asked[1:] == [("reload", "shop/clean", None)]
    names = Projects(work._intent).names()  # noqa: SLF001
    assert names.apps_of("shop/clean") == ["clean"]
    with pytest.raises(Refused, match="clean is the name of several apps"):
        names.apps_of("clean")


def test_what_fails_here_is_said(work, operations):
    operations.fails = "shop/web"
    with pytest.raises(Failed, match="it exited"):
        make_up(work, reload=("shop/web",))


def test_what_a_newer_version_can_do_is_refused_before_any_machine_changes(work):
    with pytest.raises(
        Refused, match=r"^Portico .* on this machine does not know `levitate`; upgrade it$"
    ):
        asyncio.run(work.check(change("levitate", apps=("shop/web",)), None))
    asyncio.run(work.check(change("drain"), None))


def test_a_check_of_a_folder_that_does_not_answer_ends(work, monkeypatch):
    monkeypatch.setattr(in_force, "RENDER_TIMEOUT", 0.01)
    with pytest.raises(Failed, match=r"not ready within 0\.01 s; nothing was changed"):
        asyncio.run(work.check(change("reload", projects=("shop",)), None))


def test_a_change_of_all_waits_for_a_drain_that_waits_for_others_and_not_for_ever(
    work, operations
):
    operations.drain_ends = TAKE_OVER_TIMEOUT + 30
    asyncio.run(work.check(change("drain"), None))
    operations.drain_ends = 10 * TAKE_OVER_TIMEOUT
    with pytest.raises(Refused, match="the drain of m1 is under way"):
        asyncio.run(work.check(change("drain"), None))

"""What a machine does of a change of its cluster, and makes up for, by its own operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from portico.core.model.app import App
from portico.core.planning.switches import MissedSwitches
from portico.engine.cluster.local_work import OwnWork
from portico.errors import Failed, Refused
from tests.unit.test_switches import change


class Operations:
    """Notes what it is asked for; apps of which `fails` is one do not start."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.fails = ""

    def __getattr__(self, verb: str) -> Callable:
        async def begin(name: str, who: object, *more: object) -> SimpleNamespace:
            self.asked.append((verb, name, *more))
            return SimpleNamespace(id=name, state="doing", lines=(), error=None)

        return begin


class Changes:
    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def under_way(self) -> list:
        return []

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
    intent = SimpleNamespace(desired=desired, revisions={"default": revision})
    clock = SimpleNamespace(monotonic=float)
    engine = SimpleNamespace(intent=intent, clock=clock)
    return OwnWork(engine, operations, Changes(operations), None, lambda app, id_: None)


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


def test_what_fails_here_is_said(work, operations):
    operations.fails = "shop/web"
    with pytest.raises(Failed, match="it exited"):
        make_up(work, reload=("shop/web",))


def test_what_a_newer_version_can_do_is_refused_before_any_machine_changes(work):
    with pytest.raises(Refused, match=r"this version of Portico, .*, cannot levitate"):
        asyncio.run(work.check(change("levitate", apps=("shop/web",)), None))
    asyncio.run(work.check(change("drain"), None))

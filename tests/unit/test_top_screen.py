"""The screen of `portico top`, driven by keys, on a daemon that only answers."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
from textual.widgets import DataTable, Static

from portico.cli.commands.top import screen_of_top
from portico.cli.top.rows import HEADS
from portico.cli.top.screen import Top
from portico.client.client import _read
from portico.core.model import machine_verbs, verbs
from portico.core.model.views import ChangeView
from portico.errors import Failed, Unreachable
from tests.unit.top_views import app, other_machine, status

DEADLINE = 120


class Daemon:
    """What a client says, and what it was asked for."""

    def __init__(self, *apps, **more):
        self.status, self.asked, self.fails = status(apps, **more), [], False

    def ask(self, verb, **arguments):
        if verb is verbs.STATUS:
            if self.fails:
                raise Unreachable("porticod does not answer")
            return _read(self.status.model_dump_json().encode())
        if verb is machine_verbs.MACHINES:
            return [_read(other_machine(self.status.apps).model_dump_json().encode())]
        self.asked.append((verb.name, arguments))
        return self._change("doing")

    def follow(self, change):
        assert change == "1"
        yield self._change("doing")
        yield self._change("done")

    def _change(self, state):
        view = ChangeView(
            id="1",
            kind="reload",
            subject="web",
            state=state,
            started=0.0,
            lines=("web.1 is ready",),
        )
        return _read(json.dumps(view.model_dump(mode="json")).encode())


def run(daemon, story, words=""):
    async def play():
        top = Top(daemon, words, interval=0.2)
        async with top.run_test(size=(160, 30)) as pilot:
            await until(pilot, lambda: top.query_one("#rows", DataTable).row_count)
            await story(top, pilot)

    asyncio.run(asyncio.wait_for(play(), DEADLINE))


async def until(pilot, holds):
    while not holds():
        await pilot.pause(0.02)


def shown(top):
    table = top.query_one("#rows", DataTable)
    heads = [str(column.label).split()[0] for column in table.columns.values()]
    at = heads.index("instance")
    return [str(table.get_row_at(number)[at]) for number in range(table.row_count)]


def text(top, name):
    return str(top.query_one(name, Static).visual)


def test_it_shows_instances_and_problems_and_names_no_project_where_there_is_one():
    async def story(top, _):
        assert shown(top) == ["web.1", "web.2"]
        heads = [str(column.label) for column in top.query_one(DataTable).columns.values()]
        assert "project" not in heads
        assert "2 of 2 instances ready" in text(top, "#head")
        assert "problem: web.1 has crashed" in text(top, "#head")

    run(Daemon(app("web", (1, 2)), troubles=["web.1 has crashed"]), story)


def test_keys_sort_and_filter():
    async def story(top, pilot):
        for _ in range(HEADS.index("req/s") - HEADS.index("instance")):
            await pilot.press("greater_than_sign")
        assert shown(top) == ["web.3", "web.2", "web.1"]
        await pilot.press("i")
        assert shown(top) == ["web.1", "web.2", "web.3"]
        await pilot.press("slash", *"web.2", "enter")
        assert shown(top) == ["web.2"]
        assert "only: web.2" in text(top, "#head")

    run(Daemon(app("web", (1, 2, 3))), story)


def test_a_change_is_confirmed_and_followed():
    daemon = Daemon(app("web", (1, 2)))
    changes = {
        "r": ("reload", {"app": "shop/web"}),
        "R": ("restart", {"app": "shop/web"}),
        "x": ("stop", {"app": "shop/web"}),
        "plus": ("scale", {"app": "shop/web", "instances": "+1"}),
        "minus": ("scale", {"app": "shop/web", "instances": "-1"}),
    }

    async def story(top, pilot):
        for key, asked in changes.items():
            await pilot.press(key, "n")
            assert daemon.asked == []
            await pilot.press(key)
            assert text(top, "#message").endswith("?  y: yes  n: no")
            await pilot.press("y")
            await until(pilot, lambda: text(top, "#message").endswith(": done"))
            await pilot.press("y")  # asks for nothing twice
            assert daemon.asked == [asked]
            daemon.asked.clear()

    run(daemon, story)


@pytest.mark.parametrize(
    ("shared", "said", "asked"),
    [
        (False, "web.1 runs on m2; change it there", []),
        (
            True,
            "reload shop/web on all machines?  y: yes  n: no",
            [("reload", {"app": "shop/web"})],
        ),
    ],
)
def test_a_row_of_another_machine_is_changed_where_all_machines_are(shared, said, asked):
    daemon = Daemon(app("web", (1,)), machine="m1", shared=shared)

    async def story(top, pilot):
        await until(pilot, lambda: len(shown(top)) == 2)
        await pilot.press("down", "r")
        assert text(top, "#message") == said
        await pilot.press("y")
        await until(pilot, lambda: daemon.asked == asked)

    run(daemon, story)


def test_a_daemon_that_does_not_answer_is_said_and_asked_again():
    daemon = Daemon(app("web", (1,)))

    async def story(top, pilot):
        daemon.fails = True
        await until(pilot, lambda: "porticod does not answer" in text(top, "#head"))
        assert shown(top) == ["web.1"]
        daemon.fails = False
        await until(pilot, lambda: "1 of 1 instances ready" in text(top, "#head"))

    run(daemon, story)


def test_the_cursor_stays_on_its_instance():
    daemon = Daemon(app("web", (1, 2, 3)))

    async def story(top, pilot):
        await pilot.press("down", "down")
        daemon.status = status([app("web", (0, 1, 2, 3))])
        await until(pilot, lambda: len(shown(top)) == 4)
        assert top.selected().instance.slot == 3

    run(daemon, story)


def test_what_programs_say_has_no_effect_on_the_terminal():
    daemon = Daemon(app("web", (1,)), troubles=["web.1 says \x1b[2J[bold]"])

    async def story(top, _):
        assert "\x1b" not in text(top, "#head")
        assert "[bold]" in text(top, "#head")

    run(daemon, story)


def test_without_textual_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "textual", None)
    monkeypatch.setitem(sys.modules, "textual.app", None)
    monkeypatch.delitem(sys.modules, "portico.cli.top.screen")
    with pytest.raises(Failed, match=r"python.* -m pip install 'textual>=3'"):
        screen_of_top()

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.records import Revision
from portico.core.model.watched import WatchResult, WatchSettings
from portico.core.planning.watching import (
    LOOP_ROLLOUTS,
    LOOP_TIME,
    MAX_WAIT,
    PendingRestart,
    is_due,
    is_ignored,
    with_change,
)
from portico.engine.instances import file_watches
from portico.engine.instances.file_watches import LOOK_INTERVAL, FileWatches
from portico.engine.troubles import Troubles
from portico.errors import Refused

# When


def test_changes_that_come_together_are_one():
    pending = None
    for moment in (10.0, 10.1, 10.3):
        pending = with_change(pending, f"/srv/{moment}", moment)
    assert pending == PendingRestart("/srv/10.0", 10.0, 10.3)
    assert [is_due(pending, 0.5, now) for now in (10.3, 10.7, 10.8)] == [False, False, True]


def test_what_never_comes_to_rest_is_rolled_out_all_the_same():
    pending = PendingRestart("/srv/x", 10.0, 10.0 + MAX_WAIT)
    assert is_due(pending, 5.0, 10.0 + MAX_WAIT)
    assert not is_due(pending, 5.0, 9.9 + MAX_WAIT)


# What

WEB = WatchSettings("/srv/web", ("/srv/web",))


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("server.js", False),
        (".env", False),
        ("lib/logs.js", False),
        ("catalogs/a", False),
        ("lib/a.swf", False),
        (".git/index", True),
        ("node_modules/a/index.js", True),
        ("packages/a/node_modules/b.js", True),
        ("lib/__pycache__/a.pyc", True),
        ("logs", True),
        ("logs/web.txt", True),
        ("web.log", True),
        ("web.log.1", True),
        (".server.js.swp", True),
        (".server.js.swx", True),
        ("server.js~", True),
        (".#server.js", True),
        ("#server.js#", True),
        ("4913", True),
    ],
)
def test_what_is_ignored_everywhere(path, ignored):
    assert is_ignored(f"/srv/web/{path}", WEB) is ignored


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        ("dist", "dist/a.js", True),
        ("dist", "lib/dist/a.js", True),
        ("dist/", "lib/dist/a.js", True),
        ("dist", "distance.js", False),
        ("./dist", "dist/a.js", True),
        ("./dist", "lib/dist/a.js", False),
        ("lib/dist", "lib/dist/a.js", True),
        ("lib/dist", "x/lib/dist/a.js", False),
        ("*.map", "lib/a.js.map", True),
        ("*.map", "lib/a.map.js", False),
        ("lib/*.js", "lib/a.js", True),
        ("lib/*.js", "lib/b/a.js", False),
        ("lib/**/*.js", "lib/a.js", True),
        ("lib/**/*.js", "lib/b/c/a.js", True),
        ("**/fixtures", "test/fixtures/a", True),
        ("**/fixtures", "fixtures/a", True),
        ("tmp/**", "tmp/a/b", True),
        ("a?c", "abc", True),
        ("[ab].js", "b.js", True),
        ("[!ab].js", "b.js", False),
        ("[z-a]", "[z-a]", True),
        ("a.c", "abc", False),
        ("/srv/web/data", "data/a", True),
        ("/srv/other", "data/a", False),
        ("*", "a", True),
        (".*", ".env", True),
    ],
)
def test_what_the_file_says_is_ignored(pattern, path, ignored):
    watched = WatchSettings("/srv/web", ("/srv/web",), (pattern,))
    assert is_ignored(f"/srv/web/{path}", watched) is ignored


def test_what_is_watched_by_name_is_never_ignored_for_where_it_lies():
    watched = WatchSettings("/srv/web", ("/srv/web/node_modules/own", "/srv/shared"), ("./lib",))
    assert not is_ignored("/srv/web/node_modules/own/index.js", watched)
    assert is_ignored("/srv/web/node_modules/own/node_modules/a.js", watched)
    assert not is_ignored("/srv/shared/lib/a.js", watched)
    assert not is_ignored("/srv/shared", watched)


def test_what_portico_writes_is_ignored():
    watched = WatchSettings("/srv/web", ("/srv/web",), own=("/srv/web/.portico", "/srv/web/out"))
    for path in (".portico", ".portico/logs/a", "out", "out.1"):
        assert is_ignored(f"/srv/web/{path}", watched)
    for path in (".portico-notes", "out.js", "outer"):
        assert not is_ignored(f"/srv/web/{path}", watched)


# Who begins a rollout, and when


class Told:
    """Stands for the files, the clock and the rollouts of one daemon."""

    def __init__(self, **keys) -> None:
        app = App(command="x", **{"watch": True, "watch_delay": 1.0} | keys)
        self.time, self.busy, self.hung = 100.0, False, False
        self.rollouts: list[tuple[str, str]] = []
        self.wanted: list[dict[str, WatchSettings]] = []
        self.found = WatchResult()
        scaled = Revision(2, 0.0, "me", "scale web 2", "/srv", {}, {}, path="/srv/p.toml")
        self.intent = SimpleNamespace(desired=None, revisions={scaled.project: scaled})
        self.want(app)
        self.troubles = Troubles()
        self.watching = FileWatches(
            self.intent, self.troubles, self.reload, clock=self, files=self, home="/home/portico"
        )

    def want(self, app: App, **more) -> None:
        spec = Spec("v1", "web", app, "/srv", {})
        self.intent.desired = Desired(apps={"web": DesiredApp("web", 1, spec, **more)})

    def monotonic(self) -> float:
        return self.time

    async def look(self, wanted):
        self.wanted.append(wanted)
        await asyncio.sleep(3600 * self.hung)
        found, self.found = self.found, WatchResult(trouble=self.found.trouble)
        return dict.fromkeys(wanted, found)

    async def reload(self, app, who) -> None:
        if self.busy:
            raise Refused("a rollout is under way")
        self.rollouts.append((app, str(who)))

    async def runs(self) -> None:
        while True:
            await self.watching.look()
            await self.watching.pause()

    def passes(self, seconds: float, changed: str = "") -> None:
        self.found = WatchResult(changed, self.found.trouble)
        for _ in range(int(seconds / LOOK_INTERVAL)):
            asyncio.run(self.watching.look())
            self.time += LOOK_INTERVAL


def test_changes_make_one_rollout_when_it_is_quiet():
    told = Told()
    told.passes(0.5, "/srv/a.js")
    told.passes(0.5, "/srv/b.js")
    assert told.rollouts == []
    told.passes(5)
    assert told.rollouts == [("web", "a change of /srv/a.js")]


def test_the_file_in_force_is_not_watched_after_a_command_changed_what_it_says():
    told = Told()
    told.passes(1)
    assert {"/srv/p.toml", "/home/portico"} <= set(told.wanted[-1]["web"].own)


def test_a_change_during_a_rollout_makes_one_more_after_it():
    told = Told()
    told.busy = True
    told.passes(2, "/srv/a.js")
    told.passes(20, "/srv/b.js")
    assert told.rollouts == []
    told.busy = False
    told.passes(20)
    assert told.rollouts == [("web", "a change of /srv/a.js")]
    told.passes(20, "/srv/c.js")
    assert len(told.rollouts) == 2


def test_what_cannot_be_watched_is_a_trouble_until_it_can():
    told = Told()
    told.found = WatchResult(trouble="/srv/x does not exist")
    told.passes(1)
    (trouble,) = told.troubles.sentences()
    assert trouble.startswith("cannot watch all files of web: /srv/x does not exist")
    told.found = WatchResult()
    told.passes(1)
    assert told.troubles.sentences() == []


def test_an_app_that_writes_to_what_it_watches_is_a_trouble_until_it_no_longer_does():
    told = Told()
    for number in range(LOOP_ROLLOUTS):
        assert told.troubles.sentences() == []
        told.passes(4, f"/srv/data/{number}.json")
    (trouble,) = told.troubles.sentences()
    assert trouble == (
        f"web was replaced {LOOP_ROLLOUTS} times within 60s because files changed, the last time "
        f"/srv/data/{LOOP_ROLLOUTS - 1}.json; if the app writes them, add them to ignore_watch"
    )
    told.passes(LOOP_TIME)
    assert told.troubles.sentences() == []


def test_changes_at_the_pace_of_a_person_are_no_loop():
    told = Told()
    for number in range(3 * LOOP_ROLLOUTS):
        told.passes(LOOP_TIME / (LOOP_ROLLOUTS - 1), f"/srv/{number}.js")
    assert len(told.rollouts) == 3 * LOOP_ROLLOUTS
    assert told.troubles.sentences() == []


def test_instances_start_when_their_files_are_watched():
    told, order = Told(), []

    async def start() -> None:
        await told.watching.begin()
        order.append(f"start after {len(told.wanted)} look")

    async def scenario() -> None:
        watching = asyncio.create_task(told.runs())
        await start()
        await start()
        told.want(App(command="x", watch="dist"))
        await start()
        watching.cancel()

    asyncio.run(scenario())
    assert order == ["start after 1 look", "start after 1 look", "start after 2 look"]


def test_files_that_do_not_answer_hold_the_start_up_once_and_not_for_long(monkeypatch):
    monkeypatch.setattr(file_watches, "BEGIN_TIMEOUT", 0.5)
    told = Told()
    told.hung = True

    async def scenario() -> list[float]:
        watching, waited = asyncio.create_task(told.runs()), []
        for _ in range(3):
            begun = asyncio.get_running_loop().time()
            await told.watching.begin()
            waited.append(asyncio.get_running_loop().time() - begun)
        watching.cancel()
        return waited

    first, *later = asyncio.run(scenario())
    assert first >= 0.5
    assert max(later) < 0.5


def test_nothing_is_asked_of_the_files_while_no_app_watches():
    told = Told(watch=False)
    told.passes(5)
    assert told.wanted == []


@pytest.mark.parametrize("stopped", [True, False])
def test_watching_ends_with_the_key_and_with_the_app(stopped):
    told = Told()
    told.found = WatchResult("/srv/a.js", "/srv/x does not exist")
    told.passes(0.5, "/srv/a.js")
    told.want(App(command="x", watch=stopped), stopped=stopped)
    told.passes(5)
    assert told.wanted[1:] == [{}]
    assert (told.rollouts, told.troubles.sentences()) == ([], [])


def test_paths_are_taken_from_the_folder_of_the_app():
    told = Told(cwd="web", watch=("dist", "../shared", "/etc/web.conf"), ignore_watch="*.map")
    told.passes(0.5)
    assert told.wanted == [
        {
            "web": WatchSettings(
                "/srv/web",
                ("/srv/web/dist", "/srv/shared", "/etc/web.conf"),
                ("*.map",),
                (
                    "/home/portico",
                    "/home/portico/apps/web.1.err.log",
                    "/home/portico/apps/web.1.out.log",
                    "/srv/p.toml",
                ),
            )
        }
    ]


def test_an_app_inside_the_home_of_portico_can_be_watched():
    told = Told(cwd="/home/portico/apps/web")
    told.passes(0.5)
    assert "/home/portico" not in told.wanted[0]["web"].own

"""Changes: long operations that go on whether or not somebody follows them."""

from __future__ import annotations

import asyncio

import pytest

from portico.engine.changes import EVERY_APP, MAX_FINISHED_CHANGES, Changes
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from portico.errors import Failed, NotFound, Refused
from tests.fakes.clock import FakeClock


def in_group(scenario):
    """Run a scenario with a fresh set of changes, whose tasks have all ended afterwards."""

    async def run():
        async with asyncio.TaskGroup() as group:
            tasks = Tasks(group, Troubles(), FakeClock())
            return await scenario(Changes(tasks, FakeClock()))

    return asyncio.run(run())


def test_a_change_is_answered_at_once_and_followed_to_its_end():
    async def scenario(changes):
        go_on = asyncio.Event()

        async def work(change):
            change.say("first")
            await go_on.wait()
            change.say("second")

        begun = changes.begin("reload", "web", ["web"], work)
        seen = []
        async for view in changes.follow(begun.id):
            seen.append((view.state, view.lines))
            if view.lines == ("first",):
                go_on.set()
        return begun, seen

    begun, seen = in_group(scenario)
    assert (begun.state, begun.lines) == ("doing", ())
    assert seen[-1] == ("done", ("first", "second"))


def test_a_change_that_failed_is_an_event_with_its_reason():
    events = []

    async def scenario():
        async with asyncio.TaskGroup() as group:
            tasks = Tasks(group, Troubles(), FakeClock())
            changes = Changes(tasks, FakeClock(), lambda *event: events.append(event))

            async def work(_):
                raise Failed("web.1.1 exited with code 1\nthe last lines")

            changes.begin("reload", "web", ["web"], work)
            changes.begin("reload", "api", ["api"], lambda _: asyncio.sleep(0))

    asyncio.run(scenario())
    assert events == [("failed", "web", "reload: web.1.1 exited with code 1")]


def test_changes_that_ended_long_ago_are_forgotten_and_one_under_way_never_is():
    async def scenario(changes):
        go_on = asyncio.Event()
        long = changes.begin("reload", "slow", ["slow"], lambda _: go_on.wait())
        for _ in range(2 * MAX_FINISHED_CHANGES):
            begun = changes.begin("reload", "web", ["web"], lambda _: asyncio.sleep(0))
            async for _ in changes.follow(begun.id):
                pass
        go_on.set()
        return long, begun, changes.views()

    long, last, views = in_group(scenario)
    assert (views[0].id, views[0].state, views[-1].id) == (long.id, "doing", last.id)
    assert len(views) == 1 + MAX_FINISHED_CHANGES + 1
    assert len({view.id for view in views}) == len(views)


def test_a_change_that_fails_keeps_its_reason_and_exit_code():
    async def scenario(changes):
        async def work(change):
            raise Failed("cannot start web: no such program")

        begun = changes.begin("up", "portico.toml", ["web"], work)
        async for view in changes.follow(begun.id):
            last = view
        return last

    last = in_group(scenario)
    assert (last.state, last.exit_code) == ("failed", 1)
    assert last.error == "cannot start web: no such program"


def test_a_change_that_ends_by_a_bug_has_failed_and_the_others_go_on():
    async def scenario(changes):
        async def work(change):
            raise LookupError("nobody foresaw this")

        begun = changes.begin("up", "portico.toml", ["web"], work)
        async for view in changes.follow(begun.id):
            last = view
        again = changes.begin("reload", "web", ["web"], lambda _: asyncio.sleep(0))
        return last, [view async for view in changes.follow(again.id)][-1]

    failed, after = in_group(scenario)
    assert (failed.state, failed.exit_code) == ("failed", 1)
    assert failed.error == "internal error (a bug in portico); details in porticod.log"
    assert after.state == "done"


def test_a_second_change_of_an_app_is_refused_by_name_and_another_app_is_not_held_up():
    async def scenario(changes):
        go_on = asyncio.Event()

        async def work(change):
            await go_on.wait()

        first = changes.begin("reload", "web", ["web"], work)
        with pytest.raises(Refused, match=f"reload of web is running .change {first.id}"):
            changes.begin("restart", "web", ["web"], work)
        with pytest.raises(Refused, match="reload of web"):
            changes.hold([EVERY_APP])
        other = changes.begin("reload", "api", ["api"], work)
        go_on.set()
        return other

    assert in_group(scenario).state == "doing"


def test_an_app_is_free_again_when_its_change_has_ended():
    async def scenario(changes):
        async def work(change):
            change.say("done soon")

        first = changes.begin("reload", "web", ["web"], work)
        async for _ in changes.follow(first.id):
            pass
        return changes.begin("reload", "web", ["web"], work).id

    assert in_group(scenario) == "c2"


def test_the_same_line_twice_in_a_row_is_said_once():
    async def scenario(changes):
        async def work(change):
            change.say("2 of 4 ready")
            change.say("2 of 4 ready")
            change.say("3 of 4 ready")

        begun = changes.begin("up", "x", [], work)
        async for view in changes.follow(begun.id):
            last = view
        return last.lines

    assert in_group(scenario) == ("2 of 4 ready", "3 of 4 ready")


def test_a_change_nobody_knows_is_said_to_be_unknown():
    async def scenario(changes):
        with pytest.raises(NotFound, match="there is no change 'c9'"):
            changes.view("c9")

    in_group(scenario)


def test_what_is_cancelled_ends_at_once_and_is_told_why():
    async def scenario(changes):
        async def work(change):
            change.say("waiting for ever")
            await asyncio.Event().wait()

        first = changes.begin("up", "portico.toml", ["web"], work)
        follow = changes.follow(first.id)
        await anext(follow)
        await asyncio.sleep(0)
        changes.cancel_all("everything is being stopped")
        changes.begin("down", "1 app", [EVERY_APP], lambda change: asyncio.sleep(0))
        return [view async for view in follow][-1]

    last = in_group(scenario)
    assert (last.state, last.lines, last.exit_code) == ("failed", ("waiting for ever",), 1)
    assert last.error == "up of portico.toml was cancelled: everything is being stopped"


def test_what_has_ended_is_not_cancelled():
    async def scenario(changes):
        first = changes.begin("up", "portico.toml", ["web"], lambda change: asyncio.sleep(0))
        async for _ in changes.follow(first.id):
            assert not changes.end_was_seen.is_set()
        assert changes.end_was_seen.is_set()
        changes.cancel_all("everything is being stopped")
        return changes.view(first.id)

    assert in_group(scenario).state == "done"

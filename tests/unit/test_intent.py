"""What is wanted, over what operators ask one after the other."""

from __future__ import annotations

import pytest

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.names import PROJECT
from portico.core.model.records import Revision
from portico.engine.intent import Intent
from portico.engine.prepare import NO_BUILD, Candidate
from portico.errors import Failed
from tests.fakes.state import MemoryState

APP = App(command="run")


def intent(state: MemoryState | None = None) -> Intent:
    return Intent(state or MemoryState(), nginx=None)


def file(**versions: str) -> Candidate:
    """A checked file with these apps, each in a version."""
    apps = {
        name: DesiredApp(name, 1, Spec(version, name, APP, "/srv", {}))
        for name, version in versions.items()
    }
    return Candidate(Desired(apps=apps), {}, "", NO_BUILD, ())


REVISION = Revision(0, 0.0, "me", "portico.toml", "/srv", {}, {})


def up(into: Intent, *, smaller: bool = False, **versions: str) -> Revision:
    return into.accept(file(**versions), REVISION, smaller=smaller)


def next_daemon(state: MemoryState, **versions: str) -> Intent:
    """It has read the file in force, with these versions in it."""
    after = intent(state)
    after.resume(file(**versions), after.on_disk())
    return after


def test_a_file_after_an_unfinished_restart_is_a_rollout_like_any_other():
    wanted = intent()
    up(wanted, web="v1")
    wanted.complete("web")
    wanted.new_version(["web"], abrupt=True)
    assert wanted.desired.apps["web"].abrupt
    up(wanted, web="v2")
    web = wanted.desired.apps["web"]
    assert (web.spec.id, web.good, web.abrupt) == ("v2", "v1", False)


def test_after_a_rollback_an_app_is_the_program_before_with_the_settings_of_the_file():
    def of(version: str, **keys: object) -> Candidate:
        spec = Spec(version, "web", App.model_validate(keys), "/srv", {})
        return Candidate(Desired(apps={"web": DesiredApp("web", 1, spec)}), {}, "", NO_BUILD, ())

    wanted = intent()
    wanted.accept(of("v1", command="old", schedule="0 4 * * *"), REVISION, smaller=False)
    wanted.complete("web")
    wanted.accept(of("v2", command="new", port=3000, weight=7), REVISION, smaller=False)
    wanted.revert("web", "it ended")
    web = wanted.desired.apps["web"]
    assert (web.spec.id, web.app.command, web.app.schedule) == ("v1", "old", "0 4 * * *")
    assert (web.app.pinned_port(1), web.app.weight) == (None, 7)
    assert wanted.desired.pinned_ports == frozenset()
    wanted.new_version(["web"], abrupt=False)
    web = wanted.desired.apps["web"]
    assert (web.spec.id, web.app.command, web.app.port) == ("v2+1", "new", 3000)


@pytest.mark.parametrize(
    ("ready", "stopped", "keys", "expected"),
    [
        (True, False, {}, "1"),
        (False, False, {}, "2"),  # it may be what it needs to come up
        (True, True, {}, "2"),
        (True, False, {"schedule": "@daily", "port": False}, "2"),
    ],
)
def test_what_runs_is_started_again_with_the_shell_of_its_rollout(ready, stopped, keys, expected):
    def of(value: str) -> Candidate:
        its = App.model_validate({"command": "run"} | keys)
        spec = Spec("v1", "web", its, "/srv", {"PATH": value})
        return Candidate(Desired(apps={"web": DesiredApp("web", 1, spec)}), {}, "", NO_BUILD, ())

    wanted = intent()
    wanted.accept(of("1"), REVISION, smaller=False)
    if ready:
        wanted.complete("web")
    wanted.set_stopped(["web"], stopped=stopped)
    wanted.accept(of("2"), REVISION, smaller=False)
    assert wanted.versions.target("web").environ == {"PATH": expected}
    if not keys:
        wanted.new_version(["web"], abrupt=False)
        assert wanted.versions.target("web").environ == {"PATH": "2"}


def test_what_is_removed_in_a_hurry_stays_so_whatever_is_asked_next():
    wanted = intent()
    up(wanted, web="v1", api="v1 of api")
    up(wanted, api="v1 of api")
    wanted.stop_waiting(PROJECT)
    wanted.set_stopped(["api"], stopped=True)
    assert wanted.desired.removed_apps["web"].app.drain_timeout == 0


def test_an_app_that_was_dropped_begins_anew_when_a_file_has_it_again():
    state = MemoryState()
    wanted = intent(state)
    up(wanted, web="v1", api="v1 of api")
    wanted.set_stopped(["web"], stopped=True)
    up(wanted, api="v1 of api")
    assert wanted.desired.removed_apps["web"].stopped
    again = intent(state)
    assert again.desired.removed_apps.keys() == {"web", "api"}
    again.drop("web")
    assert again.desired.removed_apps.keys() == {"api"}
    up(again, web="v1", api="v1 of api")
    assert not again.desired.apps["web"].stopped


def test_a_file_that_changes_nothing_of_an_app_leaves_its_restart_a_restart():
    wanted = intent()
    up(wanted, web="v1")
    wanted.new_version(["web"], abrupt=True)
    up(wanted, web=wanted.versions.target("web").id)
    assert wanted.desired.apps["web"].abrupt


# Disk first, then memory


def full_disk() -> tuple[MemoryState, Intent]:
    """Two apps are in force in a first version, and nothing more can be written."""
    state = MemoryState()
    wanted = intent(state)
    up(wanted, web="v1", api="a1")
    for app in ("web", "api"):
        wanted.complete(app)
    state.full = True
    return state, wanted


def versions(of: Intent) -> dict[str, str]:
    return {name: app.spec.id for name, app in of.desired.apps.items()}


@pytest.mark.parametrize(
    "asked",
    [
        lambda wanted: up(wanted, web="v2", api="a2", new="n1"),
        lambda wanted: wanted.new_version(["web", "api"], abrupt=False),
        lambda wanted: wanted.set_stopped(["web", "api"], stopped=False),
        lambda wanted: wanted.set_paused(frozenset({"a.localhost"}), file(web="v2")),
    ],
)
def test_what_cannot_be_written_is_refused_and_not_put_in_force_later_either(asked):
    state, wanted = full_disk()
    with pytest.raises(Failed, match="disk is full"):
        asked(wanted)
    state.full = False
    wanted.request_replacement(frozenset())
    wanted.writes.retry()
    assert versions(wanted) == {"web": "v1", "api": "a1"}
    assert (wanted.revisions[PROJECT].number, wanted.paused_sites()) == (1, frozenset())
    assert versions(next_daemon(state, web="v1", api="a1")) == {"web": "v1", "api": "a1"}


def test_what_makes_things_smaller_needs_no_disk_and_is_written_as_soon_as_it_can_be():
    state, wanted = full_disk()
    wanted.set_stopped(["web"], stopped=True)
    assert wanted.desired.apps["web"].stopped
    assert "disk is full" in wanted.writes.trouble
    wanted.writes.retry()
    assert "disk is full" in wanted.writes.trouble
    assert not next_daemon(state, web="v1", api="a1").desired.apps["web"].stopped
    state.full = False
    wanted.writes.retry()
    assert wanted.writes.trouble == ""
    assert next_daemon(state, web="v1", api="a1").desired.apps["web"].stopped


def test_the_last_word_is_what_is_written():
    state, wanted = full_disk()
    wanted.set_stopped(["web", "api"], stopped=True)
    state.full = False
    wanted.set_stopped(["web"], stopped=False)
    assert wanted.writes.trouble == "", "what waits goes with what is written next"
    after = next_daemon(state, web="v1", api="a1")
    assert [app.stopped for app in after.desired.apps.values()] == [False, True]


def test_a_file_that_makes_things_smaller_has_the_number_on_disk_that_it_had_in_memory():
    state, wanted = full_disk()
    up(wanted, smaller=True, web="v1")
    accepted = up(wanted, smaller=True, web="v1")
    assert versions(wanted) == {"web": "v1"}
    assert wanted.revisions[PROJECT] == accepted
    state.full = False
    wanted.writes.retry()
    assert intent(state).on_disk() == {"default": accepted}


def test_down_needs_no_disk_and_what_waited_does_not_come_back_with_it():
    state, wanted = full_disk()
    up(wanted, smaller=True, web="v1")
    wanted.clear(at_once=True)
    wanted.drop("api")
    assert (wanted.desired.apps, wanted.revisions) == ({}, {})
    state.full = False
    wanted.writes.retry()
    assert intent(state).on_disk() == {}
    up(wanted, web="v3")
    assert intent(state).on_disk() == wanted.revisions


def test_what_a_home_of_before_there_were_projects_has_in_force_is_the_default_one():
    state = MemoryState()
    up(intent(state), web="v1")
    state.put_setting("in_force", "1")
    assert [*intent(state).on_disk()] == ["default"]


# A rollout that was cancelled


def reverted() -> tuple[MemoryState, Intent]:
    state = MemoryState()
    wanted = intent(state)
    up(wanted, web="v1", api="a1")
    wanted.complete("web")
    up(wanted, web="v2", api="a1")
    wanted.revert("web", "web.1.2 exited with code 3")
    return state, wanted


def test_the_next_daemon_knows_too_that_the_version_before_runs_and_why():
    state, wanted = reverted()
    after = next_daemon(state, web="v2", api="a1")
    assert wanted.revert_reasons == after.revert_reasons == {"web": "web.1.2 exited with code 3"}
    assert versions(after)["web"] == "v1"


def test_that_a_rollout_was_given_up_is_said_until_the_app_is_tried_again_or_leaves_the_file():
    for end in (
        lambda wanted: up(wanted, api="a1"),
        lambda wanted: up(wanted, web="v3", api="a1"),
        lambda wanted: wanted.new_version(["web"], abrupt=False),
        lambda wanted: wanted.clear(at_once=False),
    ):
        state, wanted = reverted()
        end(wanted)
        assert wanted.revert_reasons == {}
        assert intent(state).revert_reasons == {}


@pytest.mark.parametrize("garbage", ["", "{", "[1]", '"', '{"default": "x"}', "null", "\ud800"])
def test_what_nobody_can_read_of_what_is_in_force_ends_no_start_and_no_app(garbage):
    state = MemoryState()
    accepted = up(intent(state), web="v1")
    state.put_setting("paused", garbage)
    state.put_setting("in_force", garbage or "{")
    after = intent(state)
    assert after.paused_sites() == frozenset()
    assert after.on_disk() == {"default": accepted}

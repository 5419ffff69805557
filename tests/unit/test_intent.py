"""What is wanted, over what operators ask one after the other."""

from __future__ import annotations

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.place import Build
from portico.engine.intent import Intent
from portico.engine.prepare import Candidate
from portico.ports import Revision
from tests.documents import read
from tests.fakes.clock import FakeClock
from tests.fakes.state import MemoryState

APP = App(command="run")


def intent(state: MemoryState | None = None) -> Intent:
    return Intent(state or MemoryState(), FakeClock(), nginx=None)


def file(**versions: str) -> Candidate:
    """A checked file with these apps, each in a version."""
    apps = {
        name: DesiredApp(name, APP, 1, Spec(version, name, APP, "/srv", {}))
        for name, version in versions.items()
    }
    document = read("".join(f'apps.{name}.command = "run"\n' for name in versions))
    return Candidate(document, Desired(apps=apps), {}, "", Build("", (0, 0, 0)), ())


def up(into: Intent, **versions: str) -> None:
    into.accept(file(**versions), Revision(0, 0.0, "me", "portico.toml", "/srv", {}, {}))


def test_a_file_after_an_unfinished_restart_is_a_rollout_like_any_other():
    wanted = intent()
    up(wanted, web="v1")
    wanted.complete("web")
    wanted.ask_again("web", abrupt=True)
    assert wanted.desired.apps["web"].abrupt
    up(wanted, web="v2")
    web = wanted.desired.apps["web"]
    assert (web.spec.id, web.good, web.abrupt) == ("v2", "v1", False)


def test_an_app_that_was_dropped_begins_anew_when_a_file_has_it_again():
    state = MemoryState()
    wanted = intent(state)
    up(wanted, web="v1", api="v1 of api")
    wanted.set_stopped("web", stopped=True)
    up(wanted, api="v1 of api")
    assert wanted.desired.former["web"].stopped
    again = intent(state)
    assert again.desired.former.keys() == {"web", "api"}
    again.drop("web")
    assert again.desired.former.keys() == {"api"}
    up(again, web="v1", api="v1 of api")
    assert not again.desired.apps["web"].stopped


def test_a_file_that_changes_nothing_of_an_app_leaves_its_restart_a_restart():
    wanted = intent()
    up(wanted, web="v1")
    wanted.ask_again("web", abrupt=True)
    up(wanted, web=wanted.target_id("web"))
    assert wanted.desired.apps["web"].abrupt

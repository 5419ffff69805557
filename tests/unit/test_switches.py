"""What was stopped, reloaded and paused in a cluster, and what an absent machine makes up for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from portico.core.model.shared_change import NO_SWITCHES as NONE
from portico.core.model.shared_change import NamedTarget, SharedChange, Switches
from portico.core.planning.switches import MissedSwitches, missed_switches, switches_after
from tests.examples import examples

APPS = ("shop/web", "shop/jobs")
SITE = ("shop.test",)


def change(verb: str, id_: str = "7", project: str = "", **target) -> SharedChange:
    return SharedChange(
        id=id_,
        verb=verb,
        subject="",
        who="",
        by="m1",
        began=0.0,
        order=("m1",),
        project=project,
        target=NamedTarget(**target),
    )


def web(verb: str, id_: str = "7") -> SharedChange:
    return change(verb, id_, apps=("shop/web",))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ([web("stop")], Switches(stopped={"shop/web": True})),
        ([web("stop"), web("start")], Switches(stopped={"shop/web": False})),
        (
            [change("stop", apps=APPS), web("reload", "8"), web("restart", "9")],
            Switches(stopped={"shop/web": False, "shop/jobs": True}, renewed={"shop/web": "9"}),
        ),
        ([change("pause", sites=SITE, hold=5.0)], Switches(paused={"shop.test": 5.0})),
        ([change("pause", sites=SITE), change("resume", sites=SITE)], NONE),
        (
            [change("stop", apps=(*APPS, "b/x")), change("up", project="shop", apps=APPS[1:])],
            Switches(stopped={"shop/jobs": True, "b/x": True}),
        ),
        ([change("reload", apps=APPS), change("down", project="shop")], NONE),
    ],
)
def test_what_changes_have_switched(changes, found):
    switches = NONE
    for each in changes:
        switches = switches_after(switches, each)
    assert replace(switches, last="") == found
    assert switches.last == changes[-1].id


@pytest.mark.parametrize(
    ("own", "shared", "found"),
    [
        (NONE, NONE, MissedSwitches()),
        (NONE, Switches(stopped={"a/x": True}), MissedSwitches(stop=("a/x",))),
        (
            Switches(stopped={"a/x": True}),
            Switches(stopped={"a/x": False}),
            MissedSwitches(start=("a/x",)),
        ),
        (
            Switches(stopped={"a/x": True}, renewed={"a/x": "1"}),
            Switches(stopped={"a/x": False}, renewed={"a/x": "2"}),
            MissedSwitches(reload=("a/x",)),  # which starts it
        ),
        (
            NONE,
            Switches(stopped={"a/x": True}, renewed={"a/x": "2"}),
            MissedSwitches(stop=("a/x",)),  # it starts as it is by then
        ),
        (
            Switches(paused={"s": 0.0}),
            Switches(paused={"s": 5.0}),
            MissedSwitches(pause={"s": 5.0}),
        ),
        (Switches(paused={"s": 0.0}), NONE, MissedSwitches(resume=("s",))),
        (Switches(stopped={"a/x": True}), NONE, MissedSwitches()),  # the app was removed
    ],
)
def test_what_a_machine_has_missed(own, shared, found):
    assert missed_switches(own, shared) == found


verbs = st.sampled_from(["stop", "start", "reload", "pause", "resume"])
names = st.sets(st.sampled_from(["a/x", "a/y"])).map(lambda found: tuple(sorted(found)))


@examples(60)
@given(st.lists(st.tuples(verbs, names, st.booleans()), max_size=8))
def test_whoever_makes_up_for_it_has_what_those_have_that_took_part(script):
    """As a machine that was absent of some of them."""
    stopped, paused, own, shared = dict[str, bool](), set[str](), NONE, NONE
    for number, (verb, meant, is_there) in enumerate(script):
        made = change(verb, str(number), apps=meant, sites=meant)
        shared = switches_after(shared, made)
        if is_there:
            own = switches_after(own, made)
            _do(stopped, paused, MissedSwitches(**_as_missed(verb, meant)))
    _do(stopped, paused, missed_switches(own, shared))
    assert stopped == shared.stopped
    assert paused == set(shared.paused)


def _as_missed(verb: str, names: tuple[str, ...]) -> dict[str, object]:
    return {verb: dict.fromkeys(names, 0.0) if verb == "pause" else names}


def _do(stopped: dict[str, bool], paused: set[str], missed: MissedSwitches) -> None:
    stopped |= dict.fromkeys(missed.stop, True)
    stopped |= dict.fromkeys((*missed.start, *missed.reload), False)
    paused.update(missed.pause)
    paused.difference_update(missed.resume)

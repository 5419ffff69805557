"""What leaves a machine of a cluster on purpose leaves the list of others first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.cluster import Machine
from portico.core.model.instance import InstanceState
from portico.core.model.neighbour import Cluster, NearList, Neighbour
from portico.core.model.site import Site
from portico.core.model.upstream import Upstream
from portico.core.model.world import NginxSeen
from portico.core.planning.departures import ASK_TIME, near_list
from portico.core.planning.preview import preview
from portico.core.planning.reconcile import plan, wake_at
from portico.core.planning.steps import Announce, PublishFar, Stop, StopNginx, SwitchGeneration
from tests.unit.worlds import NOW, SERVING, app, one, said, world
from tests.unit.worlds import desired as desired_apps

MACHINES = {"m1": Machine(address="10.0.0.1"), "m2": Machine(address="10.0.0.2")}
M2 = Neighbour("m2", "10.0.0.2", 8445, {"web": 3}, has_answered=True)
WEB = NearList("m1", {"web": 1})
NONE = NearList("m1")
ALL = app()
NO_NGINX = replace(SERVING, pid=None)


def desired(*apps, **fields):
    return desired_apps(*apps, machines=MACHINES, machine="m1", **fields)


def cluster(announced: NearList | None = WEB, left: float | None = None, **fields) -> Cluster:
    withdrawn = {} if left is None else {"web": left}
    known = {"machine": "m1", "neighbours": {"m2": M2}, "first": NOW - 60, "wait": 3.5}
    return Cluster(announced=announced, withdrawn=withdrawn, **known | fields)


def seen(state: Cluster | None, *instances, **fields):
    fields = {"far": {"web": M2_HAS_WEB}} | fields
    return world(*instances or (one(),), knows=[ALL], cluster=state, **fields)


M2_HAS_WEB = plan(desired(ALL), seen_first := world(cluster=cluster(), knows=[ALL]))[0].machines


def test_an_app_is_published_where_others_are_ready_for_it():
    step = plan(desired(ALL), seen_first)[0]

    assert isinstance(step, PublishFar)
    assert str(step) == "publish machines m2 of web"
    assert plan(desired(ALL), seen(cluster()), generation="g1") == ()


@pytest.mark.parametrize(
    ("announced", "machines"),
    [(WEB, ["m1", "m2"]), (NONE, ["m2"]), (replace(WEB, apps={"api": 2}), ["m2"])],
)
def test_where_a_key_is_placed_this_machine_is_published_as_others_know_it(announced, machines):
    upstreams = {"web": Upstream(apps=("web",), balance="ip_hash")}
    [step] = (
        each
        for each in plan(desired(ALL, upstreams=upstreams), seen(cluster(announced), far={}))
        if isinstance(each, PublishFar)
    )

    assert [each.machine for each in step.machines] == machines
    assert [each.is_own for each in step.machines] == [name == "m1" for name in machines]


def test_an_app_that_others_do_not_know_here_is_announced_when_nginx_has_asked_for_it():
    """A request that crosses sooner would get 502 from here."""

    def announced(ready_since: float, before: NearList | None) -> list[NearList]:
        state = seen(cluster(before), one(since=ready_since))
        found = [each for each in plan(desired(ALL), state) if isinstance(each, Announce)]
        assert found or wake_at(desired(ALL), state) <= ready_since + ASK_TIME
        return [each.near for each in found]

    assert announced(NOW, NONE) == []
    assert announced(NOW - ASK_TIME, NONE) == [WEB]
    assert announced(NOW, None) == [WEB]  # an earlier daemon's list may have it
    assert announced(NOW, replace(WEB, apps={"web": 5})) == [WEB]
    also = seen(cluster(NONE), one(since=NOW - ASK_TIME), one(slot=2, since=NOW))
    [step] = (each for each in plan(desired(ALL), also) if isinstance(each, Announce))
    assert step.near.apps == {"web": 2}


def test_before_anything_is_announced_nginx_keeps_the_machines_it_has():
    upstreams = {"web": Upstream(apps=("web",), balance="ip_hash")}
    steps = plan(desired(ALL, upstreams=upstreams), seen(cluster(None), far={}))

    assert not [each for each in steps if isinstance(each, PublishFar)]


def test_where_no_other_machine_answers_a_new_daemon_keys_are_placed_here():
    """Until then the streams of these apps have no peer at all."""
    keyed = desired(ALL, upstreams={"web": Upstream(apps=("web",), balance="ip_hash")})
    silent = replace(M2, apps={}, has_answered=False, failures=2)
    alone = cluster(neighbours={"m2": silent})
    [step] = (e for e in plan(keyed, seen(alone, far={})) if isinstance(e, PublishFar))
    assert [each.machine for each in step.machines] == ["m1"]
    asked_once = seen(cluster(neighbours={"m2": replace(silent, failures=1)}), far={})
    assert not [e for e in plan(keyed, asked_once) if isinstance(e, PublishFar)]


@pytest.mark.parametrize(("on", "found"), [(("m1",), {"web": 1}), ((), {})])
def test_an_app_that_requests_wait_for_here_alone_is_always_in_the_list(on, found):
    wanted = desired(replace(app(on=on), wait=5.0))
    none = world(cluster=cluster(NONE), knows=[ALL], endpoints={"web": ()})
    assert near_list("m1", wanted, none).apps == found


def test_until_others_are_known_nothing_is_published():
    asked_once = {"m2": replace(M2, has_answered=False, failures=1)}
    steps = plan(desired(ALL), seen(cluster(neighbours=asked_once), far={}), generation="g1")

    assert steps == ()


def test_an_nginx_that_is_started_begins_with_all_machines_that_may_have_the_app():
    """Until others are known: without any, it would answer 502 while nothing is ready here."""
    unknown = replace(M2, apps={}, has_answered=False)
    begun = seen(cluster(neighbours={"m2": unknown}), far={}, nginx=NO_NGINX)
    steps = plan(desired(ALL), begun, generation="g1")
    assert said(steps) == ["publish machines m2 of web", "start nginx"]

    keyed = desired(ALL, upstreams={"web": Upstream(apps=("web",), balance="ip_hash")})
    first = plan(keyed, replace(begun, cluster=cluster(None, neighbours={"m2": unknown})))[0]
    assert [each.machine for each in first.machines] == ["m1", "m2"]
    assert not plan(desired(app(on=("m1",))), begun)[0].machines

    guessed = replace(begun, far={"web": steps[0].machines})
    assert said(plan(desired(ALL), guessed, generation="g1")) == ["start nginx"]
    answers = replace(guessed, cluster=cluster(neighbours={"m2": replace(M2, apps={})}))
    assert said(plan(desired(ALL), answers))[0] == "publish machines none of web"
    silent = cluster(neighbours={"m2": replace(unknown, failures=2)})
    runs = replace(guessed, cluster=silent, nginx=SERVING)
    assert said(plan(desired(ALL), runs, generation="g1")) == ["publish machines none of web"]


def test_only_what_is_ready_and_handed_out_is_announced():
    four = [one(slot=1), one(slot=2), one(InstanceState.STARTING, slot=3)]
    [step] = plan(desired(app(instances=3)), seen(cluster(), *four), generation="g1")

    assert isinstance(step, Announce)
    assert step.near.apps == {"web": 2}


def test_before_every_app_was_published_nothing_is_announced():
    """A new daemon must not take away for a moment what an earlier one has announced."""
    now = seen(cluster(None), endpoints={})

    assert not [s for s in plan(desired(ALL), now) if isinstance(s, Announce)]


SITES = {"a.test": Site(app="web")}
GONE = [
    desired(app(stopped=True)),
    desired(replace(ALL, instances=0)),
    desired(removed_apps={"web": ALL}, sites=SITES),
]


@pytest.mark.parametrize("wanted", GONE, ids=["stopped", "elsewhere", "removed"])
def test_what_leaves_on_purpose_is_withdrawn_and_runs_until_others_know(wanted):
    new_files = {"generation": "g2"}
    first = plan(wanted, seen(cluster()), **new_files)
    waiting = seen(cluster(NONE, left=NOW - 3.4))
    over = seen(cluster(NONE, left=NOW - 3.5))

    assert said(first) == ["announce no app to other machines"]
    assert plan(wanted, waiting, **new_files) == ()
    assert wake_at(wanted, waiting) == pytest.approx(NOW + 0.1)
    assert plan(wanted, over, **new_files) != ()


def test_at_the_end_of_all_nginx_goes_on_until_others_know():
    down = desired_apps(removed_apps={"web": ALL})
    at_once = replace(down, at_once=True)
    waiting = seen(cluster(NearList("m1", leaving=True, down=True), left=NOW))

    assert plan(down, waiting) == ()
    assert any(isinstance(s, StopNginx) for s in plan(at_once, waiting))
    later = replace(waiting, now=NOW + 3.5)
    assert any(isinstance(s, StopNginx) for s in plan(down, later))


@pytest.mark.parametrize(
    "state",
    [
        None,
        cluster(wait=0.0),  # there is no other machine
    ],
)
def test_without_others_nothing_waits(state):
    assert "drain web.1.1" in said(plan(desired(app(stopped=True)), seen(state), generation="g1"))


def test_without_nginx_nothing_waits():
    now = seen(cluster(), nginx=NginxSeen())

    assert "drain web.1.1" in said(plan(desired(app(stopped=True)), now))


def test_a_new_daemon_waits_from_its_first_list_on():
    """An earlier one may have announced the app a moment before it was lost."""
    stopped = desired(app(stopped=True))
    first = plan(stopped, seen(cluster(None)), generation="g1")
    waiting = plan(stopped, seen(cluster(NONE, first=NOW - 1)), generation="g1")

    assert said(first) == ["announce no app to other machines"]
    assert waiting == ()


def test_an_app_that_stays_is_not_held_up_by_one_that_leaves():
    api = app("api", instances=2)
    both = [one(name="api", slot=1), one(name="api", slot=2), one()]
    now = world(
        *both,
        knows=[ALL, api],
        far={"web": M2_HAS_WEB, "api": ()},
        cluster=cluster(NearList("m1", {"api": 2}), left=NOW),
    )
    wanted = desired(app(stopped=True), app("api", instances=1))

    assert said(plan(wanted, now, generation="g1")) == ["drain api.2.2"]


def test_a_crash_waits_for_nothing():
    backoff = one(InstanceState.BACKOFF, retry_at=NOW)
    now = seen(cluster(), backoff)

    assert said(plan(desired(ALL), now, generation="g1"))[0] == "announce no app to other machines"
    assert any("start web.1.1 again" in each for each in said(plan(desired(ALL), now)))


def test_the_preview_of_a_plan_does_not_wait():
    steps = preview(desired(removed_apps={"web": ALL}), seen(cluster()), generation="g2")
    kinds = [type(step) for step in steps]

    assert SwitchGeneration in kinds
    assert Stop in kinds
    assert Announce not in kinds

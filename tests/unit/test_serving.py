from __future__ import annotations

from dataclasses import replace

from portico.core.model.app import App, SlotServer
from portico.core.model.check import Check
from portico.core.model.desired import DesiredApp, Spec
from portico.core.model.instance import Instance, InstanceState
from portico.core.model.names import InstanceId
from portico.core.planning.endpoints import endpoints_of
from portico.core.planning.serving import to_restart

S = InstanceState
NOW = 1000.0
DUE = NOW - 15  # interval 5 s, fall 3


def app(**keys) -> DesiredApp:
    made = App(instances=4, **keys)
    return DesiredApp("web", 4, Spec("v1", "web", made, "/srv", {}))


def instances(*states: InstanceState, since: float = DUE) -> list[Instance]:
    """One a slot; each entered its state a second after the one before."""
    return [
        Instance(InstanceId(f"web.{n}.{n}"), "web", n, "v1", 41000 + n, state, since + n - 1)
        for n, state in enumerate(states, 1)
    ]


def slots(found: list[Instance]) -> list[int]:
    return [i.slot for i in found]


def handed_out(*states: InstanceState, **keys) -> list[int]:
    return [e.slot for e in endpoints_of(app(**keys), instances(*states, since=NOW - 5), NOW)]


def test_what_fails_its_check_is_handed_out_no_more():
    assert handed_out(S.READY, S.UNREADY, S.READY, S.UNREADY) == [1, 3]
    assert handed_out(S.UNREADY, S.READY, S.STARTING, S.BACKOFF) == [2]


def test_when_nobody_is_ready_all_that_fail_their_check_are_handed_out():
    assert handed_out(S.UNREADY, S.UNREADY, S.STARTING, S.RESTARTING) == [1, 2]


def test_one_whose_port_was_taken_is_handed_out_to_nobody_even_if_nobody_is_ready():
    first, *others = instances(S.UNREADY, S.UNREADY, S.BACKOFF, S.STARTING, since=NOW - 5)
    found = endpoints_of(app(), [replace(first, taken=True), *others], NOW)
    assert [e.slot for e in found] == [2]


def test_an_app_whose_only_ready_slot_gets_no_requests_has_nobody_ready():
    down = {"1": SlotServer(down=True)}
    assert handed_out(S.READY, S.UNREADY, S.UNREADY, slots=down) == [2, 3]


def test_instances_that_others_stand_in_for_are_restarted_together_once_their_time_is_up():
    assert slots(to_restart(app(), instances(S.UNREADY, S.READY, S.READY), NOW)) == [1]
    assert to_restart(app(), instances(S.UNREADY, S.READY, since=DUE + 0.1), NOW) == []
    both = instances(S.UNREADY, S.UNREADY, S.READY, since=DUE - 1)
    assert slots(to_restart(app(), both, NOW)) == [1, 2]


def test_when_nobody_is_ready_they_are_restarted_one_by_one():
    all_failing = instances(S.UNREADY, S.UNREADY, S.UNREADY, since=DUE - 9)
    assert slots(to_restart(app(), all_failing, NOW)) == [1]
    assert [e.slot for e in endpoints_of(app(), all_failing, NOW)] == [2, 3]
    for coming in (S.RESTARTING, S.BACKOFF, S.STARTING):
        assert to_restart(app(), instances(coming, S.UNREADY, since=DUE - 9), NOW) == []


def test_the_only_instance_is_restarted_too():
    assert slots(to_restart(app(), instances(S.UNREADY), NOW)) == [1]


def test_what_did_not_help_one_is_not_tried_on_the_others():
    failing, given_up = instances(S.UNREADY, S.FAILED, since=DUE - 9)
    assert to_restart(app(), [failing, given_up], NOW) == []
    assert [e.slot for e in endpoints_of(app(), [failing, given_up], NOW)] == [1]
    # One that was cancelled before has nothing to do with it.
    given_up, failing = instances(S.FAILED, S.UNREADY, since=DUE - 9)
    assert slots(to_restart(app(), [given_up, failing], NOW)) == [2]


def test_restarts_can_be_switched_off():
    failing = instances(S.UNREADY, S.READY)
    assert to_restart(app(health=Check(restart=False)), failing, NOW) == []
    assert to_restart(app(autorestart=False), failing, NOW) == []


def test_workers_and_slots_that_get_no_requests_wait_for_nobody():
    worker = app(port=False, health=Check(command="well"))
    failing = instances(S.UNREADY, S.UNREADY, since=DUE - 9)
    workers = [Instance(i.id, "web", i.slot, "v1", 0, i.state, i.since) for i in failing]
    assert slots(to_restart(worker, workers, NOW)) == [1, 2]
    down = app(slots={"1": SlotServer(down=True)})
    assert slots(to_restart(down, failing, NOW)) == [1, 2]

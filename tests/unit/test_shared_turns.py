"""A change of all machines: checked everywhere, made in turns, and done or taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from portico.core.model.shared import (
    TURN_KEY,
    Holder,
    encode,
    present_key,
    progress_key,
    revision_key,
)
from portico.core.model.shared_change import NO_SWITCHES, Progress, SharedChange, Switches
from portico.core.model.snapshot import Delete
from portico.core.planning.switches import missed_switches
from portico.core.planning.turns import (
    AppliedRevision,
    CountSwitches,
    DropTurn,
    EndChange,
    MakeChange,
    OwnState,
    Prepare,
    TakeFile,
    TakeSwitches,
    TakeTurn,
    TurnState,
    WriteBack,
    next_act,
    participants,
)
from portico.engine.cluster import shared_files
from portico.engine.cluster.change_report import ChangeReport
from portico.engine.cluster.change_state import ABSENCE_TIMEOUT
from portico.engine.cluster.session import DURATION
from portico.errors import Failed, Refused
from portico.ports.store import StoreUnavailable
from tests.examples import examples
from tests.unit.linked_machines import PROJECT, Machines

NAMES = ("m1", "m2", "m3")
SETTLED = 120.0


@pytest.fixture
def machines() -> Iterator[Machines]:
    with Machines(*NAMES) as machines:
        yield machines


def everywhere(version: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, version)


def test_all_machines_get_a_file_and_each_operator_may_be_on_another_one(machines):
    for number, name in enumerate(NAMES):
        machines.begin(name, f"v{number}")
        machines.run(60.0)
        assert machines.end() == ("done", "")
        assert machines.versions() == everywhere(f"v{number}")


def test_each_file_is_decrypted_once_on_each_machine_also_where_the_next_one_fails(machines):
    machines.begin("m1", "good")
    machines.run(60.0)
    machines["m3"].fails = True
    machines.begin("m1", "bad")
    machines.run(60.0)
    assert machines.versions() == {"m1": "good", "m2": "good", "m3": "half"}
    opened = [len(machines[name].vault.opened) for name in NAMES]
    assert opened == [2, 2, 2]


def test_a_refusal_by_any_machine_changes_none(machines):
    machines["m3"].refuses = True
    machines.begin("m1", "v1")
    machines.run(60.0)
    assert machines.end() == ("refused", "m3: the folder does not exist")
    assert machines.versions() == everywhere("")


def test_a_version_that_fails_touches_only_the_first_machine_which_takes_it_back(machines):
    machines.begin("m1", "good")
    machines.run(60.0)
    machines["m1"].fails = True
    machines.begin("m1", "bad")
    machines.run(12.0)
    assert machines.end() == ("failed", "m1: web.1 exited with code 1")
    machines["m1"].fails = False
    machines["m1"].change_state.follow()
    machines.run(60.0)
    assert machines.versions() == everywhere("good")
    assert machines.states() == {"m1": "back", "m2": "ready", "m3": "ready"}


def test_what_the_first_has_done_is_taken_back_where_a_later_one_fails(machines):
    machines.begin("m1", "good")
    machines.run(60.0)
    machines["m3"].fails = True
    machines.begin("m1", "bad")
    machines.run(60.0)
    assert machines[
        "m3"
    ].change_state.unusable  # the one before does not run there any more either
    assert machines.versions() == {"m1": "good", "m2": "good", "m3": "half"}
    machines["m3"].fails = False
    machines["m3"].change_state.follow()
    machines.run(60.0)
    assert machines.versions() == everywhere("good")


def test_of_two_operators_at_once_one_is_refused_and_learns_of_the_other(machines):
    draft = machines["m2"].changes.draft("up", "other", who=None)
    machines.begin("m1", "v1")
    with pytest.raises(Refused, match=r"up of v1, which root started on m1 at .* is under way"):
        machines.do(machines["m2"].changes.begin(draft))
    with pytest.raises(Refused, match=r"up of v1, which root started on m1 at .* is under way"):
        machines.begin("m3", "v2")


def test_a_change_of_one_machine_needs_no_other(machines):
    machines["m3"].kill()
    machines.run(30.0)
    draft = machines["m1"].changes.draft
    assert draft("drain", "m2", who=None, only="m2").order == ("m2",)
    with pytest.raises(Refused, match=r"cannot drain m3.* `portico cluster drain` on m3 if it"):
        draft("drain", "m3", who=None, only="m3")


def test_without_the_store_nothing_can_be_changed(machines):
    machines.store.fail("connection refused")
    machines.run(10.0)
    with pytest.raises(StoreUnavailable, match="connection refused"):
        machines.begin("m1", "v1")


def test_a_machine_that_is_absent_has_to_be_left_out_and_follows_when_it_is_back(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    machines["m2"].kill()
    machines.run(30.0)
    with pytest.raises(Refused, match="not connected to the cluster's store: m2"):
        machines.begin("m1", "v2")
    machines.begin("m1", "v2", without_absent=True)
    machines.run(60.0)
    assert machines.versions() == {"m1": "v2", "m2": "v1", "m3": "v2"}
    machines["m2"].start()
    machines.run(60.0)
    assert machines.versions() == everywhere("v2")


def test_a_machine_that_was_absent_makes_up_for_what_was_switched_meanwhile(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    machines["m2"].kill()
    machines.run(30.0)
    machines.switch("reload", "m1", without_absent=True)
    machines.run(60.0)
    machines.begin("m1", "v2", without_absent=True)
    machines.run(60.0)
    machines["m2"].fails = True
    machines["m2"].start()
    machines.run(60.0)
    assert machines["m2"].change_state.unusable
    machines["m2"].fails = False
    machines["m2"].change_state.follow()
    machines.run(60.0)
    assert machines["m2"].reloads == ["made up"]

    machines["m2"].kill()
    machines.run(30.0)
    machines.switch("stop", "m3", without_absent=True)
    machines.run(60.0)
    machines["m2"].start()
    machines.run(5.0)
    machines.switch("reload", "m2")  # of all, before it has caught up
    machines.run(60.0)
    assert [(each.stopped, len(each.reloads)) for each in machines] == [(False, 2)] * 3
    assert machines.end() == ("done", "")


def test_a_machine_that_begins_has_what_is_stopped_and_is_not_reloaded(machines):
    machines["m3"].kill()
    machines.run(30.0)
    machines.begin("m1", "v1")
    machines.run(60.0)
    machines.switch("reload", "m1")
    machines.run(60.0)
    machines.switch("stop", "m1")
    machines.run(60.0)
    three = machines["m3"]
    three.start()
    machines.run(10.0)
    three.change_state.follow()
    machines.run(60.0)
    assert (three.version, three.stopped, three.reloads) == ("v1", True, [])


def test_a_machine_whose_first_file_is_a_change_of_all_has_what_is_stopped_from_the_start(
    machines,
):
    three = machines["m3"]
    three.kill()
    machines.run(30.0)
    machines.begin("m1", "v1")
    machines.run(60.0)
    for verb in ("reload", "stop"):
        machines.switch(verb, "m1")
        machines.run(60.0)
    three.start()
    machines.run(10.0)
    machines.begin("m1", "v2")
    while not three.is_changing:
        machines.run(0.5)
    assert three.stopped
    machines.run(60.0)
    assert (machines.versions(), three.stopped, three.reloads) == (everywhere("v2"), True, [])


@pytest.mark.parametrize("after", [1.0, 5.0, 11.0])
@pytest.mark.parametrize("name", NAMES)
def test_a_daemon_that_is_killed_at_any_step_continues_and_one_that_is_lost_has_it_taken_back(
    machines, name, after
):
    machines.begin("m1", "v1")
    machines.run(60.0)
    machines.begin("m1", "v2")
    machines.run(after)
    machines[name].kill()
    machines.run(2.0)
    machines[name].start()
    machines.run(60.0)
    assert (machines.end()[0], machines.versions()) == ("done", everywhere("v2"))

    machines.begin("m1", "v3")
    machines.run(after)
    machines[name].kill()
    machines.run(15.0 + ABSENCE_TIMEOUT + 30.0)
    ended, _ = machines.end()
    others = {n: v for n, v in machines.versions().items() if n != name}
    assert set(others.values()) == {"v3" if ended == "done" else "v2"}
    machines[name].start()
    machines.run(60.0)
    assert machines.versions() == everywhere("v3" if ended == "done" else "v2")


def test_a_machine_that_is_cut_off_in_its_turn_stops_before_another_one_takes_the_change_back(
    machines,
):
    machines.begin("m1", "v1")
    machines.run(60.0)
    two = machines["m2"]
    two.takes = 60.0
    machines.begin("m1", "v2")
    machines.run(12.0)
    assert two.is_changing
    two.link.is_cut = True
    machines.run(DURATION - 1.0)
    assert (two.is_changing, two.version, two.change_state.may_replace()) == (False, "half", False)
    machines.run(ABSENCE_TIMEOUT + 40.0)
    assert machines.versions() == {"m1": "v1", "m2": "half", "m3": "v1"}
    two.link.is_cut, two.takes = False, 3.0
    machines.run(60.0)
    assert machines.versions() == everywhere("v1")
    assert two.change_state.may_replace()


def test_a_record_of_any_depth_and_a_disk_that_cannot_be_read_end_no_daemon(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    one = machines["m1"]
    deep = b'{"change":"","state":"done","x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    machines.store.write({one.shared.follower.prefix + progress_key("m2"): deep})
    machines.run(5.0)
    assert one.change_state.may_replace()
    machines.begin("m3", "v2")
    machines.run(60.0)
    assert (machines.end()[0], machines.versions()) == ("done", everywhere("v2"))

    def fail(_: str) -> None:
        raise Failed("disk I/O error")

    one.state.setting = fail
    assert not one.change_state.may_replace()


def test_a_machine_that_keeps_to_nothing_resumes_what_was_resumed_meanwhile(machines):
    change_state = machines["m3"].change_state
    change_state.take_switches(Switches(paused={"shop": 0.0}, stopped={"shop/web": True}))
    change_state.withdraw()
    assert change_state.own_switches == Switches(paused={"shop": 0.0})
    assert missed_switches(change_state.own_switches, NO_SWITCHES).resume == ("shop",)


def test_a_change_after_a_restored_store_is_another_one_than_that_which_it_has_lost(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    older = machines.store.all
    for _ in range(2):
        machines.switch("reload", "m1")
        machines.run(60.0)
        machines.store.replace(older)
        machines.run(10.0)
        for each in machines:
            each.shared.follower.accept(older)
        machines.run(60.0)
    assert [len(each.reloads) for each in machines] == [2, 2, 2]


def test_a_machine_that_is_drained_or_down_is_shown_as_such(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    one = machines["m1"].shared
    one.drained_machines = lambda: {"m2"}
    states = {each.name: each.state for each in one.view().machines}
    assert states == {"m1": "in", "m2": "drained", "m3": "in"}
    machines.do(one.transaction([], [Delete(progress_key("m2"))]))  # as `down --all` on m2 does
    machines.run(5.0)
    assert {each.state for each in one.view().machines} == {"in"}  # an older Portico there
    one.drained_machines, one.down_machines = tuple, lambda: {"m2"}
    states = {each.name: each.state for each in one.view().machines}
    assert states == {"m1": "in", "m2": "down", "m3": "in"}


def test_a_file_after_a_restored_store_is_another_one_than_that_which_it_has_lost(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    older = machines.store.all
    machines.begin("m1", "v2")
    machines.run(60.0)
    machines["m2"].kill()
    machines.store.replace(older)
    machines.run(20.0)
    for name in ("m1", "m3"):
        machines[name].shared.follower.accept(machines.store.all)
    machines.run(60.0)
    machines.begin("m1", "v3", without_absent=True)
    machines.run(60.0)
    machines["m2"].start()
    machines.run(10.0)
    machines["m2"].shared.follower.accept(machines.store.all)
    machines.run(60.0)
    assert machines.versions() == everywhere("v3")


def test_an_internal_error_on_one_machine_holds_up_no_other(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    three = machines["m3"]
    three.breaks = True
    machines.begin("m1", "v2")
    machines.run(60.0)
    bug = "internal error (a bug in portico); details in porticod.log"
    assert machines.end() == ("refused", f"m3: {bug}")
    three.kill()
    machines.run(30.0)
    machines.begin("m1", "v2", without_absent=True)
    machines.run(60.0)
    three.start()
    machines.run(60.0)
    assert [why.endswith(bug) for why in three.change_state.unusable.values()] == [True]
    assert machines.store.peek(three.shared.follower.prefix + TURN_KEY) is None


def test_whether_instances_may_be_replaced_is_known_without_reading_all_that_is_shared(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    one = machines["m1"]

    def fail(_: str) -> None:
        raise AssertionError

    one.shared.follower.items_of = fail
    assert one.change_state.may_replace()


def test_a_file_that_becomes_large_once_it_is_decompressed_is_not_read(machines, monkeypatch):
    monkeypatch.setattr(shared_files, "MAX_SIZE", 10)
    machines.begin("m1", "v1")
    machines.run(60.0)
    ended, why = machines.end()
    assert (ended, why.endswith("another version of Portico wrote it")) == ("refused", True)


def test_a_change_ends_also_after_many_that_failed(machines):
    prefix, numbers = machines["m1"].shared.follower.prefix, range(1, 300)
    machines.store.write({prefix + revision_key(PROJECT, each): b"" for each in numbers})
    machines.run(5.0)
    machines.begin("m1", "v1")
    machines.run(60.0)
    assert (machines.end()[0], machines.versions()) == ("done", everywhere("v1"))


def test_what_another_machine_writes_of_a_machine_or_of_the_turn_does_not_last(machines):
    prefix = machines["m1"].shared.follower.prefix
    machines.store.write(
        {
            prefix + present_key("m2"): None,
            prefix + TURN_KEY: encode(Holder(machine="m9")),
            prefix + revision_key(PROJECT, 1)[:-1] + "²": b"",
        }
    )
    machines.run(10.0)
    assert machines.store.peek(prefix + present_key("m2"))
    assert machines.store.peek(prefix + TURN_KEY) is None
    machines.begin("m1", "v1")
    machines.run(60.0)
    assert machines.versions() == everywhere("v1")


CHANGE = SharedChange(
    id="7",
    verb="up",
    subject="x",
    who="root",
    by="m1",
    began=0.0,
    order=NAMES,
    project=PROJECT,
    revision=2,
)
FAILED = replace(CHANGE, end="failed", why="m2: it exited")
ALL_READY = dict.fromkeys(NAMES, "ready")
ONE, TWO = AppliedRevision(1, is_whole=True), AppliedRevision(2, is_whole=True)


NEW = Switches(stopped={"shop/web": True}, last="7")
OLDER = replace(NEW, last="6")
TAKE_NEW = TakeSwitches(9)
DONE = replace(CHANGE, end="done")


def act(name, states, *, change=CHANGE, has=ONE, turn="", lost=(), head=1, new=NO_SWITCHES, **own):
    progress = {
        machine: Progress(change="7" if state else "6", state=state or "done", why="it exited")
        for machine, state in states.items()
    }
    state = TurnState(change, progress, turn, {PROJECT: head}, frozenset(lost), new, 9)
    mine = OwnState(name, turn == name, follows=True, applied={PROJECT: has} if has else {}, **own)
    return next_act(state, mine)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (act("m2", {"m1": "ready", "m2": ""}), Prepare(CHANGE)),
        (act("m1", {"m1": "ready", "m2": ""}), None),
        (act("m1", ALL_READY), TakeTurn()),
        (act("m2", ALL_READY), None),
        (act("m1", ALL_READY, turn="m9"), None),
        (act("m1", ALL_READY, turn="m1"), MakeChange(CHANGE)),
        (act("m2", ALL_READY | {"m1": "done"}), TakeTurn()),
        (act("m2", ALL_READY | {"m1": "changing"}), None),
        (act("m3", ALL_READY | {"m2": "refused"}), EndChange(CHANGE, "refused", "m2: it exited")),
        (
            act("m3", ALL_READY | {"m1": "done", "m2": "failed"}),
            EndChange(CHANGE, "failed", "m2: it exited"),
        ),
        (act("m3", ALL_READY | {"m1": "failed"}, turn="m1"), None),
        (act("m1", ALL_READY, lost=["m3"]), EndChange(CHANGE, "refused", "m3 is absent")),
        (act("m1", dict.fromkeys(NAMES, "done"), has=TWO), EndChange(CHANGE, "done")),
        (act("m1", {"m1": "done"}, change=FAILED, has=TWO), TakeTurn()),
        (act("m1", {"m1": "done"}, change=FAILED, has=TWO, turn="m1"), TakeFile(PROJECT, 1)),
        (act("m1", {"m1": "done"}, change=FAILED), WriteBack(FAILED)),
        (act("m1", {"m1": "back"}, change=FAILED), None),
        (act("m1", {"m1": "done"}, change=None, turn="m1"), DropTurn()),
        (act("m1", {}, change=None, has=AppliedRevision(1, is_whole=False)), TakeTurn()),
        (act("m1", {}, change=None, has=None, head=0), None),
        (act("m1", {}, change=None, head=0, turn="m1"), TakeFile(PROJECT, 0)),
        (act("m1", {}, change=None, has=TWO, unusable=frozenset([TakeFile(PROJECT, 1)])), None),
        (act("m1", {}, change=None, new=NEW), TakeTurn()),
        (act("m1", {}, change=None, new=NEW, turn="m1"), TAKE_NEW),
        (act("m1", {}, change=None, new=NEW, turn="m1", has=TWO), TakeFile(PROJECT, 1)),
        (act("m1", {}, change=None, new=NEW, switches=NEW), None),
        (act("m1", {}, change=None, new=NEW, unusable=frozenset([TAKE_NEW])), None),
        (act("m1", {"m1": "done"}, change=DONE, new=NEW), CountSwitches(DONE)),
        (act("m1", {"m1": "done"}, change=DONE, new=NEW, switches=Switches(last="7")), TakeTurn()),
        (act("m1", {"m1": ""}, change=DONE, new=NEW), TakeTurn()),
        (act("m1", {"m1": "done"}, change=DONE), None),  # an older Portico ended it
        (
            act("m1", {"m1": "done"}, change=FAILED, new=OLDER, has=TWO, turn="m1"),
            TakeFile(PROJECT, 1),
        ),
    ],
)
def test_what_a_machine_does_next(found, wanted):
    assert found == wanted


def test_what_was_switched_is_counted_also_where_the_next_change_has_begun():
    reload = replace(CHANGE, id="6", verb="reload")
    switches = Switches(renewed={"shop/web": "6"}, last="6")
    state = TurnState(CHANGE, switches=switches)
    assert next_act(state, OwnState("m1", made=reload)) == CountSwitches(reload)
    assert next_act(state, OwnState("m1", switches=switches)) == Prepare(CHANGE)
    later = TurnState(CHANGE, switches=replace(switches, last="5"))
    assert next_act(later, OwnState("m1", made=reload)) == CountSwitches(reload)
    assert next_act(TurnState(CHANGE), OwnState("m1", made=reload)) == Prepare(CHANGE)


def test_a_machine_that_did_not_see_the_end_of_a_reload_does_not_reload_twice(machines):
    """And shows its operator that it was done."""
    machines.begin("m1", "v1")
    machines.run(60.0)
    reload = machines.switch("reload", "m2")
    report = ChangeReport(machines["m2"].change_state, reload.id, lambda _: None)
    shown = machines.loop.create_task(report.follow(lambda moved: moved.wait()))
    while not machines["m3"].is_changing:
        machines.run(0.5)
    machines["m2"].link.is_cut = True
    while not machines["m1"].change_state.change.end:
        machines.run(0.5)
    machines.begin("m1", "v2")
    machines["m2"].link.is_cut = False
    machines.run(60.0)
    assert machines.versions() == everywhere("v2")
    assert [len(each.reloads) for each in machines] == [1, 1, 1]
    assert shown.done()
    assert shown.exception() is None


def test_a_full_disk_of_one_machine_does_not_keep_the_next_change_waiting(machines):
    machines.begin("m1", "v1")
    machines.run(60.0)
    machines.switch("reload", "m1")
    while not machines["m3"].is_changing:
        machines.run(0.5)

    def full(*_: str) -> None:
        raise Failed("cannot write: the disk is full")

    machines["m1"].state.put_setting = full
    machines.run(60.0)
    assert machines.end() == ("done", "")
    machines.begin("m2", "v2")
    machines.run(60.0)
    end, why = machines.end()
    assert end == "failed"
    assert "m1: cannot write: the disk is full" in why


def test_a_machine_that_is_lost_is_left_out_where_the_operator_said_so():
    change = replace(CHANGE, without_absent=True)
    assert act("m2", ALL_READY, change=change, lost=["m1"]) == TakeTurn()
    done = ALL_READY | {"m2": "done", "m3": "done"}
    assert act("m2", done, change=change, lost=["m1"], has=TWO) == EndChange(change, "done")


@pytest.mark.parametrize(
    ("states", "present", "took_part", "found"),
    [
        ({"m1": "in", "m2": "in", "m3": "in"}, ["m2", "m3"], [], (["m1", "m2", "m3"], [])),
        ({"m1": "in", "m2": "in", "m3": "in"}, ["m3"], ["m2", "m3"], (["m1", "m3"], ["m2"])),
        ({"m1": "in", "m2": "in"}, [], [], (["m1"], [])),  # it has joined, and never took part
        ({"m1": "in", "m2": "leaving"}, ["m2"], ["m2"], (["m1"], [])),
        ({"m1": "in"}, ["m2"], ["m2"], (["m1"], [])),  # it was removed
        ({"m1": "leaving", "m2": "in"}, ["m1", "m2"], [], (["m1", "m2"], [])),
        ({"m1": "in", "m2": "later"}, ["m2"], ["m2"], (["m1"], [])),  # of a newer version
    ],
)
def test_who_takes_part_in_a_change_and_who_is_missed(states, present, took_part, found):
    assert participants("m1", states, present, took_part) == found


events = st.one_of(
    st.tuples(st.just("up"), st.sampled_from(NAMES)),
    st.tuples(st.just("up without absent"), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["reload", "stop", "switch on"]), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["kill", "start", "cut", "mend"]), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["kill", "start", "cut", "mend"]), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["refuse", "fail", "lose answer"]), st.sampled_from(NAMES)),
    st.tuples(st.just("store"), st.booleans()),
)
scripts = st.lists(
    st.tuples(events, st.sampled_from([0.0, 0.5, 2.0, 4.0, 10.0, 40.0])), min_size=5, max_size=40
)


class Play:
    def __init__(self, machines: Machines) -> None:
        self._machines, self._count = machines, 0

    def happen(self, kind: str, what: object) -> None:
        machines = self._machines
        machine = machines[what] if isinstance(what, str) else None
        match kind:
            case "up" | "up without absent":
                self._count += 1
                is_without = kind != "up"
                if machine.runs:
                    machines.try_to(
                        machines.begin, what, f"v{self._count}", without_absent=is_without
                    )
            case "reload" | "stop" | "switch on":
                if machine.runs:
                    verb = "start" if kind == "switch on" else kind
                    machines.try_to(machines.switch, verb, what, without_absent=self._count % 2)
            case "kill":
                machine.kill()
            case "start" if not machine.runs:
                machine.start()
            case "cut" | "mend":
                machine.link.is_cut = kind == "cut"
            case "refuse":
                machine.refuses = not machine.refuses
            case "fail":
                machine.fails = not machine.fails
            case "lose answer":
                machine.link.loses_answer = True
            case "store":
                machines.store.fail("stopped" if what else "")

    def calm(self) -> None:
        self._machines.store.fail("")
        for machine in self._machines:
            machine.refuses = machine.fails = machine.link.loses_answer = False
            machine.link.is_cut = False
            if not machine.runs:
                machine.start()
        self._machines.run(SETTLED)
        for machine in self._machines:
            machine.change_state.unusable.clear()
        self._machines.run(SETTLED)


@examples(15)
@given(scripts)
def test_whatever_happens_there_is_one_turn_at_a_time_and_a_change_is_done_or_taken_back(script):
    with Machines(*NAMES) as machines:
        play = Play(machines)
        for (kind, what), seconds in script:
            play.happen(kind, what)
            machines.run(seconds)
        play.calm()
        change_state = machines["m1"].change_state
        change, heads = change_state.change, change_state.state().heads
        if change is None:
            return
        assert change.end
        if change.project and change.end == "done":
            assert heads[change.project] == change.revision
        followers = [each for each in machines if each.change_state.own().follows]
        if heads:
            assert {each.change_state.own().applied["shop"].number for each in followers} == {
                *heads.values()
            }
            assert len({each.version for each in followers}) == 1
            assert "half" not in machines.versions().values()
        switched = [replace(each.change_state.own_switches, last="") for each in followers]
        assert all(each == replace(change_state.switches, last="") for each in switched)
        assert change_state.state().holder == ""

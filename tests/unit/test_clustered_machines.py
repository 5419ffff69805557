"""What holds on three machines with a store, whatever happens to them, to the store and between
them, and whatever one of them writes of the others.

* No two machines have the turn at a time, and none replaces instances without it; nor do two
  obtain certificates.
* No machine takes an instance from its nginx that answers, because of what another one or the
  store says.
* A store that was wiped, or is an older one, is no order.
* Of two operators at once one is refused.
* When nothing goes wrong any more, the next change is made on all machines.

`--hypothesis-profile=explore` looks for new examples.
"""

from __future__ import annotations

from typing import NoReturn

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from portico.core.config.desired import version_of
from portico.core.model.instance import InstanceState
from portico.core.model.neighbour import NearList
from portico.core.model.requests import DownRequest
from portico.core.model.shared import (
    CHANGE_KEY,
    CLUSTER_KEY,
    ENDPOINTS_KEY,
    ISSUER_CLAIM_KEY,
    ISSUER_KEY,
    RESTORE_KEY,
    RESTORED_KEY,
    SWITCHES_KEY,
    TURN_KEY,
    Head,
    Holder,
    SharedMachine,
    encoded,
    head_key,
    machine_key,
    present_key,
    progress_key,
    revision_key,
    run_key,
    running_key,
    token_key,
)
from portico.core.model.shared_change import Progress, SharedChange
from portico.core.model.snapshot import Snapshot
from portico.engine.inputs import Inputs
from portico.errors import Refused
from tests.examples import examples
from tests.unit.clustered_machines import NAMES, WHO, Cluster, FilePreparation

STEPS = 12
names = st.sampled_from(NAMES)
seconds = st.sampled_from([0.5, 2.0, 4.0, 8.0, 20.0])
garbage = st.sampled_from([b"", b"{}", b"\xff", b'{"v": 2}'])
states = st.sampled_from(["ready", "refused", "changing", "done", "failed", "back"])
holders = st.sampled_from([encoded(Holder(machine=each)) for each in (*NAMES, "m9")])
shared_keys = st.sampled_from(
    [
        *(
            CLUSTER_KEY,
            ENDPOINTS_KEY,
            ISSUER_KEY,
            ISSUER_CLAIM_KEY,
            RESTORE_KEY,
            RESTORED_KEY,
            SWITCHES_KEY,
        ),
        *(head_key("shop"), run_key("web", 17), running_key("web"), token_key("1")),
    ]
)
orders = st.sampled_from([(), ("m9",), ("m2", "m9"), NAMES])


def test_a_project_is_ended_on_all_machines_though_a_daemon_is_killed_in_its_turn():
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    one = cluster["m1"]
    cluster.ask("m1", one.daemon.asked.down(WHO, DownRequest(), "shop"))
    while one.version:
        cluster.run(0.5)
    one.lose_daemon()
    one.begin()
    cluster.run(60.0)
    assert cluster.change.end == "done"
    assert {each.version for each in cluster} == {""}
    cluster.close()


def test_a_project_that_is_ended_again_while_machines_check_is_not_ended_out_of_turn():
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    cluster["m2"].daemon.machine_drain.drain(WHO)  # its check waits for the end of that
    asked = cluster["m1"].daemon.asked
    first = cluster.ask("m1", asked.down(WHO, DownRequest(), "shop"))
    cluster.run(1.0)
    again = cluster.ask("m1", asked.down(WHO, DownRequest(), "shop"))
    cluster.run(1.0)
    assert first.result() == ""
    assert "is under way; nothing was changed" in again.result()
    assert {each.version for each in cluster} == {"v1"}
    cluster.run(60.0)
    assert (cluster.change.end, {each.version for each in cluster}) == ("done", {""})
    cluster.close()


def test_a_project_that_is_ended_again_by_name_while_it_drains_is_waited_for():
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    one = cluster["m1"]
    for process in one.processes.values():
        process.connections = 1
    asked = one.daemon.asked
    cluster.ask("m1", asked.down(WHO, DownRequest(), "shop"))
    while one.version:
        cluster.run(0.5)
    again = cluster.ask("m1", asked.down(WHO, DownRequest(), "shop"))
    cluster.run(0.5)
    assert again.result() == ""
    while cluster["m2"].version:
        cluster.run(0.5)
    later = cluster.ask("m1", asked.down(WHO, DownRequest(), "shop"))
    other = cluster.ask("m1", asked.down(WHO, DownRequest(), "blog"))
    cluster.run(0.5)
    assert later.result() == ""
    assert "there is no project 'blog'" in other.result()
    assert not cluster.change.end
    cluster.run(60.0)
    downs = [each for each in asked.changes() if each.kind == "down"]
    assert [each.state for each in downs] == ["done"] * 4
    assert any("no longer waiting for open requests" in line for line in downs[0].lines)
    cluster.close()


@pytest.mark.parametrize("when", ["just begun", "in the middle"])
def test_a_command_ends_where_the_store_is_lost_for_good_and_its_change_continues_later(when):
    cluster = Cluster()
    cluster.up("m1")
    cluster.run(40.0)
    begun = cluster.up("m1")
    while not begun.done() or (when == "in the middle" and cluster["m1"].version == "v1"):
        cluster.run(0.01)
    for each in cluster:
        each.link.is_cut = True
    cluster.put({"any": b"1"})  # else the fake is silent for ever
    cluster.run(700.0)
    [view] = [each for each in cluster["m1"].daemon.asked.changes() if each.state == "failed"]
    assert any(line.startswith("waiting for the cluster's store: ") for line in view.lines)
    assert "has not been available for 10 minutes" in view.error
    for each in cluster:
        each.link.is_cut = False
    cluster.run(60.0)
    assert cluster.change.end == "done"
    assert {each.version for each in cluster} == {"v2"}
    cluster.close()


class NoFolder(FilePreparation):
    """Of a machine on which no file can come into force."""

    async def check(self, inputs: Inputs) -> NoReturn:
        raise Refused(f"the folder of {inputs.source} does not exist")


def test_a_machine_that_could_not_take_the_file_in_force_does_not_scale_the_one_before():
    cluster = Cluster()
    cluster.up("m1", on=("m1",))
    cluster.run(40.0)
    three = cluster["m3"]
    three.lose_daemon()
    cluster.run(30.0)
    cluster.up("m1", without_absent=True, on=("m2",))
    cluster.run(40.0)
    assert cluster.change.order == ("m2", "m1")  # it is started first where it moves to
    three.preparation = NoFolder
    three.begin()
    cluster.run(30.0)
    assert [each.version for each in cluster] == ["v2", "v2", "v1"]
    before = cluster.change
    three.daemon.preparation.check = three.daemon.preparation.tested_again
    scaled = cluster.ask("m3", three.daemon.asked.scale("web", 3, WHO))
    cluster.run(5.0)
    assert "does not have the file of shop that is in force" in scaled.result()
    assert cluster.change == before
    scaled = cluster.ask("m2", cluster["m2"].daemon.asked.scale("web", 3, WHO))
    cluster.run(5.0)
    assert scaled.result() == ""
    cluster.close()


def releases(cluster: Cluster) -> set[tuple[str, ...]]:
    """To which the links of the instances that run led."""
    targets = [each.records["web"].target for each in cluster]
    for each, target in zip(cluster, targets, strict=True):
        assert {i.spec for i in each.in_state(InstanceState.READY)} == {target.id}
    return {tuple(target.links.values()) for target in targets}


def release(cluster: Cluster, name: str, *, fails_on: str = "") -> None:
    """The link leads there from now on, on all machines, and one of them reloads."""
    links = {"/srv/current": f"/srv/{name}"}
    version = version_of(cluster["m1"].records["web"].target, asked=0, links=links).id
    cluster[fails_on or "m2"].programs.failing_version = version if fails_on else ""
    for each in cluster:
        each.links = links
    reloaded = cluster.ask("m1", cluster["m1"].daemon.asked.reload("web", WHO))
    cluster.run(60.0)
    assert reloaded.result() == ""


def test_a_reload_to_another_release_is_taken_back_where_it_fails_as_is_a_file_after_it():
    cluster = Cluster()
    for each in cluster:
        each.links = {"/srv/current": "/srv/one"}
    cluster.up("m1")
    cluster.run(40.0)
    release(cluster, "two")
    assert releases(cluster) == {("/srv/two",)}
    release(cluster, "three", fails_on="m2")
    assert cluster.change.end == "failed"
    assert releases(cluster) == {("/srv/two",)}
    cluster.up("m1", bad=True)
    cluster.run(60.0)
    assert cluster.change.end == "failed"
    assert releases(cluster) == {("/srv/two",)}
    cluster.close()


class AnyCluster(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        first = self.cluster.up("m1")
        self.cluster.run(40.0)
        assert first.result() == ""
        assert {each.version for each in self.cluster} == {"v1"}

    def teardown(self) -> None:
        try:
            self.cluster.calm()
        finally:
            self.cluster.close()

    # Operators

    @rule(name=names, bad=st.booleans(), without_absent=st.booleans(), after=seconds)
    def up(self, name: str, *, bad: bool, without_absent: bool, after: float) -> None:
        if self.cluster[name].daemon:
            self.cluster.up(name, bad=bad, without_absent=without_absent)
        self.cluster.run(after)

    @rule(one=names, other=names, after=seconds)
    def two_at_once(self, one: str, other: str, after: float) -> None:
        if one != other and self.cluster[one].daemon and self.cluster[other].daemon:
            asked = [self.cluster.up(each) for each in (one, other)]
            self.cluster.run(1.0)
            ended = [each for each in asked if each.done() and not each.cancelled()]
            begun = [each for each in ended if not each.result()]
            assert len(begun) <= 1
            if begun:
                for each in {*ended} - {*begun}:
                    assert "nothing was changed" in each.result() or "store" in each.result()
        self.cluster.run(after)

    @rule(name=names, verb=st.sampled_from(["reload", "stop", "start"]), after=seconds)
    def ask(self, name: str, verb: str, after: float) -> None:
        if daemon := self.cluster[name].daemon:
            self.cluster.ask(name, getattr(daemon.asked, verb)("web", WHO))
        self.cluster.run(after)

    @rule(name=names, is_drained=st.booleans())
    def drain(self, name: str, *, is_drained: bool) -> None:
        if daemon := self.cluster[name].daemon:

            async def work() -> None:
                (daemon.machine_drain.drain if is_drained else daemon.machine_drain.undrain)(WHO)

            self.cluster.ask(name, work())
        self.cluster.run(2.0)

    # What happens

    @rule(after=st.sampled_from([4.0, 20.0, 40.0]))
    def time_passes(self, after: float) -> None:
        self.cluster.run(after)

    @rule(name=names, after=seconds)
    def a_daemon_dies(self, name: str, after: float) -> None:
        self.cluster[name].lose_daemon()
        self.cluster.run(after)

    @rule(name=names, after=seconds)
    def a_daemon_begins(self, name: str, after: float) -> None:
        if self.cluster[name].daemon is None:
            self.cluster[name].begin()
        self.cluster.run(after)

    @rule(name=names, is_cut=st.booleans(), after=seconds)
    def a_machine_is_cut_from_the_store(self, name: str, *, is_cut: bool, after: float) -> None:
        self.cluster[name].link.is_cut = is_cut
        self.cluster.run(after)

    @rule(name=names)
    def an_answer_is_lost(self, name: str) -> None:
        self.cluster[name].link.loses_answer = True
        self.cluster.run(2.0)

    @rule(name=names, is_parted=st.booleans())
    def machines_do_not_reach_each_other(self, name: str, *, is_parted: bool) -> None:
        pairs = [{name, other} for other in NAMES if other != name]
        self.cluster.parted[:] = pairs if is_parted else []
        self.cluster.run(2.0)

    @rule(name=names)
    def an_instance_exits(self, name: str) -> None:
        if processes := list(self.cluster[name].processes.values()):
            self.cluster[name].crash(processes[0])
        self.cluster.run(2.0)

    @rule(is_wiped=st.booleans(), after=seconds)
    def the_store_is_another_one(self, *, is_wiped: bool, after: float) -> None:
        self.cluster.become(Snapshot(1) if is_wiped else self.cluster.first)
        self.cluster.run(after)

    @rule(after=seconds)
    def the_store_is_right_again(self, after: float) -> None:
        self.cluster.become_right()
        self.cluster.run(after)

    @rule()
    def the_store_forgets_its_past(self) -> None:
        self.cluster.store.compact()

    # A machine that lies

    @rule(name=names, value=st.one_of(st.none(), garbage))
    def lie_who_is_there(self, name: str, value: bytes | None) -> None:
        self.cluster.lie(present_key(name), value)
        self.cluster.run(2.0)

    @rule(name=names, state=states, value=st.one_of(st.none(), garbage), is_read=st.booleans())
    def lie_how_far_it_is(
        self, name: str, state: str, value: bytes | None, *, is_read: bool
    ) -> None:
        change = self.cluster.change
        if change and is_read:
            value = encoded(Progress(change=change.id, state=state, why="it is said"))
        self.cluster.lie(progress_key(name), value)
        self.cluster.run(2.0)

    @rule(
        name=names,
        value=st.one_of(st.none(), garbage, st.just(encoded(SharedMachine(address="10.9.9.9")))),
    )
    def lie_which_machines_there_are(self, name: str, value: bytes | None) -> None:
        self.cluster.lie(machine_key(name), value)
        self.cluster.run(2.0)

    @rule(value=st.one_of(st.none(), garbage, holders))
    def lie_whose_turn_it_is(self, value: bytes | None) -> None:
        self.cluster.lie(TURN_KEY, value)
        self.cluster.run(2.0)

    @rule(value=st.one_of(st.none(), garbage), order=orders, is_read=st.booleans())
    def lie_what_is_under_way(
        self, value: bytes | None, order: tuple[str, ...], *, is_read: bool
    ) -> None:
        if is_read:
            change = SharedChange(
                id="7", verb="up", subject="x", who="m3", by="m9", began=0.0, order=order
            )
            value = encoded(change)
        self.cluster.lie(CHANGE_KEY, value)
        self.cluster.run(2.0)

    @rule(number=st.sampled_from(["1", "2", "9", "²", "9" * 30, "x"]), value=garbage)
    def lie_what_files_there_are(self, number: str, value: bytes) -> None:
        self.cluster.lie(revision_key("shop", 0)[:-1] + number, value)
        self.cluster.run(2.0)

    @rule(key=shared_keys, value=st.one_of(st.none(), garbage, holders))
    def lie_about_what_all_share(self, key: str, value: bytes | None) -> None:
        self.cluster.lie(key, value)
        self.cluster.run(2.0)

    @rule(number=st.sampled_from([0, 1, 2, 9]))
    def lie_which_file_is_in_force(self, number: int) -> None:
        self.cluster.lie(head_key("shop"), encoded(Head(number=number)))
        self.cluster.run(2.0)

    @rule(name=names, count=st.sampled_from([0, 1, 1000]), leaves=st.booleans())
    def lie_what_is_ready(self, name: str, count: int, *, leaves: bool) -> None:
        apps = {"web": count} if count else {}
        self.cluster[name].lists.lie = NearList(name, apps, leaves)
        self.cluster.run(2.0)


TestAnyCluster = AnyCluster.TestCase
TestAnyCluster.settings = settings(examples(4), stateful_step_count=STEPS)

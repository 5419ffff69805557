"""Whatever happens to machines, to the store and between them, and whatever operators ask, as
hypothesis chooses; no machine lies.
"""

from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from portico.core.model.requests import DownRequest
from portico.core.model.snapshot import Snapshot
from tests.unit.cluster_simulation import NAMES, TWO_EACH, Cluster
from tests.unit.clustered_machines import Member

names = st.sampled_from(NAMES)
maybe_names = st.one_of(st.none(), names)
without_absent = st.sampled_from([None, "1"])
keys = st.sampled_from(
    [
        *(TWO_EACH, {"instances": 1}, {"total": 3}, {"total": 1}),
        *({**TWO_EACH, "on": ("m2",)}, {**TWO_EACH, "on": ("m1", "m3")}),
        {"total": 2, "on": ("m2", "m3")},
    ]
)
words = st.sampled_from(
    [
        *(("reload", "web"), ("stop", "web"), ("start", "web"), ("restart", "web")),
        *(("scale", "web", 1), ("scale", "web", 3), ("scale", "web", "+1"), ("rollback", None)),
        *(("pause", "web"), ("resume", "web")),
    ]
)
seconds = st.sampled_from([0.5, 2.0, 4.0, 8.0, 20.0])


class AnyCluster(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        first = self.cluster.up("m1")
        self.cluster.run_until(lambda: first.done() and self.cluster.is_at_rest, 40.0)
        assert first.result() == ""
        assert {each.version for each in self.cluster} == {"v1"}

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else that is the failure
                self.cluster.calm()
        finally:
            self.cluster.close()

    def daemon_of(self, name: str) -> Member | None:
        """The machine, if its daemon runs."""
        member = self.cluster.members.get(name)
        return member if member and member.daemon else None

    # Operators

    @rule(name=names, bad=st.booleans(), absent=without_absent, keys=keys, after=seconds)
    def up(self, name: str, *, bad: bool, absent: str | None, keys: dict, after: float) -> None:
        if self.daemon_of(name):
            self.cluster.up(name, bad=bad, without_absent=bool(absent), keys=keys)
        self.cluster.run(after)

    @rule(one=names, other=names, after=seconds)
    def two_at_once(self, one: str, other: str, after: float) -> None:
        if one != other and self.daemon_of(one) and self.daemon_of(other):
            asked = [self.cluster.up(each) for each in (one, other)]
            self.cluster.run(1.0)
            ended = [each for each in asked if each.done() and not each.cancelled()]
            begun = [each for each in ended if not each.result()]
            assert len(begun) <= 1
            if begun:
                for each in {*ended} - {*begun}:
                    assert "nothing was changed" in each.result() or "store" in each.result()
        self.cluster.run(after)

    @rule(name=names, words=words, absent=without_absent, after=seconds)
    def ask(self, name: str, words: tuple, absent: str | None, after: float) -> None:
        if self.daemon_of(name):
            self.cluster.do(name, *words, without_absent=absent)
        self.cluster.run(after)

    @rule(name=names, verb=st.sampled_from(["drain", "undrain"]), other=maybe_names, after=seconds)
    def drain(self, name: str, verb: str, other: str | None, after: float) -> None:
        if self.daemon_of(name):
            self.cluster.do(name, verb, machine=other)
        self.cluster.run(after)

    @rule(name=names, now=st.booleans(), after=seconds)
    def down_all(self, name: str, *, now: bool, after: float) -> None:
        if member := self.daemon_of(name):
            if member.allowed is not None:
                member.allowed.add("")
            self.cluster.do(name, "down", request=DownRequest(everything=True, now=now))
        self.cluster.run(after)

    @rule(name=names, after=seconds)
    def take(self, name: str, after: float) -> None:
        """`portico up` without a file."""
        if self.daemon_of(name):
            self.cluster.do(name, "take_shared")
        self.cluster.run(after)

    # Machines that come and go

    @rule(name=names, after=seconds)
    def leave(self, name: str, after: float) -> None:
        if self.daemon_of(name) and not self.cluster.is_last(name):
            self.cluster.leave(name)
        self.cluster.run(after)

    @rule(name=names, by=names, force=st.booleans(), after=seconds)
    def remove(self, name: str, by: str, *, force: bool, after: float) -> None:
        if name != by and self.daemon_of(by):
            self.cluster.do(by, "remove_machine", name, force=force)
        self.cluster.run(after)

    @rule(name=names, by=names, replaces=st.booleans(), keeps=st.booleans(), after=seconds)
    def join(self, name: str, by: str, *, replaces: bool, keeps: bool, after: float) -> None:
        member = self.cluster.members.get(name)
        if name != by and self.daemon_of(by) and not (member and member.is_in):
            self.cluster.join(name, by, replaces=replaces, keeps_disk=keeps)
        self.cluster.run(after)

    @rule(name=names, loses_folder=st.booleans(), after=seconds)
    def a_machine_dies(self, name: str, *, loses_folder: bool, after: float) -> None:
        if member := self.daemon_of(name):
            member.die()
            member.is_in = not loses_folder or self.cluster.is_last(name)
        self.cluster.run(after)

    # What happens

    @rule(after=st.sampled_from([4.0, 20.0, 40.0]))
    def time_passes(self, after: float) -> None:
        self.cluster.run(after)

    @rule(name=names, after=seconds)
    def a_daemon_dies(self, name: str, after: float) -> None:
        if member := self.daemon_of(name):
            member.lose_daemon()
        self.cluster.run(after)

    @rule(name=names, after=seconds)
    def a_daemon_begins(self, name: str, after: float) -> None:
        member = self.cluster.members.get(name)
        if member and member.daemon is None:
            member.boot() if member.nginx.pid is None else member.begin()
        self.cluster.run(after)

    @rule(name=names, ahead=st.sampled_from([0.0, -7200.0, -30.0, 30.0, 7200.0]))
    def a_clock_is_set(self, name: str, ahead: float) -> None:
        if member := self.cluster.members.get(name):
            member.wall.ahead = ahead
        self.cluster.run(0.5)

    @rule(name=names, is_cut=st.booleans(), after=seconds)
    def a_machine_is_cut_from_the_store(self, name: str, *, is_cut: bool, after: float) -> None:
        if member := self.cluster.members.get(name):
            member.link.is_cut = is_cut
        self.cluster.run(after)

    @rule(name=names)
    def an_answer_is_lost(self, name: str) -> None:
        if member := self.cluster.members.get(name):
            member.link.loses_answer = True
        self.cluster.run(2.0)

    @rule(name=names, is_parted=st.booleans(), with_store=st.booleans(), after=seconds)
    def a_machine_is_parted(
        self, name: str, *, is_parted: bool, with_store: bool, after: float
    ) -> None:
        """From the others, and perhaps from the store; or no machine is."""
        pairs = [{name, other} for other in NAMES if other != name]
        self.cluster.parted[:] = pairs if is_parted else []
        for each in self.cluster:
            each.link.is_cut = is_parted and with_store and each.name == name
        self.cluster.run(after)

    @rule(name=names)
    def an_instance_exits(self, name: str) -> None:
        if (member := self.daemon_of(name)) and (processes := list(member.processes.values())):
            member.crash(processes[0])
        self.cluster.run(2.0)

    @rule(is_down=st.booleans(), after=seconds)
    def the_store_is_down(self, *, is_down: bool, after: float) -> None:
        self.cluster.store.fail("no member answers" if is_down else "")
        self.cluster.run(after)

    @rule()
    def the_store_is_copied(self) -> None:
        self.cluster.copies.append(self.cluster.store.all)

    @rule(copy=st.sampled_from([None, 0, -1]), after=seconds)
    def the_store_is_another_one(self, *, copy: int | None, after: float) -> None:
        copies = self.cluster.copies
        self.cluster.become(Snapshot(1) if copy is None else copies[copy])
        self.cluster.run(after)

    @rule(after=seconds)
    def the_store_is_right_again(self, after: float) -> None:
        self.cluster.become_right()
        self.cluster.run(after)

    @rule(name=names, verb=st.sampled_from(["accept", "restore"]), after=seconds)
    def an_operator_repairs_the_store(self, name: str, verb: str, after: float) -> None:
        if self.daemon_of(name):
            self.cluster.repair(name, verb)
        self.cluster.run(after)

    @rule()
    def the_store_forgets_its_past(self) -> None:
        self.cluster.store.compact()

"""Machines of a cluster in one loop, the operators' commands on any of them, and what happens: to
daemons, whole machines and clocks, to the store and the ways to it, and what one machine writes of
the others (`Cluster.lie`). What must hold is looked at twice a second.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from portico.core.config.placement import parts
from portico.core.model.cluster import Machine
from portico.core.model.instance import InstanceState
from portico.core.model.requests import DocumentRequest, DownRequest
from portico.core.model.shared import (
    CHANGE_KEY,
    CLUSTER_KEY,
    ISSUER_CLAIM_KEY,
    ISSUER_KEY,
    MACHINES,
    PROGRESS,
    RESTORE_KEY,
    TURN_KEY,
    ClusterRecord,
    Head,
    decode,
    encode,
    head_key,
    machine_key,
    revision_key,
)
from portico.core.model.shared_change import Progress, SharedChange, SharedFile
from portico.core.model.snapshot import Snapshot
from portico.core.planning.mirroring import prefix_of
from portico.engine.cluster.session import DURATION
from portico.errors import PorticoError
from tests.fakes.clock import VirtualLoop
from tests.fakes.store import FakeStore
from tests.unit.clustered_machines import WHO, Authority, Member, address, app_of
from tests.unit.simulation import CLUSTER

NAMES: Final = ("m1", "m2", "m3")
PREFIX: Final = prefix_of(CLUSTER)
PROJECT: Final = "shop"
TWO_EACH: Final = {"instances": 2}


class Cluster:
    def __init__(self) -> None:
        self.loop = VirtualLoop(1000.0)
        self.store, self.members = FakeStore(self.loop), dict[str, Member]()
        self.authority = Authority()
        self.parted = list[set[str]]()
        self.forged_until = 0.0
        """As long as a turn may last that another machine took away."""
        self.has_lied = False
        self._right: Snapshot | None = None
        """What the store had before it was wiped or replaced by an older one."""
        self.count = 0
        record = encode(ClusterRecord(least=1))
        self.put({CLUSTER_KEY: record, **{machine_key(n): address(n) for n in NAMES}})
        self.copies = [self.store.all]
        """Of the store, the oldest first."""
        for name in NAMES:
            self.members[name] = Member(name, self)
        self.run(4.0)

    def close(self) -> None:
        for each in self:
            each.lose_daemon()
        self.loop.close()

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    @property
    def alive(self) -> list[Member]:
        return [each for each in self if each.daemon is not None]

    @property
    def issuers(self) -> int:
        return sum(bool(each.daemon.issuing.role.fence) for each in self.alive)

    @property
    def is_forged(self) -> bool:
        return self.loop.time() < self.forged_until

    def are_parted(self, one: str, other: str) -> bool:
        return {one, other} in self.parted

    def run(self, seconds: float) -> None:
        """In small parts, so that what must hold is looked at often."""
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether it became true in that time."""
        end = self.loop.time() + seconds
        while self.loop.time() < end and not condition():
            for each in self.alive:
                each.daemon.attend(float("inf"))
            self.loop.run_until(min(end, self.loop.time() + 0.5))
            for each in self:
                each.assert_sound()
            self.check()
        return condition()

    # What operators do

    def ask(self, name: str, work: Awaitable[object]) -> asyncio.Task[str]:
        """Its result is why it was refused; empty if it was begun."""

        async def asked() -> str:
            try:
                await work
            except PorticoError as error:
                return str(error)
            return ""

        return self[name].daemon.group.create_task(asked())

    def do(self, name: str, verb: str, *words: object, **more: object) -> asyncio.Task[str]:
        """What an operator asks of that machine."""
        return self.ask(name, getattr(self[name].daemon.asked, verb)(*words, WHO, **more))

    def up(
        self,
        name: str,
        *,
        bad: bool = False,
        without_absent: bool = False,
        keys: Mapping[str, object] = TWO_EACH,
        others: Mapping[str, Mapping[str, object]] = {},
    ) -> asyncio.Task[str]:
        """A file with the app `web`, and others."""
        self.count += 1
        version = f"{'bad' if bad else 'v'}{self.count}"
        apps = {"web": {"version": version, **keys}, **others}
        table = {"project": PROJECT, "apps": apps}
        request = DocumentRequest(source="/srv/portico.toml", folder="/srv", table=table)
        return self.do(name, "up", request, without_absent="1" if without_absent else None)

    def join(self, name: str, by: str, *, replaces: bool = False, keeps_disk: bool = False) -> str:
        """Why it was refused; empty if it is a machine of the cluster now."""
        member = self.members.get(name) or Member(name, self, is_in=False)
        serials = list[str]()

        async def joins() -> None:
            serials.append(await member.request_to_join(self[by], replaces=replaces))

        asked = self.ask(by, joins())
        self.run_until(asked.done, 20.0)
        if serials:
            member.join_with(serials[0], keeps_disk=keeps_disk)
            self.members[name] = member
        return asked.result() if asked.done() and not asked.cancelled() else "no answer"

    def leave(self, name: str) -> str:
        """Why it was refused; empty if it has left."""
        asked = self.do(name, "leave_cluster")
        self.run_until(asked.done, 5.0)
        why = asked.result() if asked.done() and not asked.cancelled() else "no answer"
        if not why:
            self[name].leave()
        return why

    def repair(self, name: str, verb: str) -> str:
        """By `accept` or `restore`. Why it was refused."""
        asked = self.ask(name, getattr(self[name].daemon.shared, verb)(act=True, who=WHO))
        self.run_until(asked.done, 5.0)
        why = asked.result() if asked.done() and not asked.cancelled() else "no answer"
        if not why:
            self._right = None
            for each in self:  # an operator has decided
                each.allowed = None
        return why

    # What happens to the store

    def put(self, values: dict[str, bytes | None]) -> None:
        """Whoever may; None deletes."""
        self.store.write({PREFIX + key: value for key, value in values.items()})

    def lie(self, key: str, value: bytes | None) -> None:
        """A machine writes what is not its own."""
        if self._right is None:
            self.has_lied = True
            if key == TURN_KEY:
                self.forged_until = self.loop.time() + DURATION
            self.put({key: value})

    def become(self, snapshot: Snapshot) -> None:
        """The store is wiped, or an older one."""
        if self._right is None:
            self._right = self.store.all
            known = {self.version_in_force, self._version(self.change)}
            for each in self:
                each.allowed = known | {each.version}
        self.store.replace(snapshot)

    def become_right(self) -> None:
        if self._right is not None:
            self.store.replace(self._right)
            self._right = None
            for each in self:
                each.allowed = None

    # What it has

    @property
    def change(self) -> SharedChange | None:
        item = self.store.peek(PREFIX + CHANGE_KEY)
        return decode(SharedChange, item.value) if item else None

    @property
    def is_at_rest(self) -> bool:
        return self.change is None or bool(self.change.end)

    def is_member(self, name: str) -> bool:
        """Whether it has the files of the machine that the store names so."""
        item = self.store.peek(PREFIX + machine_key(name))
        its = self.members.get(name)
        return bool(its and its.is_in and item and item.value == address(name, its.certificate))

    def is_last(self, name: str) -> bool:
        """Whether the cluster ends with this machine."""
        return not any(self.is_member(each) for each in self.members if each != name)

    def file(self, number: int) -> SharedFile | None:
        """As FakeVault seals it."""
        item = self.store.peek(PREFIX + revision_key(PROJECT, number)) if number else None
        if item is None:
            return None
        _, _, packed = json.loads(item.value)
        return decode(SharedFile, zlib.decompress(packed.encode("latin-1")))

    @property
    def file_in_force(self) -> SharedFile | None:
        item = self.store.peek(PREFIX + head_key(PROJECT))
        head = decode(Head, item.value) if item else None
        return self.file(head.number) if head else None

    @property
    def version_in_force(self) -> str:
        return version_of(self.file_in_force)

    def _version(self, change: SharedChange | None) -> str:
        return version_of(self.file(change.revision)) if change else ""

    def _records(self, start: str, kind: type) -> dict:
        items = self.store.all.items.items()
        whole = PREFIX + start
        read = {k[len(whole) :]: decode(kind, i.value) for k, i in items if k.startswith(whole)}
        return {name: each for name, each in read.items() if each is not None}

    # What holds

    def check(self) -> None:
        for each in self.alive:
            each.check()
        if not self.is_forged:
            holders = [each.name for each in self.alive if each.daemon.change_state.fence]
            assert len(holders) <= 1, f"two turns: {holders}"
        issuers = [each.name for each in self.alive if each.daemon.issuing.role.fence]
        assert len(issuers) <= 1, f"two issuers: {issuers}"
        for each in self._records(PROGRESS, Progress).values():
            assert "internal error" not in each.why, each

    def calm(self) -> None:
        """Nothing goes wrong any more: all have what is in force, and the next change is made on
        all machines.
        """
        self._mend_all()
        if not self.has_lied:
            settled = self.run_until(lambda: not self.unsettled(), 150.0)
            assert settled, self.unsettled()
        else:
            self.run(100.0)
        last = self.up("m1")
        self.run_until(lambda: last.done() and self.is_at_rest, 120.0)
        assert last.result() == ""
        assert (self.change.end, self.change.why) == ("done", "")
        self._start_everywhere()
        self.run_until(lambda: not self.unsettled(), 20.0)
        assert self.version_in_force == f"v{self.count}"
        assert not self.unsettled(), self.unsettled()
        assert self.run_until(lambda: self.issuers == 1, 40.0)

    def _mend_all(self) -> None:
        self.parted.clear()
        self.store.fail("")
        for each in self:
            each.link.is_cut = each.link.loses_answer = False
            each.lists.lie = None
            if each.daemon is None and each.is_in:
                each.begin()
        self._mend_store()
        self._mend_members()
        assert self.run_until(lambda: self.is_at_rest, 120.0), self.change
        for _ in range(60):  # it is refused while a drain is under way
            for each in self:
                if not each.intent.revisions and self.version_in_force:
                    self.do(each.name, "take_shared")
                if each.intent.drained_apps is not None:
                    self.do(each.name, "undrain")
            if self.run_until(self._are_all_in_use, 4.0):
                break
        assert self._are_all_in_use()
        if self.version_in_force and not self.has_lied:
            self._start_everywhere()

    def _start_everywhere(self) -> None:
        """It is refused until all are connected, and have the file in force."""
        for _ in range(30):
            asked = self.do("m1", "start", "web")
            self.run_until(lambda asked=asked: asked.done() and self.is_at_rest, 60.0)
            if not asked.result() and self.change.end == "done":
                break
            self.run(4.0)
        assert (asked.result(), self.change.end) == ("", "done"), self.change

    def _are_all_in_use(self) -> bool:
        return all(
            each.intent.drained_apps is None
            and bool(each.intent.revisions or self.has_lied or not self.version_in_force)
            for each in self
        )

    def _mend_store(self) -> None:
        self.become_right()
        values = {CLUSTER_KEY: encode(ClusterRecord(least=1)), RESTORE_KEY: None}
        if self.has_lied or not any(map(self.is_member, self.members)):
            values |= {
                machine_key(each.name): address(each.name, each.certificate) for each in self
            }
        self.put(values | self._forged_roles())
        self.run_until(lambda: all(each.follows for each in self if each.is_in), 12.0)
        for each in self:
            if each.is_in and not each.follows:
                assert self.repair(each.name, "accept") == ""

    def _forged_roles(self) -> dict[str, bytes | None]:
        """What no machine writes again: no session ends what another one has written."""
        items = ((key, self.store.peek(PREFIX + key)) for key in (ISSUER_KEY, ISSUER_CLAIM_KEY))
        return dict.fromkeys(key for key, item in items if item and not item.session)

    def _mend_members(self) -> None:
        """Each is a machine of the cluster again."""
        for each in self:
            if each.is_in and not each.daemon.shared.is_member():
                self.do(each.name, "down", request=DownRequest(everything=True, now=True))
                assert self.run_until(lambda each=each: each.is_idle, 30.0), each.name
                assert self.leave(each.name) == ""
        for each in self:
            if not each.is_in:
                by = next(name for name in self.members if self.is_member(name))
                replaces = self.store.peek(PREFIX + machine_key(each.name)) is not None
                assert self.join(each.name, by, replaces=replaces) == ""

    def unsettled(self) -> list[str]:
        """What is not as the file in force says."""
        if not self.is_at_rest or self.store.peek(PREFIX + TURN_KEY):
            return ["a change is under way"]
        if self.store.peek(PREFIX + head_key(PROJECT)) is None:
            return []  # nothing was ever applied in this store, which takes nothing away
        file = self.file_in_force
        wanted = self._parts(file) if file else {}
        return [
            f"{each.name}: {found}, not {version_of(file)} with {wanted.get(each.name, 0)}"
            for each in self
            if (found := self._found(each)) != (version_of(file), wanted.get(each.name, 0))
        ]

    def _parts(self, file: SharedFile) -> dict[str, int]:
        machines = {n: Machine(address="10.0.0.1") for n in self._names()}
        return parts("web", app_of(file.document["apps"]["web"]), machines)

    def _names(self) -> list[str]:
        start = PREFIX + MACHINES
        return sorted(key[len(start) :] for key in self.store.names() if key.startswith(start))

    def _found(self, member: Member) -> tuple[str, int | str]:
        """Its version, and how many instances run, all of which are ready and reached."""
        ready = member.in_state(InstanceState.READY)
        if len(ready) != len(member.processes) or len(member.answering("web")) != len(ready):
            return member.version, "some that are not ready"
        if {i.spec for i in ready} - {r.target.id for r in member.records.values()}:
            return member.version, "some of another version"
        return member.version, len(ready)


def version_of(file: SharedFile | None) -> str:
    return file.document["apps"]["web"]["version"] if file else ""

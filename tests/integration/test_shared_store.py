"""What the store of a cluster does to it: nothing that a client notices."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from portico.core.model.shared import SharedMachine, encode, machine_key
from tests import etcd as harness
from tests import newer
from tests.cluster import SITE, Machine, Machines, needs_root
from tests.etcd import Etcd, Member
from tests.stack import PROGRAMS
from tests.waiting import eventually

pytestmark = [
    needs_root,
    pytest.mark.skipif(bool(harness.MISSING), reason=harness.WHY_SKIPPED),
]
APPS = f"""
[apps.web]
command = ["python3", "{PROGRAMS}/echo.py"]
instances = 1

[apps.jobs]
command = ["python3", "{PROGRAMS}/echo.py"]
instances = 1
on = ["m2"]

[sites."{SITE}"]
app = "web"
[sites."{SITE}".routes]
"/jobs" = "jobs"
"""
QUOTA, PIECE = 2 << 20, 96 << 10
"""Bytes that the database may have, and of what it is filled with."""
DISK = "132m"
"""Of a member: etcd allocates 64 MB for its log, and for its next one."""
STEADY = {"rate": 40.0, "connections": 8, "seconds": 120.0, "timeout": 8.0, "posts": 0.3}


class Shared:
    """Two machines and what they share."""

    def __init__(self, machines: Machines, store: Etcd) -> None:
        self.machines, self.store = machines, store
        self.number = 0

    @property
    def each(self) -> list[Machine]:
        return list(self.machines)

    def change(self, member: int = 0) -> None:
        """As another machine would: the labels of m2 are others."""
        self.number += 1
        two, labels = self.machines["m2"], (f"n{self.number}",)
        record = SharedMachine(address=two.address, serial=two.serial, labels=labels)
        key = self.machines.key(machine_key("m2"))

        def put() -> bool:
            with suppress(OSError):  # while its members agree on another leader
                self.store.put(key, encode(record).decode(), member)
                return True
            return False

        eventually(put)

    def troubles(self) -> set[str]:
        return {each.api("/v1/cluster")["trouble"] for each in self.each}

    def is_trouble(self, text: str) -> bool:
        """Whether each machine says why it does not follow the store."""
        return all(text in each for each in self.troubles())

    def is_current(self) -> bool:
        return all(self._labels(each) == [f"n{self.number}"] for each in self.each)

    @staticmethod
    def _labels(machine: Machine) -> list[str]:
        view = machine.api("/v1/cluster")
        [labels] = [each["labels"] for each in view["machines"] if each["name"] == "m2"]
        return labels if view["followed"] else []

    def is_full(self, number: int) -> bool:
        """Whether the database is, with one more value in it."""
        with suppress(OSError):
            self.store.put(f"/full/{number}", "x" * PIECE)
        with suppress(OSError):  # a member that has no time
            return "NOSPACE" in str(self.store.ask("maintenance/alarm", {"action": "GET"}))
        return False

    def has_ended(self, member: Member) -> bool:
        """Whether it has, with one more small value to write."""
        with suppress(OSError):  # the others agree on another leader
            self.store.put("/full/disk", "x" * 4096, member=1)
        return member.has_exited

    def pids(self) -> list[list[int]]:
        return [
            [each["pid"] for app in ("web", "jobs") for each in machine.instances(app)]
            for machine in self.each
        ]

    def is_refused(self, why: str = "cannot reach the store of the cluster") -> None:
        """A change of what is shared, at once and with a reason. The limit is for a busy machine:
        `test_etcd_deadlines` has the 3 s that are promised, in the time of the daemon's loop.
        """
        before = time.monotonic()
        refused = self.machines["m1"].portico("reload", "web")
        assert refused.returncode != 0
        assert why in refused.stderr
        assert time.monotonic() - before < 30

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Nothing is lost meanwhile, and afterwards each machine hears of the next change."""
        self.store.start()
        before = self.pids()
        with self.machines.load("m1", path="/jobs", **STEADY) as load:
            yield
            self.change()
            eventually(self.is_current)
            report = load.stop()
        assert (report.lost, report.answers) == (0, report.answers)
        assert self.pids() == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("etcd")
    quota = ("--quota-backend-bytes", str(QUOTA))
    with Machines("m1", "m2") as machines, machines.sharing(folder, 3, *quota) as store:
        machines.up(APPS, shared=True)
        found = Shared(machines, store)
        found.change()
        eventually(found.is_current)
        eventually(lambda: machines["m1"].hears_of("jobs"))
        eventually(lambda: machines["m1"].get(SITE, "/jobs").status == 200)
        yield found


def test_the_machines_and_the_members_of_etcd_are_checked(shared: Shared) -> None:
    shared.store.start()
    found = shared.machines["m1"].portico("cluster", "check")
    rows = [line for line in found.stdout.splitlines() if line.startswith("http")]
    assert [" of 2." in row for row in rows] == [True] * 3
    assert sorted(row.split()[-1] for row in rows) == ["healthy", "healthy", "leader"]
    assert (found.returncode, found.stdout.splitlines()[-1]) == (0, "nothing found")


def test_the_leader_is_killed(shared: Shared) -> None:
    with shared.undisturbed():
        leader = shared.store.leader()
        leader.kill()
        found = shared.machines["m2"].portico("cluster", "check")
        assert found.returncode == 2
        assert f"error: etcd at {leader.url}: Connect" in found.stdout
        shared.store.start()


def test_all_members_are_dead_and_a_daemon_starts_without_them(shared: Shared) -> None:
    one = shared.machines["m1"]
    with shared.undisturbed():
        shared.store.kill()
        eventually(lambda: shared.is_trouble("Connect"))
        shared.is_refused()
        one.kill_daemon()
        eventually(lambda: [each["name"] for each in one.status()["neighbours"]] == ["m2"])
        assert "the store of the cluster is not available" in one.done("cluster", "show").stderr
        address = shared.machines["m2"].address
        assert address in one.done("cluster", "keepalived", "10.0.0.100/24").stdout
        shared.store.start()


def test_a_machine_starts_with_nothing_running_while_all_members_are_dead(shared: Shared) -> None:
    one, _ = shared.each
    shared.store.start()
    with shared.machines.load("m2", **STEADY) as load:
        shared.store.kill()
        one.kill()
        one.begin()
        assert one.first_status(SITE, "/jobs") == one.first_status(SITE) == 200
        eventually(lambda: [each["name"] for each in one.status()["neighbours"]] == ["m2"])
        eventually(lambda: shared.is_trouble("Connect"))
        report = load.stop()
    assert (report.lost, report.answers) == (0, report.answers)
    shared.store.start()
    shared.change()
    eventually(shared.is_current)


def test_a_machine_is_cut_from_the_store_and_not_from_the_others(shared: Shared) -> None:
    one = shared.machines["m1"]
    with shared.undisturbed():
        shared.machines.part("m1", "store")
        shared.change()
        shared.store.ctl("compact", str(shared.store.revision()))
        eventually(lambda: any("cluster's store" in each for each in one.status()["troubles"]))
        assert not shared.is_current()
        shared.is_refused()
        shared.machines.rejoin("m1", "store")


def test_a_member_is_stopped_and_says_nothing_and_then_all_are(shared: Shared) -> None:
    members = shared.store.members
    with shared.undisturbed():
        try:
            members[0].signal(signal.SIGSTOP)
            shared.change(member=1)
            eventually(shared.is_current)
            for each in members:
                each.signal(signal.SIGSTOP)
            shared.is_refused()
        finally:
            for each in members:
                each.signal(signal.SIGCONT)
        shared.store.wait_until_healthy()


def test_the_store_is_wiped_and_filled_again_from_one_machine(shared: Shared) -> None:
    one = shared.machines["m1"]
    with shared.undisturbed():
        shared.store.kill()
        shared.store.wipe()
        eventually(lambda: shared.is_trouble("it was wiped"))
        assert "--yes" in one.done("cluster", "restore").stdout
        assert shared.is_trouble("it was wiped")
        shared.is_refused("it is not followed because")
        one.done("cluster", "restore", "--yes")
        eventually(lambda: shared.troubles() == {""})


def test_the_store_is_replaced_by_an_older_copy(shared: Shared, tmp_path: Path) -> None:
    with shared.undisturbed():
        shared.store.save(tmp_path / "copy")
        shared.change()
        eventually(shared.is_current)
        shared.store.kill()
        shared.store.restore(tmp_path / "copy")
        eventually(lambda: shared.is_trouble("restored from an older copy"))
        shared.is_refused("it is not followed because")
        for each in shared.each:
            said = each.done("cluster", "accept", "--yes").stdout
            assert "machines/m2: changed" in said
        eventually(lambda: shared.troubles() == {""})


def test_the_disk_of_a_member_is_full(shared: Shared) -> None:
    one, full = shared.machines["m1"], shared.store.members[0]
    with shared.undisturbed():
        full.kill()
        with full.on_small_disk(DISK):
            shared.store.start()
            ballast = full.folder / "ballast"
            fill(ballast)
            eventually(lambda: shared.has_ended(full))
            shared.change(member=1)
            eventually(shared.is_current)
            assert "portico cluster join" in one.done("cluster", "token").stdout
            found = one.portico("cluster", "check")
            assert found.returncode == 2
            assert f"error: etcd at {full.url}: Connect" in found.stdout
            ballast.unlink()
        shared.store.start()


def fill(file: Path) -> None:
    """Until the disk is full."""
    with file.open("wb", buffering=0) as opened, suppress(OSError):
        while opened.write(bytes(4096)):
            pass


def test_the_database_of_the_store_is_full(shared: Shared) -> None:
    with shared.undisturbed():
        numbers = itertools.count()
        eventually(lambda: shared.is_full(next(numbers)))
        reload = partial(shared.machines["m1"].portico, "reload", "web")
        eventually(lambda: "its database is full" in reload().stderr)
        found = shared.machines["m1"].portico("cluster", "check")
        assert found.returncode == 2
        assert f"error: etcd at {shared.store.urls[0]}: its database is full" in found.stdout
        shared.store.ctl("del", "--prefix", "/full/")
        shared.store.ctl("compact", str(shared.store.revision()))
        for number in range(len(shared.store.members)):
            shared.store.ctl("defrag", member=number)
        shared.store.ctl("alarm", "disarm")


def test_a_machine_with_an_older_portico_serves_and_refuses_what_it_does_not_understand(
    shared: Shared, tmp_path: Path
) -> None:
    one, two = shared.each
    later, model = newer.portico_in(tmp_path), tmp_path / "portico/core/model"
    newer.edit(model / "shared.py", "SCHEMA: Final = 1", "SCHEMA: Final = 2")
    newer.edit(model / "app.py", "    # what runs\n", "    later: bool = False\n")
    with shared.machines.load("m1", path="/jobs", **STEADY) as load:
        two.environ |= later
        two.done("upgrade")
        eventually(lambda: "Portico on m1 is older" in raised(one).stderr)
        change_over_both_versions(shared)
        before = dict(one.environ)
        one.end_daemon()
        one.environ |= later  # the next command begins the daemon
        eventually(lambda: "done: the store has schema 2" in raised(one).stdout)

        one.environ = before
        one.done("upgrade")
        eventually(lambda: "its schema is 2" in one.api("/v1/cluster")["trouble"])
        assert "upgrade Portico here" in one.portico("reload", "web").stderr
        eventually(lambda: not two.sees(2))
        assert "cluster's store: m1; nothing was changed" in two.portico("reload", "web").stderr
        assert "schema is 2" in one.done("status").stderr
        found = two.portico("cluster", "check")
        assert found.returncode == 2
        assert "error: m1 knows schema 1 of the store, and 2 is in use" in found.stdout
        report = load.stop()
    assert (report.lost, report.answers) == (0, report.answers)


def change_over_both_versions(shared: Shared) -> None:
    """The Portico of m2 is a later one: a file of m1, and one that only m2 understands."""
    one, two = shared.each
    file, before = one.folder / "portico.toml", shared.pids()
    file.write_text(APPS.replace("instances = 1", "instances = 1\nenv.SAY = 'for both'"))
    one.done("up")
    pids = shared.pids()
    assert not any({*old} & {*new} for old, new in zip(before, pids, strict=True))
    file.write_text(APPS.replace("instances = 1", "instances = 1\nlater = true"))
    refused = two.portico("up", str(file))
    assert refused.returncode != 0
    assert "m1: " in refused.stderr
    assert "apps.web.later: unknown key" in refused.stderr
    assert "nothing was changed on any machine" in refused.stderr
    assert shared.pids() == pids


def raised(machine: Machine) -> CompletedProcess[str]:
    return machine.portico("cluster", "upgrade")

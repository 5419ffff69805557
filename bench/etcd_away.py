"""What the loss of etcd costs: `python -m bench.etcd_away [SECONDS] [ROW…]`, default 30, and all
rows. ROW is a part of the names of those that are wanted, as `all members are dead`. In the rows
"with TLS" etcd is that of the quick start.

Two machines serve requests that cross; instances are killed meanwhile. Prints for each row what
was lost, how long a refusal took, and when both machines were current again: after the leader was
killed, or else after etcd was repaired. Root only.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from bench.quick_start_etcd import divided, quick_start_etcd
from tests.cluster import SITE, Machines
from tests.etcd import Etcd, Place
from tests.integration.test_shared_store import APPS, DISK, QUOTA, STEADY, Shared, fill
from tests.waiting import eventually

MAX_REFUSAL, MAX_LATENESS = 3.0, 35.0
BALLAST: Final = "ballast"
INSTANCES: Final = 2
CRASHES: Final = 3
REPAIR_TIME: Final = 120.0
"""Seconds that a row may take longer than etcd is away."""
UNREACHABLE: Final = "cannot reach the store of the cluster"
NOT_FOLLOWED: Final = "it is not followed because"
Row = dict[str, object]
Loss = Callable[[Shared], AbstractContextManager[str]]
"""While inside, etcd is lost; a reason with which a change is refused, empty if it is made."""


def main(seconds: float, wanted: Sequence[str]) -> int:
    kinds = ((_plain_etcd, LOSSES), (quick_start_etcd, TLS_LOSSES))
    rows = list[Row]()
    for etcd, losses in kinds:
        if found := {n: loss for n, loss in losses.items() if any(part in n for part in wanted)}:
            rows += _rows(etcd, found, seconds)
    print(json.dumps(rows, indent=2))
    return 0 if rows and all(map(_is_well, rows)) else 1


def _rows(
    etcd: Callable[[Machines, Path], AbstractContextManager[Etcd]],
    losses: Mapping[str, Loss],
    seconds: float,
) -> list[Row]:
    apps = APPS.replace("instances = 1", f"instances = {INSTANCES}")
    with (
        tempfile.TemporaryDirectory() as folder,
        Machines("m1", "m2") as machines,
        etcd(machines, Path(folder) / "etcd") as store,
    ):
        machines.up(apps, shared=True)
        shared = Shared(machines, store)
        eventually(lambda: machines["m1"].get(SITE, "/jobs").status == 200)
        return [_row(shared, name, loss, seconds) for name, loss in losses.items()]


def _plain_etcd(machines: Machines, folder: Path) -> AbstractContextManager[Etcd]:
    """Its members are in one network."""
    return machines.sharing(folder, 3, "--quota-backend-bytes", str(QUOTA))


def _is_well(row: Row) -> bool:
    is_in_time = row["refusal, s"] <= MAX_REFUSAL and row["current after, s"] <= MAX_LATENESS
    return not row["failed"] and is_in_time


def _row(shared: Shared, name: str, loss: Loss, seconds: float) -> Row:
    shared.change()
    eventually(shared.is_current)
    work = STEADY | {"seconds": seconds + REPAIR_TIME}
    with shared.machines.load("m1", path="/jobs", **work) as load:
        with loss(shared) as why:
            end = time.monotonic() + seconds
            refusal = _seconds(partial(shared.is_refused, why)) if why else 0.0
            lateness = 0.0 if why else _lateness(shared)
            for _ in range(CRASHES):
                _crash_one(shared)
                time.sleep(seconds / CRASHES / 2)
            time.sleep(max(0.0, end - time.monotonic()))
        lateness = max(lateness, _lateness(shared))
        report = load.stop()
    row: Row = {
        "etcd": name,
        "for, s": seconds,
        "refusal, s": refusal,
        "current after, s": lateness,
        "requests": report.requests,
        "failed": report.failed,
        "load of the machine": round(os.getloadavg()[0]),
    }
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def _lateness(shared: Shared) -> float:
    """Seconds from now until both machines follow the store and have heard of a change."""

    def heard() -> None:
        eventually(lambda: shared.troubles() == {""})
        eventually(partial(_is_changed, shared))
        eventually(shared.is_current)

    return _seconds(heard)


def _is_changed(shared: Shared) -> bool:
    for number in range(len(shared.store.members)):
        with suppress(OSError):
            shared.change(number)
            return True
    return False


def _seconds(work: Callable[[], None]) -> float:
    before = time.monotonic()
    work()
    return round(time.monotonic() - before, 1)


def _crash_one(shared: Shared) -> None:
    """An instance of the app that requests do not cross for, and wait until another one is ready:
    of what was under way on it something may be lost.
    """
    machine = shared.machines["m1"]
    [one, *_] = machine.instances("web")
    os.kill(one["pid"], signal.SIGKILL)
    eventually(
        lambda: (
            [each["state"] for each in machine.instances("web")] == ["ready"] * INSTANCES
            and one["pid"] not in {each["pid"] for each in machine.instances("web")}
        )
    )


@contextmanager
def _leader_dead(shared: Shared) -> Iterator[str]:
    shared.store.leader().kill()
    yield ""
    shared.store.start()


@contextmanager
def _dead(shared: Shared) -> Iterator[str]:
    shared.store.kill()
    yield UNREACHABLE
    shared.store.start()


@contextmanager
def _cut_off(shared: Shared) -> Iterator[str]:
    shared.machines.part("m1", "store")
    yield UNREACHABLE
    shared.machines.rejoin("m1", "store")


@contextmanager
def _cut_off_with_tls(shared: Shared) -> Iterator[str]:
    one = shared.machines["m1"]
    with divided([Place(one.network, one.address, one.address)], _places(shared)):
        yield UNREACHABLE


@contextmanager
def _leader_cut_off(shared: Shared) -> Iterator[str]:
    """The machines reach it, and the others agree on another leader."""
    leader = shared.store.leader().place
    with divided([leader], [each for each in _places(shared) if each != leader]):
        yield ""
    shared.store.wait_until_healthy()


@contextmanager
def _members_cut_off(shared: Shared) -> Iterator[str]:
    """The machines reach all of them, and no two agree."""
    one, two, three = _places(shared)
    with divided([one], [two, three]), divided([two], [three]):
        yield UNREACHABLE
    shared.store.wait_until_healthy()


def _places(shared: Shared) -> list[Place]:
    return [each.place for each in shared.store.members]


@contextmanager
def _compacted(shared: Shared) -> Iterator[str]:
    with _cut_off(shared):
        yield UNREACHABLE
        shared.change()
        shared.store.ctl("compact", str(shared.store.revision()))


@contextmanager
def _stopped(shared: Shared) -> Iterator[str]:
    for each in shared.store.members:
        each.signal(signal.SIGSTOP)
    yield UNREACHABLE
    for each in shared.store.members:
        each.signal(signal.SIGCONT)
    shared.store.wait_until_healthy()


@contextmanager
def _wiped(shared: Shared) -> Iterator[str]:
    shared.store.kill()
    shared.store.wipe()
    eventually(lambda: shared.is_trouble("it was wiped"))
    yield NOT_FOLLOWED
    shared.machines["m1"].done("cluster", "restore", "--yes")


@contextmanager
def _older(shared: Shared) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shared.store.save(copy)
        shared.change()
        eventually(shared.is_current)
        shared.store.kill()
        shared.store.restore(copy)
    eventually(lambda: shared.is_trouble("restored from an older copy"))
    yield NOT_FOLLOWED
    for each in shared.each:
        each.done("cluster", "accept", "--yes")


@contextmanager
def _disks_full(shared: Shared) -> Iterator[str]:
    """Those of two members, which exit. Their data moves to a larger disk."""
    full = shared.store.members[:2]
    shared.store.kill()
    with ExitStack() as stack:
        for each in full:
            stack.enter_context(each.on_small_disk(DISK))
        shared.store.start()
        for each in full:
            fill(each.folder / BALLAST)
            eventually(partial(shared.has_ended, each))
        yield UNREACHABLE
        for each in full:
            (each.folder / BALLAST).unlink()
    shared.store.start()


@contextmanager
def _full(shared: Shared) -> Iterator[str]:
    numbers = itertools.count()
    eventually(lambda: shared.is_full(next(numbers)))
    yield "its database is full"
    shared.store.ctl("del", "--prefix", "/full/")
    shared.store.ctl("compact", str(shared.store.revision()))
    for number in range(len(shared.store.members)):
        shared.store.ctl("defrag", member=number)
    shared.store.ctl("alarm", "disarm")


LOSSES: Final[dict[str, Loss]] = {
    "its leader is dead": _leader_dead,
    "all members are dead": _dead,
    "one machine is cut off from it": _cut_off,
    "the same, and it was compacted": _compacted,
    "all members are stopped": _stopped,
    "it was wiped": _wiped,
    "it was restored from an older copy": _older,
    "its database is full": _full,
    "the disks of two members are full": _disks_full,
}
TLS_LOSSES: Final[dict[str, Loss]] = {
    "its leader is dead, with TLS": _leader_dead,
    "all members are dead, with TLS": _dead,
    "one machine is cut off from it, with TLS": _cut_off_with_tls,
    "all members are stopped, with TLS": _stopped,
    "its leader is cut off from the other members, with TLS": _leader_cut_off,
    "all members are cut off from each other, with TLS": _members_cut_off,
}


if __name__ == "__main__":
    words = sys.argv[1:]
    length = float(words.pop(0)) if words and words[0].replace(".", "", 1).isdecimal() else 30.0
    sys.exit(main(length, words or [""]))

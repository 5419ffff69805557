"""What the store costs with fifty machines: `python -m bench.shared_store [MACHINES] [plain]`.

Each machine is what follows the store in a daemon and keeps its session there. Three members of
etcd, with TLS as in the quick start of docs/cluster.md unless `plain` is given, hold 300 keys of
1 KB; five are changed each second, more than a rollout over all machines does. Root only; prints
JSON, and fails where a budget is exceeded.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import psutil

from bench.quick_start_etcd import quick_start_etcd
from portico.adapters.store.etcd.store import EtcdStore
from portico.core.model.shared import PRESENCES, ClusterRecord, Presence, encode
from portico.core.model.snapshot import Put, StoreAddress
from portico.core.planning.mirroring import prefix_of
from portico.daemon.lazy_parts import store_address
from portico.engine.cluster.session import Session, SessionOwner
from portico.engine.cluster.store_follower import KeyChanges, StoreFollower
from portico.engine.troubles import Troubles
from portico.system.clock import SystemClock
from portico.system.home import Home
from tests.cluster import Machines
from tests.etcd import Etcd
from tests.fakes.state import MemoryState

CLUSTER: Final = "bench"
PREFIX: Final = prefix_of(CLUSTER)
KEYS, SIZE = 300, 1024
START_INTERVAL = 0.2
SETTLING_TIMEOUT, SETTLING, LATEST = 120, 10.0, 5.0
REST, CHANGES, CHANGES_S = 15.0, 100, 5.0
MAX_BYTES_S, MAX_CORES, MAX_LAST_MS = 4096, 0.25, 250.0


class SimulatedMachine:
    def __init__(self, name: str, address: StoreAddress) -> None:
        clock, troubles = SystemClock(), Troubles()
        self.store = EtcdStore(address, clock)
        self.follower = StoreFollower(
            CLUSTER, store=self.store, state=MemoryState(), troubles=troubles, clock=clock
        )
        presence = encode(Presence(version="1"))
        owner = SessionOwner(name, lambda: presence, lambda: True)
        self.session = Session(owner, self.follower, troubles, clock)
        self.follower.subscribe("bench", self._note)
        self.heard: list[float] = []
        """When it had heard of each change, in their order."""

    def _note(self, changes: KeyChanges) -> None:
        if item := changes.get("changed"):  # of two changes at once only the later one is heard
            missed = int(item.value) + 1 - len(self.heard)
            self.heard += [time.monotonic()] * missed

    async def live(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in (self.follower, self.session):
                group.create_task(self._repeat(part))

    @staticmethod
    async def _repeat(part: StoreFollower | Session) -> None:
        while True:
            await part.look()
            await part.pause()


def main(machines: int, *, plain: bool) -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        Machines("m1") as network,
        _etcd(network, Path(folder), plain=plain) as store,
        network.client.entered(),
    ):
        address = store_address(Home(network["m1"].home))
        assert address
        result = asyncio.run(_measure(store, address, machines))
    print(json.dumps(result, indent=2))
    within = (
        result["bytes/s a machine, at rest"] <= MAX_BYTES_S
        and result["bytes/s a machine, under changes"] <= MAX_BYTES_S
        and result["etcd, cores"] <= MAX_CORES
        and result["last machine hears, p99 ms"] <= MAX_LAST_MS
    )
    return 0 if within else 1


def _etcd(network: Machines, folder: Path, *, plain: bool) -> AbstractContextManager[Etcd]:
    return network.sharing(folder, 3) if plain else quick_start_etcd(network, folder)


async def _measure(store: Etcd, address: StoreAddress, count: int) -> dict[str, float]:
    writer = EtcdStore(address, SystemClock())
    await writer.transaction([], [Put(f"{PREFIX}cluster", encode(ClusterRecord(least=1)))])
    for number in range(KEYS):
        await writer.transaction([], [Put(f"{PREFIX}key/{number}", b"x" * SIZE)])
    machines = [SimulatedMachine(f"m{number}", address) for number in range(count)]
    tasks = list[asyncio.Task[None]]()
    for each in machines:  # not all at once: one process does the handshakes of all
        tasks.append(asyncio.create_task(each.live()))
        await asyncio.sleep(START_INTERVAL)
    for _ in range(SETTLING_TIMEOUT):
        if is_settled := all(len(each.follower.items_of(PRESENCES)) == count for each in machines):
            break
        await asyncio.sleep(1.0)
    assert is_settled
    await asyncio.sleep(SETTLING)
    at_rest, _ = await _used(store, asyncio.sleep(REST))
    latest: list[float] = []
    changing, cores = await _used(store, _change(writer, machines, latest))
    for task in tasks:
        task.cancel()
    latest.sort()
    return {
        "machines": count,
        "bytes/s a machine, at rest": round(at_rest / count),
        "bytes/s a machine, under changes": round(changing / count),
        "etcd, cores": round(cores, 3),
        "last machine hears, p50 ms": round(statistics.median(latest), 1),
        "last machine hears, p99 ms": round(latest[int(len(latest) * 0.99) - 1], 1),
        "p99 wanted on a quiet machine, ms": MAX_LAST_MS,
    }


async def _change(
    writer: EtcdStore, machines: list[SimulatedMachine], latest: list[float]
) -> None:
    begins: list[float] = []
    for number in range(CHANGES):
        begins.append(begun := time.monotonic())
        await writer.transaction([], [Put(f"{PREFIX}changed", str(number).encode())])
        await asyncio.sleep(max(0.0, 1 / CHANGES_S - (time.monotonic() - begun)))
    await asyncio.sleep(LATEST)
    for number, begun in enumerate(begins):
        latest.append(1000 * (max(each.heard[number] for each in machines) - begun))


async def _used(store: Etcd, work: Awaitable[None]) -> tuple[float, float]:
    """Bytes a second to and from the store, and cores of its members, while `work` goes on."""
    pids = [psutil.Process(each.pid) for each in store.members]
    begun = time.monotonic(), _bytes(), sum(sum(each.cpu_times()[:2]) for each in pids)
    await work
    seconds = time.monotonic() - begun[0]
    cpu = sum(sum(each.cpu_times()[:2]) for each in pids) - begun[2]
    return (_bytes() - begun[1]) / seconds, cpu / seconds


def _bytes() -> int:
    [line] = [
        each
        for each in Path("/proc/thread-self/net/dev").read_text().splitlines()
        if "eth0:" in each
    ]
    fields = line.split(":")[1].split()
    return int(fields[0]) + int(fields[8])


if __name__ == "__main__":
    counts = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    sys.exit(main(*(counts or [50]), plain="plain" in sys.argv))

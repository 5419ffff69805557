"""What the store costs with fifty machines: `python -m bench.shared_store [MACHINES]`.

Each machine is what follows the store in a daemon and keeps its session there. Three members of
etcd, on a network of their own, hold 300 keys of 1 KB; five are changed each second, more than a
rollout over all machines does. Root only; prints JSON, and fails where a budget is exceeded.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import psutil

from portico.adapters.store.etcd.store import EtcdStore
from portico.core.model.shared import PRESENCES, ClusterRecord, Presence, encoded
from portico.core.model.snapshot import Put, StoreAddress
from portico.core.planning.mirroring import prefix_of
from portico.engine.cluster.session import Session, SessionOwner
from portico.engine.cluster.store_follower import KeyChanges, StoreFollower
from portico.engine.troubles import Troubles
from portico.system.clock import SystemClock
from tests.etcd import Etcd, Place, etcd
from tests.fakes.state import MemoryState
from tests.network import Network

CLUSTER: Final = "bench"
PREFIX: Final = prefix_of(CLUSTER)
KEYS, SIZE = 300, 1024
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
        presence = encoded(Presence(version="1"))
        owner = SessionOwner(name, lambda: presence, lambda: True)
        self.session = Session(owner, self.follower, troubles, clock)
        self.follower.subscribe("bench", self._note)
        self.heard: dict[bytes, float] = {}

    def _note(self, changes: KeyChanges) -> None:
        if item := changes.get("changed"):
            self.heard[item.value] = time.monotonic()

    async def live(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in (self.follower, self.session):
                group.create_task(self._repeat(part))

    @staticmethod
    async def _repeat(part: StoreFollower | Session) -> None:
        while True:
            await part.look()
            await part.pause()


def main(machines: int) -> int:
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        ours, theirs = (stack.enter_context(closing(Network())) for _ in range(2))
        theirs.ip(f"link add eth0 type veth peer name eth0 netns {ours.path}")
        for network, address in ((ours, "10.0.0.1"), (theirs, "10.0.0.2")):
            network.ip(f"addr add {address}/24 dev eth0", "link set eth0 up")
        stack.enter_context(ours.entered())
        place = Place(theirs, "10.0.0.2", "127.0.0.1")
        store = stack.enter_context(etcd(Path(folder), 3, places=[place] * 3))
        result = asyncio.run(_measure(store, machines))
    print(json.dumps(result, indent=2))
    within = (
        result["bytes/s a machine, at rest"] <= MAX_BYTES_S
        and result["bytes/s a machine, under changes"] <= MAX_BYTES_S
        and result["etcd, cores"] <= MAX_CORES
        and result["last machine hears, p99 ms"] <= MAX_LAST_MS
    )
    return 0 if within else 1


async def _measure(store: Etcd, count: int) -> dict[str, float]:
    address = StoreAddress(store.urls)
    writer = EtcdStore(address, SystemClock())
    await writer.transaction([], [Put(f"{PREFIX}cluster", encoded(ClusterRecord(least=1)))])
    for number in range(KEYS):
        await writer.transaction([], [Put(f"{PREFIX}key/{number}", b"x" * SIZE)])
    machines = [SimulatedMachine(f"m{number}", address) for number in range(count)]
    tasks = [asyncio.create_task(each.live()) for each in machines]
    for _ in range(SETTLING_TIMEOUT):
        if is_settled := all(len(each.follower.items_of(PRESENCES)) == count for each in machines):
            break
        await asyncio.sleep(1.0)
    assert is_settled
    await asyncio.sleep(SETTLING)
    at_rest, _ = await _used(store, asyncio.sleep(REST))
    latest: list[float] = []
    changing, cores = await _used(store, _change(writer, machines, latest))
    for each in tasks:
        each.cancel()
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
    begins: dict[bytes, float] = {}
    for number in range(CHANGES):
        value, begun = str(number).encode(), time.monotonic()
        await writer.transaction([], [Put(f"{PREFIX}changed", value)])
        await asyncio.sleep(max(0.0, 1 / CHANGES_S - (time.monotonic() - begun)))
        begins[value] = begun
    await asyncio.sleep(LATEST)
    for value, begun in begins.items():
        latest.append(1000 * (max(each.heard[value] for each in machines) - begun))


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
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))

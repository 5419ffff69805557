"""How often logs are looked at, and who is named for a disk that is full."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App
from portico.core.model.desired import Desired, Spec
from portico.core.model.instance import LogFiles
from portico.core.planning.flood import (
    MAX_INTERVAL,
    MIN_INTERVAL,
    Growth,
    check_interval,
    flood_warning,
    is_calm,
    largest_writer,
    share_of,
)
from portico.engine.housekeeping import Housekeeping
from portico.engine.troubles import Troubles
from tests.fakes.clock import FakeClock
from tests.unit.worlds import one

MB = 1 << 20
SPEC = Spec("v1", "web", App(command="run", logs={"max_size": "10MB", "keep": 5}), "/srv", {})
PATH = "/logs/apps/web.1.out.log"
FULL = "disk full at /logs/apps: writes there fail"


def growth(written: float, seconds: float = 1.0) -> Growth:
    return Growth(PATH, "web.1.1", int(written), seconds, 10 * MB, 5)


@pytest.mark.parametrize(
    ("rates", "seconds"),
    [
        ([], MAX_INTERVAL),
        ([0], MAX_INTERVAL),
        ([MB], MAX_INTERVAL),
        ([MB, 10 * MB], 1.0),
        ([1000 * MB], MIN_INTERVAL),
    ],
)
def test_the_log_that_grows_fastest_decides_when_all_are_looked_at_again(rates, seconds):
    assert check_interval([growth(rate) for rate in rates]) == seconds


def test_one_that_outruns_every_look_is_named():
    assert flood_warning(growth(100 * MB)) == ""
    assert f"web.1.1 writes to {PATH} faster than it can be rotated" in flood_warning(
        growth(130 * MB)
    )


def test_nobody_is_named_for_a_disk_that_others_have_filled():
    assert largest_writer([]) == largest_writer([growth(1000)]) == ""
    assert largest_writer([growth(1000), growth(5 * MB)]) == f"web.1.1 writes most, to {PATH}"


class Machine:
    """The logs and disks of one, as the test says they are."""

    def __init__(self) -> None:
        self.size, self.is_full, self.rotated = 0, False, list[str]()
        self.listed = 0
        self.said: str | None = None
        self.clock, self.troubles = FakeClock(), Troubles()
        first = one()
        self.instances = {first.id: first}
        self.specs = {"v1": SPEC}
        intent = self.intent = SimpleNamespace(
            versions=SimpleNamespace(spec=self.specs.__getitem__),
            app_of=lambda _: SPEC.app,
            desired=SimpleNamespace(
                edge=SimpleNamespace(log_max_size=1, log_total_size=10 << 30, log_keep=1)
            ),
            wanted=lambda: (Desired(), ""),
        )
        engine = SimpleNamespace(
            clock=self.clock,
            intent=intent,
            observed=SimpleNamespace(instances=self.instances),
            troubles=self.troubles,
        )
        self.upkeep = Housekeeping(
            engine,
            SimpleNamespace(look=self._nothing),
            disks=self,
            logs=self,
            nginx=SimpleNamespace(rotate=self._rotate_nginx, check_caches=self._check_caches),
            unreadable=self._unreadable,
        )

    def files(self, spec: Spec, slot: int) -> LogFiles:
        self.listed += 1
        return LogFiles.of(spec, slot, "/logs")

    async def sizes(self, paths: Sequence[str]) -> Mapping[str, int]:
        return dict.fromkeys(paths, 0) | {PATH: self.size}

    async def rotate(
        self, spec: Spec, path: str, max_size: int, keep: int, *, compresses: bool
    ) -> str | None:
        self.rotated.append(path)
        self.size = 0
        return self.said

    async def full_disks(self, folders: Iterable[str]) -> Mapping[str, str]:
        return dict.fromkeys(folders, FULL) if self.is_full else {}

    async def _nothing(self):
        pass

    async def _check_caches(self) -> None:
        pass

    async def _rotate_nginx(self, max_size: int, keep: int) -> Mapping[str, str | None]:
        return {}

    async def _unreadable(self, desired: Desired) -> list[str]:
        return []

    def look(self, size: int, after: float = 1.0) -> None:
        async def looked() -> None:
            await self.clock.advance(after)
            self.size = size
            await self.upkeep.look()

        asyncio.run(looked())

    def pauses(self) -> float:
        async def paused() -> float:
            begun, pausing = self.clock.monotonic(), asyncio.ensure_future(self.upkeep.pause())
            while not pausing.done():
                await self.clock.advance(0.25)
            return self.clock.monotonic() - begun

        return asyncio.run(paused())


def test_a_log_that_grows_fast_is_looked_at_more_often_until_it_is_calm_again():
    machine = Machine()
    machine.look(0)
    assert machine.pauses() == MAX_INTERVAL
    machine.look(400 * MB)
    assert machine.rotated == [PATH]
    assert machine.pauses() == MIN_INTERVAL
    machine.look(0)
    assert machine.pauses() == MAX_INTERVAL


def test_what_was_written_after_a_rotation_counts_from_the_beginning():
    machine = Machine()
    machine.look(0)
    machine.look(40 * MB)
    machine.look(10 * MB)
    assert machine.pauses() == 1.0


def test_who_was_seen_to_fill_a_disk_is_named_for_as_long_as_it_is_full():
    machine = Machine()
    machine.look(0)
    machine.is_full = True
    machine.look(5 * MB)
    named = f"{FULL}; web.1.1 writes most, to {PATH}"
    assert machine.troubles.sentences() == [named]
    machine.look(5 * MB)
    assert machine.troubles.sentences() == [named]
    machine.is_full = False
    machine.look(5 * MB)
    assert machine.troubles.sentences() == []


def test_a_log_that_was_emptied_without_a_copy_is_said_until_the_next_look():
    machine = Machine()
    machine.said = "No space left on device; it was truncated without a complete copy"
    machine.look(11 * MB)
    assert machine.troubles.sentences() == [f"cannot rotate {PATH}: {machine.said}"]
    machine.look(0)
    assert machine.troubles.sentences() == []


def test_others_have_their_turn_in_a_look_at_the_logs_of_many_instances():
    """What ends in such a turn takes its version with it."""
    machine = Machine()
    machine.specs["v2"] = SPEC
    many = [one(slot=n + 1, version="v1" if n < 900 else "v2") for n in range(1000)]
    machine.instances.update({i.id: i for i in many})

    async def scenario() -> None:
        looking = asyncio.create_task(machine.upkeep.look())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not looking.done()
        for i in many[900:]:
            del machine.instances[i.id]
        del machine.specs["v2"]
        await looking

    asyncio.run(scenario())
    assert machine.troubles.sentences() == []


def test_logs_are_listed_again_only_for_other_instances_or_another_file():
    machine = Machine()
    for _ in range(3):
        machine.look(0)
    assert machine.listed == 1
    more = one(slot=2)
    machine.instances[more.id] = more
    for _ in range(3):
        machine.look(0)
    assert machine.listed == 3
    machine.intent.desired = SimpleNamespace(**vars(machine.intent.desired))
    machine.look(0)
    assert machine.listed == 5


def test_files_of_many_instances_share_what_their_app_may_take():
    def share(files, keep=5):
        return share_of(1200 * MB, files, max_size=10 * MB, keep=keep)

    assert share(2) == (10 * MB, 5)
    assert share(20) == (10 * MB, 5)
    assert share(30) == (10 * MB, 3)
    assert share(120) == (5 * MB, 1)
    assert share(120, keep=0) == (5 * MB, 0)
    assert share(10**9) == (4096, 1)


@given(
    st.integers(65536, 1 << 40),
    st.integers(1, 5000),
    st.integers(4096, 1 << 30),
    st.integers(0, 99),
)
def test_shares_never_take_more_than_there_is_nor_than_is_granted(total, files, max_size, keep):
    size, kept = share_of(total, files, max_size=max_size, keep=keep)
    assert size <= max_size
    assert kept <= keep
    assert size * (kept + 1) * files <= total or size == 4096


def test_a_log_that_is_full_within_seconds_is_not_compressed():
    assert is_calm(growth(2 * MB))
    assert not is_calm(growth(50 * MB))

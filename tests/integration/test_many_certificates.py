"""Ten thousand certificates: what a look at them costs, and what the daemon notices of it."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from dataclasses import dataclass

import psutil
import pytest

from portico.core.model.certificate import Entry
from tests.fakes.certificates_kept import DIRECTORY, Keeping

MANY = 10_000


@pytest.fixture(scope="module")
def keeping(tmp_path_factory):
    """All obtained within the week, so that the ledger is as long as it gets."""
    names = [f"www.shop{number}.com" for number in range(MANY)]
    keeping = Keeping(tmp_path_factory.mktemp("many"), names)
    keeping.hold_all(age_days=5)
    now = keeping.clock.now()
    with keeping.state.transaction():
        for number, name in enumerate(keeping.names):
            order = Entry(now - 5 * 86400 + number, DIRECTORY, "order", (name,), f"{name}.1")
            signed = Entry(order.at, DIRECTORY, "certificate", (name,), f"{name}.1")
            keeping.state.add_ledger([order, signed])
    return keeping


@dataclass
class Look:
    seconds: float
    """Of the processor."""
    longest: float
    """For how much work, in seconds, others had to wait until their turn came."""
    memory: int
    objects: int
    """What is held after it: bytes, and blocks of Python."""


async def gaps(found):
    while True:
        before = time.process_time()
        await asyncio.sleep(0.001)
        found.append(time.process_time() - before)


@pytest.fixture(scope="module")
def looks(keeping):
    found: list[Look] = []

    async def look_again(keeper):
        for _ in range(6):
            waited = []
            ticking = asyncio.create_task(gaps(waited))
            began = time.process_time()
            await keeper.look()
            seconds, longest = time.process_time() - began, max(waited)
            ticking.cancel()
            waited.clear()
            gc.collect()
            held = psutil.Process().memory_info().rss, sys.getallocatedblocks()
            found.append(Look(seconds, longest, *held))

    keeping.do(look_again)
    return found[1:]  # the first one reads what later ones know


def test_a_look_at_all_takes_about_a_second_and_others_have_their_turn_meanwhile(keeping, looks):
    took, longest = [each.seconds for each in looks], [each.longest for each in looks]
    print(
        f"a look took {min(took):.2f} to {max(took):.2f} s of CPU, and held up nobody for more "
        f"than {1000 * min(longest):.0f} to {1000 * max(longest):.0f} ms"
    )
    assert keeping.authority.orders == []
    assert min(took) < 1.5  # below 1 on quiet cores, up to 0.95 where others share their caches
    assert min(longest) < 0.25


def test_looking_again_and_again_takes_no_more_memory(looks):
    before, after = looks[1], looks[-1]
    more, objects = after.memory - before.memory, after.objects - before.objects
    print(f"{more} bytes and {objects} objects more after 3 looks")
    assert more < 4 << 20
    assert objects < MANY  # one object for each certificate and look is three times as many

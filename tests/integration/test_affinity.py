"""A client or key that a hash has placed stays where it is, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

ECHO = f"python3 {PROGRAMS / 'echo.py'}"
ALL = {0, 1, 2, 3}
KEYS = [f"user-{n}" for n in range(40)]
BALANCE = {
    "keyed": "hash $arg_key",
    "ring": "hash $arg_key consistent",
    "addressed": "ip_hash",
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as stack:
        stack.up("".join(_app(name, balance) for name, balance in BALANCE.items()), workers=2)
        yield stack


def _app(name: str, balance: str) -> str:
    return (
        f"[apps.{name}]\ncommand = '{ECHO}'\nhealth = '/healthz'\ninstances = 4\n"
        f"balance = '{balance}'\nenv.UNHEALTHY_1 = '{name}-unhealthy'\n"
        f"[sites.'{name}.localhost']\napp = '{name}'\nreal_ip = {{trust = ['127.0.0.1']}}\n"
    )


def places(stack: Stack, name: str, instances: set[int]) -> dict[str, int]:
    """Where each key, or each client of a /24 network, goes when nginx knows these instances."""

    def settled() -> dict[str, set[int]]:
        found = _asked(stack, name)
        return found if _union(found) == instances and _is_decided(found) else {}

    return {key: next(iter(places)) for key, places in eventually(settled, every=0.5).items()}


def _asked(stack: Stack, name: str, what: str = "instance") -> dict[str, set[int]]:
    """Ask twice for every key, mostly by both workers."""
    found: dict[str, set[int]] = {}
    with ExitStack() as exits:
        clients = [exits.enter_context(stack.client(f"{name}.localhost")) for _ in range(8)]
        for number, key in enumerate(KEYS * 2):
            network = KEYS.index(key)
            host = 10 + number // len(KEYS)  # another host of the same network each time round
            client = clients[(number + number // len(KEYS)) % 8]
            answer = client.ask("GET", f"/?key={key}", X_Forwarded_For=f"192.0.{network}.{host}")
            assert answer.status == 200
            found.setdefault(key, set()).add(answer.json[what])
    return found


def _union(found: dict[str, set[int]]) -> set[int]:
    return set.union(*found.values())


def _is_decided(found: dict[str, set[int]]) -> bool:
    """False also while a change reaches one worker before the other."""
    return all(len(instances) == 1 for instances in found.values())


def without(placed: dict[str, int], keys: set[str]) -> dict[str, int]:
    return {key: place for key, place in placed.items() if key not in keys}


@pytest.fixture(params=BALANCE)
def name(request) -> str:
    return request.param


def test_a_key_goes_to_one_instance_and_the_keys_to_all(stack, name):
    placed = places(stack, name, ALL)
    for _ in range(2):
        found = _asked(stack, name)
        assert {key: {place} for key, place in placed.items()} == found


def test_a_crash_moves_only_the_keys_of_the_instance_until_it_is_back(stack, name):
    before = places(stack, name, ALL)
    its_keys = {key for key, place in before.items() if place == 1}
    unhealthy = stack.folder / f"{name}-unhealthy"
    unhealthy.touch()  # it stays away until we have looked
    psutil.Process(stack.instances(name)[1]["pid"]).kill()

    during = places(stack, name, {0, 2, 3})
    unhealthy.unlink()
    assert without(during, its_keys) == without(before, its_keys)
    assert places(stack, name, ALL) == before


def test_new_instances_in_the_old_slots_keep_every_key_and_answer_alone_after_the_command(
    stack, name
):
    before, old = places(stack, name, ALL), stack.instances(name)
    stack.done("reload", name)
    answered = _union(_asked(stack, name, "pid"))
    new = stack.instances(name)
    assert answered == {i["pid"] for i in new}
    assert {i["pid"] for i in old}.isdisjoint(i["pid"] for i in new)
    assert {i["port"] for i in old}.isdisjoint(i["port"] for i in new)
    assert places(stack, name, ALL) == before


def test_a_slot_that_leaves_takes_only_its_own_keys_with_it(stack, name):
    before = places(stack, name, ALL)
    its_keys = {key for key, place in before.items() if place == 3}
    stack.done("scale", name, "3")
    assert without(places(stack, name, {0, 1, 2}), its_keys) == without(before, its_keys)
    stack.done("scale", name, "4")
    assert places(stack, name, ALL) == before

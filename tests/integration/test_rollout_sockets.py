"""WebSockets while instances are replaced: who is not concerned does not notice."""

from __future__ import annotations

import asyncio
import json
import time

import psutil
import pytest

from tests.instances import until
from tests.sockets import Held, ended, held
from tests.stack import PROGRAMS, Stack

SITE = "app.localhost"


def four(stack: Stack, **keys: object) -> Stack:
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    stack.up(
        f"[apps.web]\ncommand = 'python3 {PROGRAMS / 'websocket.py'}'\ninstances = 4\n{lines}"
        f"[sites.'{SITE}']\napp = 'web'\n",
        workers=2,
    )
    return stack


def nginx(stack: Stack) -> tuple[object, ...]:
    seen = stack.status()["nginx"]
    workers = sorted(worker.pid for worker in psutil.Process(seen["pid"]).children())
    return seen["pid"], seen["generation"], tuple(workers)


async def command(stack: Stack, *words: str) -> None:
    await asyncio.to_thread(stack.done, *words)


def test_sockets_of_other_instances_do_not_notice_that_one_is_replaced(stack):
    """And those of the one are closed as its program closes them, after drain_timeout."""
    four(stack, drain_timeout=3)
    replaced = stack.instances("web")[1]["pid"]
    before = nginx(stack)

    async def story() -> tuple[float, list[Held]]:
        async with held(stack, SITE, 16) as sockets:
            begun = time.monotonic()
            await command(stack, "reload", "web.2")
            await ended([each for each in sockets if each.pid == replaced], 60)
            said = {each: each.messages for each in sockets}
            await until(lambda: all(_goes_on(each, said[each]) for each in sockets))
            return begun, sockets

    begun, sockets = asyncio.run(story())
    closed = [each for each in sockets if each.ended_at is not None]
    assert {each.pid for each in closed} == {replaced}
    assert len(closed) == 4
    assert {each.code for each in closed} == {1001}
    assert min(each.ended_at - begun for each in closed) > 2
    assert nginx(stack) == before


def _goes_on(socket: Held, said: int) -> bool:
    return socket.ended_at is not None or socket.messages > said


def test_a_rollout_of_all_at_once_does_not_close_all_sockets_at_once(stack):
    four(stack, drain_timeout=12, batch=4)
    slots = {i["pid"]: i["slot"] for i in stack.instances("web")}
    before = nginx(stack)

    async def story() -> list[Held]:
        async with held(stack, SITE, 8) as sockets:
            await asyncio.gather(command(stack, "reload", "web"), ended(sockets, 60))
            return sockets

    sockets = asyncio.run(story())
    assert {each.code for each in sockets} == {1001}
    last = {slots[each.pid]: each.ended_at for each in sockets}
    assert len(last) == 4
    # In which order depends on when each successor was ready, which a busy machine decides.
    assert max(last.values()) - min(last.values()) > 1
    assert nginx(stack) == before


@pytest.mark.parametrize("word", ["reload", "restart"])
def test_nobody_waits_for_a_socket_longer_than_the_file_allows(stack, word):
    four(stack, drain_timeout=1)

    async def story() -> list[Held]:
        async with held(stack, SITE, 4) as sockets:
            await command(stack, word, "web")
            await ended(sockets, 60)
            return sockets

    assert {each.code for each in asyncio.run(story())} == {1001}

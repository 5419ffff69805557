"""The way of an authority's question by TLS-ALPN-01: who opens and who closes it."""

from __future__ import annotations

import asyncio

import pytest

from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.errors import Failed


class Nginx:
    """Notes what it was rendered with."""

    def __init__(self) -> None:
        self.passage = AlpnPassthrough()
        self.rendered: list[bool] = []
        self.refuses = False
        self.opened = asyncio.Event()

    async def render_again(self) -> None:
        await asyncio.sleep(0)
        if self.refuses:
            raise Failed("nginx did not load the new configuration")
        self.rendered.append(self.passage.is_open)
        self.opened.set()

    def enable(self):
        return self.passage.enable(self.render_again)


def test_it_is_open_for_an_order_and_no_longer():
    async def order() -> list[bool]:
        nginx = Nginx()
        async with nginx.enable():
            assert nginx.rendered == [True]
        return nginx.rendered

    assert asyncio.run(order()) == [True, False]


def test_orders_take_turns_and_it_stays_open_between_them():
    async def orders() -> list[bool]:
        nginx, inside = Nginx(), 0

        async def order() -> None:
            nonlocal inside
            async with nginx.enable():
                inside += 1
                assert inside == 1
                await asyncio.sleep(0.001)
                inside -= 1

        await asyncio.gather(*(order() for _ in range(3)))
        return nginx.rendered

    assert asyncio.run(orders()) == [True, True, True, False]


def test_it_is_closed_after_an_order_that_failed_too():
    async def order() -> list[bool]:
        nginx = Nginx()
        with pytest.raises(Failed, match="unproven"):
            async with nginx.enable():
                raise Failed("unproven")
        return nginx.rendered

    assert asyncio.run(order()) == [True, False]


def test_where_nginx_does_not_open_it_nothing_is_ordered():
    async def order() -> bool:
        nginx = Nginx()
        nginx.refuses = True
        with pytest.raises(Failed, match="did not load the new configuration"):
            async with nginx.enable():
                pytest.fail("ordered")
        return nginx.passage.is_open

    assert asyncio.run(order()) is False


def test_an_order_that_went_well_is_not_spoiled_by_an_nginx_that_does_not_close_it():
    async def order() -> bool:
        nginx = Nginx()
        async with nginx.enable():
            nginx.refuses = True
        return nginx.passage.is_open

    assert asyncio.run(order()) is False


def test_a_daemon_that_ends_meanwhile_leaves_it_to_the_next_one():
    async def order() -> list[bool]:
        nginx = Nginx()

        async def wait() -> None:
            async with nginx.enable():
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await nginx.opened.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return nginx.rendered

    assert asyncio.run(order()) == [True]

"""Has nginx pass on an authority's question by TLS-ALPN-01, for as long as an order needs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from portico.errors import Failed, PorticoError

log = logging.getLogger(__name__)


class AlpnPassthrough:
    """One order at a time, for there is one socket to answer at; who waits keeps it open."""

    def __init__(self) -> None:
        self.is_open = False
        """As nginx's files are to be rendered."""
        self._wanted = 0
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def enable(self, render_again: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """`render_again` returns when nginx serves what is to be rendered now, or raises Failed.

        A daemon that ends leaves it open: the next one renders it closed.
        """
        self._wanted += 1
        try:
            async with self._one_at_a_time:
                self.is_open = True
                try:
                    await render_again()
                except PorticoError as error:
                    raise Failed(f"nginx cannot pass tls-alpn-01 on: {error}") from error
                yield
        finally:
            self._wanted -= 1
            if not self._wanted:
                self.is_open = False
                await self._close(render_again)

    async def _close(self, render_again: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return
        try:
            await render_again()
        except PorticoError as error:  # the certificate may well be there
            log.warning("nginx still passes acme-tls/1 on: %s", error)

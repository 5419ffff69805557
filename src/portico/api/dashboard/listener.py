"""The dashboard's socket: loopback only, and only after it was asked for."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import Final

from portico.api.dashboard.site import Dashboard
from portico.api.open_requests import OpenRequests
from portico.api.tcp_clients import TcpClients
from portico.core.model.event import Requester
from portico.errors import Failed

ADDRESS: Final = "127.0.0.1"
MAX_CONNECTIONS: Final = 64
"""Of all browsers; each opens up to six."""
BROWSER: Final = Requester("a browser")

log = logging.getLogger(__name__)


class DashboardListener:
    def __init__(
        self,
        dashboard: Dashboard,
        requests: OpenRequests,
        *,
        port: Callable[[], int],
        keep_port: Callable[[int], None],
    ) -> None:
        """`port` is where it listened last, 0 if it did not; `keep_port` records it."""
        self._dashboard = dashboard
        self._clients = TcpClients(BROWSER, dashboard.answer, requests, MAX_CONNECTIONS)
        self._port, self._keep_port = port, keep_port
        self._server: asyncio.Server | None = None

    async def resume(self) -> None:
        """Listen where the daemon before this one did, so that open pages go on."""
        if port := self._port():
            try:
                await self._listen(port)
            except OSError as error:
                log.warning("the dashboard cannot listen on port %d again: %s", port, error)

    async def link(self, who: Requester) -> str:
        """An address that signs in. Begins to listen if need be. Raises Failed."""
        if self._server is None:
            try:
                await self._listen_somewhere()
            except OSError as error:
                raise Failed(f"the dashboard cannot listen on {ADDRESS}: {error}") from None
            self._keep_port(self._dashboard.port)
        return self._dashboard.link(who)

    def close(self) -> None:
        """Listen no more, in the next daemon neither."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._dashboard.forget()
        self._clients.close()
        self._keep_port(0)

    async def _listen_somewhere(self) -> None:
        try:
            await self._listen(self._port())
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            await self._listen(0)

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._clients.serve, ADDRESS, port)
        self._dashboard.port = self._server.sockets[0].getsockname()[1]

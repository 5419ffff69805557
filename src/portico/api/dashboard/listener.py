"""The dashboard's socket: loopback only, and only after it was asked for."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import Final

from portico.api.connection import Connection
from portico.api.dashboard.site import MAX_BODY_SIZE, Dashboard
from portico.api.open_requests import OpenRequests
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
        self._dashboard, self._requests = dashboard, requests
        self._port, self._keep_port = port, keep_port
        self._server: asyncio.Server | None = None
        self._open = set[asyncio.Task[None]]()

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
        for task in tuple(self._open):
            task.cancel()
        self._keep_port(0)

    async def _listen_somewhere(self) -> None:
        try:
            await self._listen(self._port())
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            await self._listen(0)

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, ADDRESS, port)
        self._dashboard.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(task)
        answer = self._dashboard.answer
        connection = Connection(
            reader, writer, BROWSER, answer, self._requests, max_body_size=MAX_BODY_SIZE
        )
        try:
            await connection.serve()
        except asyncio.CancelledError:
            pass  # by `close`; asyncio would print that of a connection as an error
        except Exception:
            log.exception("a connection to the dashboard failed")
        finally:
            self._open.discard(task)
            writer.close()

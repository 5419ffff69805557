"""`/metrics` on a TCP port, where `[edge] metrics` asks for it. It answers nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from portico.api.app import Answer, Api, Request, refused
from portico.api.connection import Connection
from portico.api.open_requests import OpenRequests
from portico.core.model.event import Requester
from portico.engine.troubles import Troubles
from portico.ports.clock import Clock

INTERVAL: Final = 1.0
MAX_CONNECTIONS: Final = 16
"""At a time, as anyone who can connect may ask; another one is closed at once."""
MAX_BODY_SIZE: Final = 1 << 16
_SUBJECT: Final = "listener for metrics"
_WHO: Final = Requester("a client of the listener for metrics")
_NOT_FOUND, _NOT_ALLOWED = 404, 405

log = logging.getLogger(__name__)


class MetricsListener:
    def __init__(
        self, api: Api, wanted: Callable[[], str], troubles: Troubles, clock: Clock
    ) -> None:
        """`wanted` is the address in force, `127.0.0.1:9464`; empty for none."""
        self._api, self._wanted, self._troubles, self._clock = api, wanted, troubles, clock
        self._address = ""
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def look(self) -> None:
        """Listen where it is wanted now; a port that is taken is tried again."""
        wanted = self._wanted()
        if wanted == self._address:
            return
        if self._server:
            self._server.close()
            self._server, self._address = None, ""
        host, _, port = wanted.rpartition(":")
        try:
            if wanted:
                self._server = await asyncio.start_server(self._serve, host.strip("[]"), int(port))
        except OSError as error:
            why = f"cannot listen on {wanted} for metrics: {error.strerror or error}"
            self._troubles.report(_SUBJECT, why)
        else:
            self._address = wanted
            self._troubles.resolve(_SUBJECT)

    async def pause(self) -> None:
        await self._clock.sleep(INTERVAL)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections += 1
        try:
            with suppress(asyncio.CancelledError):  # of the daemon's end
                await Connection(
                    reader, writer, _WHO, self._answer, OpenRequests(), MAX_BODY_SIZE
                ).serve()
        except Exception:
            log.exception("a connection for metrics failed")
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, request: Request) -> Answer:
        path = request.target.partition("?")[0]
        if path != "/metrics":
            return refused(_NOT_FOUND, f"{path}: Not Found")
        if request.method != "GET":
            return refused(_NOT_ALLOWED, f"{request.method} {path}: Method Not Allowed")
        return await self._api.answer(Request("GET", "/v1/metrics", request.who, b""))

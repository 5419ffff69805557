"""`/metrics` on a TCP port, where `[edge] metrics` asks for it. It answers nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from portico.api.app import Answer, Api, Request, refusal
from portico.api.open_requests import OpenRequests
from portico.api.tcp_clients import TcpClients
from portico.core.model.event import Requester
from portico.engine.troubles import Troubles

MAX_CONNECTIONS: Final = 16
"""At a time, as anyone who can connect may ask; another one is closed at once."""
_SUBJECT: Final = "listener for metrics"
_REQUESTER: Final = Requester("a client of the listener for metrics")
_NOT_FOUND, _NOT_ALLOWED = 404, 405


class MetricsListener:
    def __init__(
        self,
        api: Api,
        wanted: Callable[[], str],
        troubles: Troubles,
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        """`wanted` is the address in force, `127.0.0.1:9464`; empty for none. It may have changed
        after each `pause`.
        """
        self._api, self._wanted, self._troubles = api, wanted, troubles
        self.pause = pause
        self._address = ""
        self._server: asyncio.Server | None = None
        self._clients = TcpClients(_REQUESTER, self._answer, OpenRequests(), MAX_CONNECTIONS)

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
                self._server = await asyncio.start_server(
                    self._clients.serve, host.strip("[]"), int(port)
                )
        except OSError as error:
            why = f"cannot listen on {wanted} for metrics: {error.strerror or error}"
            self._troubles.report(_SUBJECT, why)
        else:
            self._address = wanted
            self._troubles.resolve(_SUBJECT)

    async def _answer(self, request: Request) -> Answer:
        path = request.target.partition("?")[0]
        if path != "/metrics":
            return refusal(_NOT_FOUND, f"{path}: Not Found")
        if request.method != "GET":
            return refusal(_NOT_ALLOWED, f"{request.method} {path}: Method Not Allowed")
        return await self._api.answer(Request("GET", "/v1/metrics", request.who, b""))

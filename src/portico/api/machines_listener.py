"""Answers the other machines of a cluster: what may be read, and nothing that changes something.

Their questions come by nginx, which has verified that a machine of the file asks. Its workers are
another user, so anyone may connect to the socket, and only they are answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from portico.api.app import Api
from portico.api.open_requests import OpenRequests
from portico.api.server import peer_of
from portico.api.tcp_clients import TcpClients
from portico.core.model.event import Requester
from portico.core.model.machine_verbs import MEMBER
from portico.core.model.verbs import EVENTS, STATUS, TRAFFIC
from portico.errors import Failed

REPORTED_VERBS: Final = (STATUS, MEMBER, EVENTS, TRAFFIC)
MAX_CONNECTIONS: Final = 64
"""At a time; another one is closed at once."""
_REQUESTER: Final = Requester("another machine")
_SOCKET_MODE: Final = 0o666


class MachinesListener:
    def __init__(self, answers: object, path: Path, uids: Callable[[], frozenset[int]]) -> None:
        """`answers` has a method for each of the verbs; `uids` are who nginx's workers may be."""
        self._path, self._uids = path, uids
        self._clients = TcpClients(
            _REQUESTER, Api(answers, REPORTED_VERBS).answer, OpenRequests(), MAX_CONNECTIONS
        )
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen from now on. Raises Failed."""
        try:
            self._path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, self._path)
            self._path.chmod(_SOCKET_MODE)
        except OSError as error:
            raise Failed(
                f"cannot answer other machines on {self._path}: {error.strerror}; they show that "
                "this machine reports nothing"
            ) from error

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._clients.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, uid = peer_of(writer)
        if uid in self._uids():
            await self._clients.serve(reader, writer)
        else:
            writer.transport.abort()

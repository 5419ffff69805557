"""Where nginx passes what machines ask that want to join: a unix socket, and nothing else.

Anyone in the network may ask. nginx bounds how often and how much (`core/render/machine_server`).
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final, Protocol

import msgspec

from portico.api.app import Answer, Request
from portico.api.open_requests import OpenRequests
from portico.api.tcp_clients import TcpClients
from portico.core.model.event import Requester
from portico.core.model.joining import JOIN_PATH, JoinAnswer, JoinOffer, JoinRequest
from portico.core.model.json_text import DECODE_ERRORS
from portico.errors import PorticoError

MAX_CONNECTIONS: Final = 8
RETRY_INTERVAL: Final = 5.0
_REQUESTER: Final = Requester("a machine that joins")
_JSON: Final = "application/json"
_OK, _BAD_REQUEST, _NOT_FOUND, _INTERNAL, _TIMEOUT = 200, 400, 404, 500, 504

log = logging.getLogger(__name__)


class Joins(Protocol):
    async def offer(self) -> JoinOffer: ...

    async def join(self, request: JoinRequest) -> JoinAnswer: ...


class JoinListener:
    def __init__(self, joins: Joins, socket: str) -> None:
        self._joins, self._socket = joins, Path(socket)
        self._clients = TcpClients(_REQUESTER, self.answer, OpenRequests(), MAX_CONNECTIONS)

    async def serve(self) -> None:
        """Until it is cancelled. nginx's workers, another user, may connect."""
        self._socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._clients.serve, self._socket)
        self._socket.chmod(0o666)
        try:
            await server.serve_forever()
        finally:
            self._socket.unlink(missing_ok=True)
            self._clients.close()

    async def pause(self) -> None:
        """After a socket that could not be opened."""
        await asyncio.sleep(RETRY_INTERVAL)

    async def answer(self, request: Request) -> Answer:
        try:
            return await self._answer(request)
        except DECODE_ERRORS:
            return _refusal_answer(_BAD_REQUEST, "the request is not one of a machine that joins")
        except TimeoutError:
            return _refusal_answer(_TIMEOUT, "it was not done in time")
        except PorticoError as error:
            return _refusal_answer(error.http_status, str(error))
        except Exception:  # strangers must not end a task
            log.exception("a machine could not join")
            return _refusal_answer(_INTERNAL, "internal error there; details in its porticod.log")

    async def _answer(self, request: Request) -> Answer:
        match request.target, request.method:
            case (path, "GET") if path == JOIN_PATH:
                found: JoinOffer | JoinAnswer = await self._joins.offer()
            case (path, "POST") if path == JOIN_PATH:
                found = await self._joins.join(msgspec.json.decode(request.body, type=JoinRequest))
            case _:
                return _refusal_answer(_NOT_FOUND, "there is no such page")
        return Answer(_OK, _JSON, msgspec.json.encode(found))


def _refusal_answer(status: int, why: str) -> Answer:
    return Answer(status, _JSON, msgspec.json.encode({"error": why}))

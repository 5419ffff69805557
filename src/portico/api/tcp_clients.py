"""Clients of a TCP port: so many at a time, whoever they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from portico.api.app import Answer, Request
from portico.api.connection import Connection
from portico.api.open_requests import OpenRequests
from portico.core.model.event import Requester

MAX_BODY_SIZE: Final = 1 << 16
"""Bytes of a request: none of these needs more than a name or a number."""

log = logging.getLogger(__name__)


class TcpClients:
    def __init__(
        self,
        who: Requester,
        answer: Callable[[Request], Awaitable[Answer]],
        requests: OpenRequests,
        most: int,
    ) -> None:
        """`who` stands for all of them. More than `most` at a time are closed at once."""
        self._who, self._answer, self._requests, self._most = who, answer, requests, most
        self._open = set[asyncio.Task[None]]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """For `asyncio.start_server`."""
        task = asyncio.current_task()
        if task is None or len(self._open) >= self._most:
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            await Connection(
                reader, writer, self._who, self._answer, self._requests, MAX_BODY_SIZE
            ).serve()
        except asyncio.CancelledError:
            pass  # by `close`, or at the daemon's end; asyncio would print it as an error
        except Exception:
            log.exception("a connection of %s failed", self._who.name)
        finally:
            self._open.discard(task)
            writer.close()

    def close(self) -> None:
        """End all connections."""
        for task in tuple(self._open):
            task.cancel()

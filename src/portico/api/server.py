"""Serves the API on a unix socket, to the user who owns it and to root only."""

from __future__ import annotations

import asyncio
import logging
import pwd
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from portico.api.app import Answer, Api, Request, refusal
from portico.api.connection import Connection
from portico.core.model.event import Requester
from portico.errors import Refused, Unreachable
from portico.system.proc import command_line

GRACE_TIME: Final = 1.0  # seconds that open requests get when the daemon leaves
CLOSE_ROUNDS: Final = 4  # of the event loop: from a connect to its task, from an end to its close
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid

log = logging.getLogger(__name__)


async def serve(
    api: Api,
    socket_path: Path,
    stop: asyncio.Event,
    allowed_uids: frozenset[int],
    listening: Callable[[], None],
    closing: Callable[[], None] = lambda: None,
) -> None:
    """Answer until `stop` is set, then let open requests end within `GRACE_TIME` and leave.
    Whoever has connected and asks only then is told to ask the next daemon. `closing` ends what
    would stream without an end.

    `listening` is called when whoever connects is answered. Raises Refused when another process
    answers on the socket already.
    """
    listener, clients = _bind(socket_path), _Clients(api, allowed_uids, stop)
    server = await asyncio.start_unix_server(clients.serve, sock=listener)
    listening()
    try:
        await stop.wait()
    finally:
        closing()
        socket_path.unlink(missing_ok=True)  # noqa: ASYNC240 - one name, in our own folder
        await _run_pending_callbacks()  # CPython loses a connection whose accept a close overtakes
        server.close()
        await clients.finish()


class _Clients:
    """Who is connected. Users who are not allowed are cut off before a byte is read."""

    def __init__(self, api: Api, allowed: frozenset[int], stop: asyncio.Event) -> None:
        self._api, self._allowed, self._stop = api, allowed, stop
        self._open: dict[asyncio.Task[Any], Connection] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        pid, uid = peer_of(writer)
        if task is None or uid not in self._allowed:
            writer.transport.abort()
            return
        who = Requester(_user(uid), uid, pid, command_line(pid))
        connection = Connection(reader, writer, who, self._answer, self._api.requests)
        self._open[task] = connection
        try:
            await connection.serve()
        except asyncio.CancelledError:
            pass  # by `finish`; asyncio would print that of a connection as an error
        except Exception:
            log.exception("a connection to the API failed")
        finally:
            del self._open[task]
            writer.close()

    async def _answer(self, request: Request) -> Answer:
        if self._stop.is_set():
            return refusal(Unreachable.http_status, "porticod is exiting")
        return await self._api.answer(request)

    async def finish(self) -> None:
        for task, connection in tuple(self._open.items()):
            connection.is_last = True
            if connection.is_idle:  # one that is new is about to ask
                task.cancel()
        if tasks := tuple(self._open):
            await asyncio.wait(tasks, timeout=GRACE_TIME)
        for task in tuple(self._open):
            task.cancel()  # ends a followed stream as if its reader had gone
        if tasks := tuple(self._open):
            await asyncio.wait(tasks, timeout=GRACE_TIME)
        await _run_pending_callbacks()


def _bind(path: Path) -> socket.socket:
    """A listening socket of mode 0600; a file that nobody answers on is taken away first."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        if _answers(path):
            raise Refused(f"cannot listen on {path}: another porticod answers there")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.bind(str(path))
    path.chmod(0o600)  # before listen: until then every connect is refused
    listener.listen(128)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # a full backlog: somebody is there
            return True
        return True


def peer_of(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Process and user at the other end, as the kernel recorded them at connect."""
    connection = writer.get_extra_info("socket")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


async def _run_pending_callbacks() -> None:
    for _ in range(CLOSE_ROUNDS):
        await asyncio.sleep(0)

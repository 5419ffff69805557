"""Serves the API on a unix socket, to the user who owns it and to root only."""

from __future__ import annotations

import asyncio
import pwd
import socket
import stat
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from portico.api.app import build_app
from portico.errors import Refused

# uvicorn loads watchfiles for a reloading of its own wherever it is installed: memory for nothing.
_loaded = sys.modules.setdefault("watchfiles", None)  # type: ignore[arg-type]  # hides it
from uvicorn.config import Config  # noqa: E402 - see above
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

if _loaded is None:
    del sys.modules["watchfiles"]

GRACE: Final = 1.0  # seconds that open requests get when the daemon leaves
ROUNDS: Final = 4  # of the event loop: from a connect to its protocol, from an end to its close
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


async def serve(
    operations: object,
    socket_path: Path,
    stop: asyncio.Event,
    allowed_uids: frozenset[int],
    listening: Callable[[], None],
) -> None:
    """Answer until `stop` is set, then let open requests end within `GRACE` and leave.

    `listening` is called when whoever connects is answered. Raises Refused when another process
    answers on the socket already.

    uvicorn's protocol is used without its server, which would take over the signals, configure
    logging and wake the process ten times a second.
    """
    listener = _bind(socket_path)
    config = Config(
        build_app(operations),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who asks is what the kernel says, no header
    )
    config.load()
    state = ServerState()

    def protocol() -> asyncio.Protocol:
        return _CheckedProtocol(config, state, allowed_uids)

    server = await asyncio.get_running_loop().create_unix_server(protocol, sock=listener)
    listening()
    try:
        await stop.wait()
    finally:
        socket_path.unlink(missing_ok=True)  # noqa: ASYNC240 - one name, in our own folder
        await _rounds()  # CPython loses a connection whose accept a close overtakes
        server.close()
        await _finish(state)


class _CheckedProtocol(H11Protocol):
    """HTTP for users who are allowed; anybody else is cut off before a byte is read."""

    def __init__(self, config: Config, state: ServerState, allowed: frozenset[int]) -> None:
        super().__init__(config, state, {})
        self._allowed = allowed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        pid, uid = _peer(transport.get_extra_info("socket"))
        if uid not in self._allowed:
            transport.abort()
        self.client = (f"{_user(uid)} (pid {pid})", 0)  # what Request.client.host gives


def _bind(path: Path) -> socket.socket:
    """A listening socket of mode 0600; a file that nobody answers on is taken away first."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        if _answers(path):
            raise Refused(f"cannot serve on {path}: another porticod answers there")
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


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end, as the kernel recorded them at connect."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


async def _finish(state: ServerState) -> None:
    for connection in tuple(state.connections):
        connection.shutdown()
    if state.tasks:
        await asyncio.wait(tuple(state.tasks), timeout=GRACE)
    for connection in tuple(state.connections):
        connection.transport.abort()  # ends a followed stream as if its reader had gone
    if state.tasks:
        await asyncio.wait(tuple(state.tasks), timeout=GRACE)
    await _rounds()


async def _rounds() -> None:
    for _ in range(ROUNDS):
        await asyncio.sleep(0)

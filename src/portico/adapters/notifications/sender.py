"""Sends events to an operator's URL, or to a program. Implements `ports.Notifier`.

A request is made by a child: a name that is not resolved, a TLS handshake that hangs or an answer
that never ends is over with it, and the daemon needs no TLS.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Mapping
from typing import Final

from portico import __version__
from portico.core.model.notification import Notify
from portico.core.planning.notifications import signature
from portico.system.account import account_of
from portico.system.programs import (
    PIPE,
    SEARCH_PATH,
    STDOUT,
    Program,
    StartProgram,
    running,
    start_here,
)
from portico.system.rights import open_file

START_TIME: Final = 10.0
"""Seconds more for a child than for its request: on a busy machine it starts slowly."""
MAX_SECRET_SIZE: Final = 4096
MAX_SHOWN_OUTPUT: Final = 300
_CHILD: Final = "portico.adapters.notifications.child"


class Sender:
    def __init__(self, authorities: str, start_program: StartProgram = start_here) -> None:
        """`authorities` is a PEM file of those who vouch for servers."""
        self._authorities, self._start_program = authorities, start_program

    async def post(self, table: Notify, body: bytes, now: float) -> str | None:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Portico/{__version__}",
        }
        if table.secret_file:
            try:
                secret = await asyncio.to_thread(_secret, table.secret_file)
            except OSError as error:
                return f"cannot read {table.secret_file}: {error.strerror}"
            if not secret:
                return f"{table.secret_file} is empty"
            headers["Portico-Signature"] = signature(secret, body, now)
        request = {
            "url": table.url,
            "headers": headers,
            "body": base64.b64encode(body).decode(),
            "timeout": table.timeout,
            "authorities": self._authorities,
        }
        child = Program((sys.executable, "-I", "-m", _CHILD))
        try:
            code, said = await self._wait_for_exit(
                child, json.dumps(request).encode(), table.timeout + START_TIME
            )
        except TimeoutError:
            return f"the request timed out after {table.timeout:g} s"
        except OSError as error:
            return f"cannot start the request: {error.strerror}"
        return None if code == 0 else said or f"the request failed with code {code}"

    async def run(self, table: Notify, body: bytes, environ: Mapping[str, str]) -> str | None:
        try:
            account = await asyncio.to_thread(account_of, table.user, None)
        except ValueError as error:
            return str(error)
        program = Program(
            table.command,
            {"PATH": SEARCH_PATH, **account.variables, **environ},
            "/",
            account.uid,
            account.gid,
            account.groups,
        )
        name = table.command[0]
        try:
            code, said = await self._wait_for_exit(program, body, table.timeout)
        except TimeoutError:
            return f"{name} timed out after {table.timeout:g} s and was stopped"
        except OSError as error:
            return f"{name}: {error.strerror}"
        return None if code == 0 else f"{name} exited with code {code}: {said or 'no output'}"

    async def _wait_for_exit(
        self, program: Program, data: bytes, deadline: float
    ) -> tuple[int, str]:
        """Its exit code and the end of its output; killed where it takes longer."""
        async with (
            running(self._start_program, program, stdin=PIPE, stderr=STDOUT) as process,
            asyncio.timeout(deadline),
        ):
            output, _ = await process.communicate(data, MAX_SHOWN_OUTPUT)
        code = -1 if process.exit_code is None else process.exit_code
        return code, " ".join(output.decode(errors="replace").split())


def _secret(path: str) -> bytes:
    """With the rights of who can write its folder; without the end of its line."""
    file = open_file(path)
    try:
        return os.read(file, MAX_SECRET_SIZE).strip()
    finally:
        os.close(file)

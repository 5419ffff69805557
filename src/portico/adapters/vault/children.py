"""Values under the key of the cluster, by short-lived children of the daemon (ports.Vault)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Final, Literal

from portico.errors import Failed
from portico.system.programs import PIPE, Program, running, start_here

CHILD: Final = "portico.adapters.vault.child"
CHILD_TIMEOUT: Final = 60.0
MAX_ANSWER_SIZE: Final = 1 << 26
"""Bytes; a thousand certificates with their keys have some 8 MiB."""


class ChildVault:
    """`python` is the interpreter for the children, with Portico installed; `key` the path of the
    file with the key of the cluster, 32 bytes.
    """

    def __init__(self, python: str, key: str, deadline: float = CHILD_TIMEOUT) -> None:
        self._python, self._key, self._deadline = python, key, deadline

    async def seal(self, name: str, plain: bytes) -> bytes:
        return (await self._ask("seal", {name: plain}))[name]

    async def open(self, name: str, sealed: bytes) -> bytes:
        return (await self._ask("open", {name: sealed}))[name]

    async def _ask(
        self, act: Literal["seal", "open"], values: Mapping[str, bytes]
    ) -> Mapping[str, bytes]:
        what = "encrypt" if act == "seal" else "decrypt"
        encoded = {name: base64.b64encode(value).decode() for name, value in values.items()}
        request = json.dumps({"act": act, "key": self._key, "values": encoded}).encode()
        program = Program((self._python, "-I", "-m", CHILD))
        try:
            async with (
                running(start_here, program, stdin=PIPE) as process,
                asyncio.timeout(self._deadline),
            ):
                out, err = await process.communicate(request, MAX_ANSWER_SIZE)
        except TimeoutError:
            raise _failure(what, f"timed out after {self._deadline:g} s") from None
        except OSError as error:
            raise _failure(what, f"cannot run {self._python}: {error.strerror}") from error
        if process.exit_code:
            words = err.decode(errors="replace").strip().splitlines()
            raise _failure(what, words[-1] if words else f"exit {process.exit_code}")
        return {name: base64.b64decode(value) for name, value in json.loads(out).items()}


def _failure(what: str, why: str) -> Failed:
    return Failed(f"cannot {what} data of the cluster: {why}")

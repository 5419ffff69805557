"""Certificates by short-lived children of the daemon (ports.Certificates).

The local authority is the child module `child`; its files are in HOME/certificates/local, and the
copies of operators' own pairs in HOME/certificates/own.
Public authorities (RFC 8555) get children and a folder of their own beside it.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from portico.adapters.certificates import trust
from portico.adapters.certificates.index import AUTHORITY, ROOT, expected_pairs, valid_files
from portico.adapters.certificates.own_copies import OwnCopies
from portico.adapters.certificates.running import result_of, run
from portico.adapters.certificates.wire import Pair, Request
from portico.core.model.cluster import SignedMachine, machine_host
from portico.core.model.pair import Facts, Findings, OwnCopy, OwnPair, Trust
from portico.core.model.place import CertificateFiles
from portico.errors import Failed
from portico.ports.clock import Clock
from portico.system.home import Home
from portico.system.programs import PIPE, Program, RunningProgram, running, start_here

CHILD_TIMEOUT: Final = 120.0  # seconds; a thousand new lineages take some two
_CHILD: Final = "portico.adapters.certificates.child"
_PATH: Final = TypeAdapter(Path)
_FILES: Final = TypeAdapter(dict[str, CertificateFiles])
_FACTS: Final = TypeAdapter(list[Facts])
_PROBLEMS: Final = TypeAdapter(list[list[str]])
_TEXT: Final = TypeAdapter(str)
_FINDINGS: Final = TypeAdapter(list[Findings])
_SIGNED_MACHINE: Final = TypeAdapter(SignedMachine)


class CertificateChild:
    """`python` is the interpreter for the children, with Portico installed; `places` is where
    the local authority's root is to be trusted.
    """

    def __init__(
        self,
        home: Home,
        python: str,
        clock: Clock,
        places: trust.TrustStores,
        deadline: float = CHILD_TIMEOUT,
    ) -> None:
        self._folder = home.certificates / "local"
        self._own = home.certificates / "own"
        self._copies = OwnCopies(self._own)
        self._command = (python, "-I", "-m", _CHILD)
        self._clock, self._places, self._deadline = clock, places, deadline
        self._spare: RunningProgram | None = None
        """A child that was asked nothing so far."""

    @asynccontextmanager
    async def preload(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            is_first = not await asyncio.to_thread((self._folder / AUTHORITY).exists)
            if is_first and self._spare is None:
                with suppress(OSError):  # the call that needs one says it
                    child = running(start_here, Program(self._command), stdin=PIPE)
                    self._spare = await stack.enter_async_context(child)
                    stack.callback(setattr, self, "_spare", None)
            yield

    async def local(self, names: Mapping[str, Sequence[str]]) -> Mapping[str, CertificateFiles]:
        good = await asyncio.to_thread(valid_files, self._folder, names, self._clock.now())
        wanted = {lineage: list(names[lineage]) for lineage in names if lineage not in good}
        if not wanted:
            return good
        request: Request = {
            "act": "local",
            "now": self._clock.now(),
            "folder": str(self._folder),
            "host": socket.gethostname(),
            "lineages": wanted,
        }
        return good | _FILES.validate_json(await self._ask("create certificates", request))

    def expected_files(self, names: Mapping[str, Sequence[str]]) -> Mapping[str, CertificateFiles]:
        return expected_pairs(self._folder, names, self._clock.now())

    async def own_copies(self, pairs: Sequence[OwnPair]) -> Mapping[OwnPair, OwnCopy]:
        if not pairs:  # asked every two seconds
            return {}
        now = self._clock.now()
        found = await asyncio.to_thread(self._copies.look, pairs, now)
        changed = [pair for pair in pairs if pair not in found]
        if not changed:
            return found
        request: Request = {
            "act": "own",
            "now": now,
            "folder": str(self._own),
            "pairs": _pairs(changed),
        }
        try:
            problems = _PROBLEMS.validate_json(await self._ask("copy certificates", request))
        except Failed as error:
            problems = [[str(error)]] * len(changed)
        for pair, each in zip(changed, problems, strict=True):
            found[pair] = await asyncio.to_thread(self._copies.note, pair, each, now)
        return found

    def expected_own_copies(self, pairs: Sequence[OwnPair]) -> Mapping[OwnPair, CertificateFiles]:
        return {pair: self._copies.expected_files(pair) for pair in pairs}

    async def examine(self, pairs: Sequence[OwnPair]) -> list[Findings]:
        if not pairs:
            return []
        request: Request = {
            "act": "examine",
            "now": self._clock.now(),
            "pairs": _pairs(pairs),
        }
        return _FINDINGS.validate_json(await self._ask("check certificates", request))

    async def inspect(self, pairs: Sequence[OwnPair]) -> list[Facts]:
        if not pairs:
            return []
        now = self._clock.now()
        request: Request = {"act": "facts", "now": now, "pairs": _pairs(pairs)}
        return _FACTS.validate_json(await self._ask("read certificates", request))

    async def account_key(self, jwk: str) -> str:
        request: Request = {"act": "pem", "key": jwk}
        return _TEXT.validate_json(await self._ask("read an account's key", request))

    async def sign_machine(
        self, authority: str, key: str, request: str, name: str, address: str = ""
    ) -> SignedMachine:
        question: Request = {
            "act": "machine",
            "now": self._clock.now(),
            "authority": authority,
            "key": key,
            "request": request,
            "name": name,
            "host": machine_host(name),
            "address": address,
        }
        return _SIGNED_MACHINE.validate_json(await self._ask(f"sign for machine {name}", question))

    async def trust(self) -> Trust:
        request: Request = {
            "act": "root",
            "now": self._clock.now(),
            "folder": str(self._folder),
            "host": socket.gethostname(),
        }
        answer = await self._ask("create the local authority", request)
        return await trust.install(_PATH.validate_json(answer), self._places)

    async def untrust(self) -> Trust:
        root = self._folder / AUTHORITY / ROOT
        if not root.exists():
            return Trust(str(root), (), ("everywhere: no local authority exists yet",))
        return await trust.uninstall(root, self._places)

    async def _ask(self, what: str, request: Request) -> bytes:
        given, (spare, self._spare) = json.dumps(request).encode(), (self._spare, None)
        try:
            ran = await (
                result_of(spare, self._command[0], self._deadline, given)
                if spare
                else run(self._command, self._deadline, given=given)
            )
        except Failed as error:
            raise Failed(f"cannot {what}: {error}; {_UNCHANGED_TEXT}") from error
        if ran.code:
            raise Failed(
                f"cannot {what}: {ran.last_words or f'exit {ran.code}'}; {_UNCHANGED_TEXT}"
            )
        return ran.out


def _pairs(pairs: Sequence[OwnPair]) -> list[Pair]:
    return [
        {"certificate": pair.certificate, "key": pair.key, "names": list(pair.names)}
        for pair in pairs
    ]


_UNCHANGED_TEXT: Final = "existing certificates remain in use"

"""Authorities of clients and lists of revoked ones, noticed and used when they are renewed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from portico.engine.certificates.own_files import MIN_INTERVAL
from portico.engine.client_files import ClientFile, ClientFiles, files_of_clients
from portico.engine.engine import Engine
from portico.engine.in_force import InForce

log = logging.getLogger(__name__)


class ClientWatch:
    def __init__(self, engine: Engine, in_force: InForce, files: ClientFiles) -> None:
        self._intent, self._events = engine.intent, engine.events
        self._after_round, self._troubles = engine.loop.after_round, engine.troubles
        self._in_force, self._files = in_force, files
        self._seen: Mapping[str, ClientFile] = {}
        self._served: Mapping[str, str | None] = {}
        """What nginx was known to have, by path."""

    async def pause(self) -> None:
        await self._after_round(MIN_INTERVAL)

    async def look(self) -> None:
        """Raises PorticoError while nginx does not take what is new."""
        desired = self._intent.desired
        if not self._seen and not any(files_of_clients(desired)):
            return
        before, self._seen = self._seen, await asyncio.to_thread(self._files.read, desired)
        for path, file in self._seen.items():
            self._report(file, before.get(path))
        for path in before.keys() - self._seen.keys():
            self._troubles.resolve(_subject(path))
        wanted = {path: file.text for path, file in self._seen.items()}
        if any(self._served.get(path) != text for path, text in wanted.items()):
            await self._in_force.render_again()
        for path in wanted.keys() & self._served.keys():
            if wanted[path] != self._served[path]:
                self._record(self._seen[path])
        self._served = wanted

    def _report(self, file: ClientFile, before: ClientFile | None) -> None:
        """What is unusable at two looks is not just being written."""
        subject = _subject(file.named.path)
        if not file.problem:
            self._troubles.resolve(subject)
        elif before and before.problem == file.problem:
            text = f"{file.named.where}: {file.problem}; the former contents are still in effect"
            self._troubles.report(subject, text)

    def _record(self, file: ClientFile) -> None:
        text = f"{file.named.path} was renewed, and is in effect"
        self._events.note("certificate", file.named.site, text)
        log.info("client certificates of %s: %s", file.named.site, text)


def _subject(path: str) -> str:
    return f"client certificates {path}"

"""What instances printed last, of all that are meant, as one text."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from portico.core.model.desired import Spec
from portico.core.model.log_line import LogTail, merge_lines, parse_lines
from portico.core.model.names import split_name
from portico.core.model.views import OutputLineView
from portico.engine.engine import Engine
from portico.ports.files import Logs
from portico.system.printable import printable

MAX_FILES: Final = 50
"""Those written last: of each the last 64 KiB are read."""


class _File(NamedTuple):
    spec: Spec
    instance: str
    stream: Literal["stdout", "stderr"]


class Output:
    def __init__(self, engine: Engine, logs: Logs) -> None:
        self._intent, self._observed, self._logs = engine.intent, engine.observed, logs

    async def lines(
        self, apps: Iterable[str], slot: int | None, count: int, grep: str
    ) -> list[OutputLineView]:
        """The last `count` lines with that text in them, of these apps, or of one slot of them."""
        files = self._files(set(apps), slot)
        written = await self._logs.modified_at(list(files))
        newest = heapq.nlargest(MAX_FILES, files, key=written.__getitem__)
        tails = {path: await self._logs.tail(files[path].spec, path) for path in newest}
        return await asyncio.to_thread(_merge, files, tails, count, grep.lower())

    def _files(self, apps: set[str], slot: int | None) -> dict[str, _File]:
        """By path."""
        found: dict[str, _File] = {}
        slots = sorted({(i.app, i.slot) for i in self._observed.instances.values()})
        for app, number in slots:
            if app not in apps or slot not in {None, number}:
                continue
            spec, name = self._intent.versions.target(app), split_name(app)[1]
            files = self._logs.files(spec, number)
            streams: tuple[tuple[Literal["stdout", "stderr"], str], ...] = (
                ("stdout", files.stdout),
                ("stderr", files.stderr),
            )
            for stream, path in streams:
                file = found.setdefault(path, _File(spec, f"{name}.{number}", stream))
                if file.instance != f"{name}.{number}":  # whose lines are whose?
                    found[path] = file._replace(instance=name)
        return found


def _merge(
    files: dict[str, _File], tails: dict[str, LogTail], count: int, grep: str
) -> list[OutputLineView]:
    """In a thread: the lines may be many. What was written last comes last."""
    paths = sorted(tails, key=lambda path: tails[path].modified_at)
    sources = [parse_lines(tails[path].lines, tails[path].modified_at) for path in paths]
    found = (
        (files[paths[number]], line)
        for number, line in merge_lines(sources)
        if grep in line.text.lower()
    )
    return [
        OutputLineView(
            instance=file.instance,
            stream=file.stream,
            at=line.at if line.is_exact else None,
            line=printable(line.text),
        )
        for file, line in deque(found, maxlen=count)
    ]

"""A client of the daemon's API. Fast to import: no pydantic, no HTTP library.

Answers are JSON, read by attribute as `core.model.views` names them; only type checkers import
those models here. The daemon has validated what it sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from portico.client import wire
from portico.core.model import verbs
from portico.core.model.verb import Answer, Verb
from portico.errors import (
    ConfigError,
    Failed,
    NotFound,
    PorticoError,
    Problem,
    Refused,
    Unreachable,
)

if TYPE_CHECKING:
    from portico.core.model.views import ChangeView, ErrorView, EventView

EVENTS_PAGE: Final = 500
SILENCE_TIMEOUT: Final = 60.0
"""Seconds for which a followed change may say nothing before the daemon is asked."""
_ERRORS: Final = 400
_NOT_FOUND = 404


class Record(dict[str, Any]):
    """A JSON object whose members are attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise Failed(f"the daemon has another version: its answer has no {name!r}") from None


class Client:
    """Raises what the daemon raised, as the same PorticoError, or Unreachable."""

    def __init__(self, socket: Path, revive: Callable[[], None] | None = None) -> None:
        """`revive` starts a daemon where none listens any more: it may have left since it was
        last seen, because nothing was wanted of it.
        """
        self._socket, self._revive = socket, revive

    def answers(self) -> bool:
        """Whether a daemon listens. Unreachable where that is another user's."""
        return wire.is_reachable(self._socket)

    def ask(self, verb: Verb[Answer], **arguments: object) -> Answer:
        """The daemon's answer. Arguments are named as in the verb's path, query and body."""
        here = _folder() if verbs.FOLDER in verb.query else {}
        target, body = _target(verb, {**here, **arguments})
        raw = self._ask(verb.method, target, body, verb.seconds)
        return cast("Answer", raw.decode() if verb.shape == "text" else _read(raw))

    def follow(self, change: str, idle: Callable[[], None] = lambda: None) -> Iterator[ChangeView]:
        """The change now, and again whenever it has moved; the last one has ended.

        `idle` is called every `wire.IDLE_INTERVAL` seconds while nothing moves.
        """
        for view in self.stream(verbs.FOLLOW, idle, change=change):
            yield view
            if view.state != "doing":
                return
        raise Unreachable(f"the daemon stopped before change {change} had finished")

    def stream(
        self, verb: Verb[Answer], idle: Callable[[], None] = lambda: None, **arguments: object
    ) -> Iterator[Answer]:
        """One answer after the other, until the daemon ends it. A daemon that does not run is not
        started.
        """
        here = _folder() if verbs.FOLDER in verb.query else {}
        target, _ = _target(verb, {**here, **arguments})
        watch = _SilenceWatch(self, idle)
        try:
            for line in wire.stream(self._socket, target, watch, seconds=verb.seconds):
                watch.reset()
                yield cast("Answer", _read(line))
        except wire.ErrorAnswer as error:
            if error.status == Unreachable.http_status:
                raise Unreachable("the daemon is exiting") from None
            raise _error(error.status, error.body) from None

    def events(self, count: int, **wanted: object) -> list[EventView]:
        """The newest so many, newest first, asked for in pages."""
        found: list[EventView] = []
        while len(found) < count:
            size = min(EVENTS_PAGE, count - len(found))
            before = found[-1].number if found else None
            page = self.ask(verbs.EVENTS, count=size, before=before, **wanted)
            found += page
            if len(page) < size:
                break
        return found

    def _ask(self, method: str, target: str, body: Mapping[str, object], seconds: float) -> bytes:
        # TOML has dates, and JSON has none: the daemon then says which key must be what
        raw = json.dumps(body, default=str).encode() if body else b""
        try:
            status, answer = wire.ask(self._socket, method, target, raw, seconds=seconds)
        except wire.NoListener:
            if self._revive is None:
                raise
            status, answer = Unreachable.http_status, b""
        if status == Unreachable.http_status and self._revive:
            self._revive()
            status, answer = wire.ask(self._socket, method, target, raw, seconds=seconds)
        if status >= _ERRORS:
            raise _error(status, answer)
        return answer


class _SilenceWatch:
    """Called while a stream is silent; makes sure that the daemon still lives."""

    def __init__(self, client: Client, idle: Callable[[], None]) -> None:
        self._client, self._idle, self._ticks = client, idle, 0

    def __call__(self) -> None:
        self._idle()
        self._ticks += 1
        if self._ticks * wire.IDLE_INTERVAL >= SILENCE_TIMEOUT:
            self._client.ask(verbs.VERSION)
            self.reset()

    def reset(self) -> None:
        self._ticks = 0


def _folder() -> dict[str, object]:
    """Where the command was given; nothing where that is removed."""
    try:
        return {verbs.FOLDER: str(Path.cwd())}
    except OSError:
        return {}


def _target(verb: Verb[Any], arguments: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """The path with its query, and what is left for the body."""
    path, query, body = verb.path, list[str](), dict(arguments)
    for name in verb.parameters:
        value = body.pop(name, None)
        if value is None and "[" in path:
            path = re.sub(r"\[.*\]", "", path)
        elif value is None:
            raise ValueError(f"{verb.name} needs {name}")
        else:
            path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    for name in verb.query:
        if (value := body.pop(name, None)) is not None:
            query.append(f"{name}={quote(str(value), safe='')}")
    path = re.sub(r"[][]", "", path)
    return f"{path}?{'&'.join(query)}" if query else path, body


def _read(raw: bytes) -> object:
    try:
        return json.loads(raw, object_hook=Record)
    except ValueError:
        raise Failed(f"the daemon's answer is not JSON: {raw[:80]!r}") from None


def _error(status: int, raw: bytes) -> PorticoError:
    """The error that the daemon raised, as it was."""
    view = cast("ErrorView", _read(raw))
    if view.source:
        problems = [Problem(each.where, each.what, each.hint) for each in view.problems]
        return ConfigError(view.source, problems)
    if view.exit_code == Refused.exit_code:
        return NotFound(view.error) if status == _NOT_FOUND else Refused(view.error)
    return Failed(view.error)

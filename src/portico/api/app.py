"""The API: which verb a request means, and every error as an ErrorView."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec
from pydantic import ValidationError

from portico.api.calls import Call, Result
from portico.api.open_requests import OpenRequests
from portico.api.openapi import PROMETHEUS, document
from portico.core.model.event import Requester
from portico.core.model.verb import Verb
from portico.core.model.verbs import VERBS
from portico.core.model.views import ErrorView, ProblemView, View
from portico.errors import ConfigError, PorticoError

_BAD_REQUEST, _NOT_FOUND, _NOT_ALLOWED, _INTERNAL = 400, 404, 405, 500
_OK: Final = 200
_JSON, _LINES = "application/json", "application/x-ndjson"
_OPENAPI: Final = "/openapi.json"

# Half of the time that pydantic takes for a status of a thousand instances.
json_of: Final = msgspec.json.Encoder(enc_hook=vars).encode
"""Of views, or sequences of them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    """The path and its query, as they came."""
    who: Requester
    """As the system names the other end of the socket."""
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; of several of a name the last one."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    media: str
    body: str | bytes | AsyncIterator[str]
    """A stream has one line a piece, and ends with its connection."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Api:
    """`operations` has a method for every verb."""

    def __init__(self, operations: object, served: Sequence[Verb[Any]] = VERBS) -> None:
        self._operations, self.requests = operations, OpenRequests()
        self.answering = 0
        """How many requests are being answered; a stream that is read counts no more."""
        self._routes = [
            (path.split("/"), Call.of(verb)) for verb in served for path, _ in verb.paths
        ]

    async def answer(self, request: Request) -> Answer:
        self.answering += 1
        try:
            return await self._dispatch(request)
        finally:
            self.answering -= 1

    async def _dispatch(self, request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        if (request.method, path) == ("GET", _OPENAPI):
            return Answer(_OK, _JSON, json.dumps(document(VERBS)))
        calls = {call.verb.method: (call, found) for call, found in self._matching_calls(path)}
        if request.method not in calls:
            status = _NOT_ALLOWED if calls else _NOT_FOUND
            what = "Method Not Allowed" if calls else "Not Found"
            return refusal(status, f"{request.method} {unquote(path)}: {what}")
        call, found = calls[request.method]
        return await self._answer(call, request, found, dict(parse_qsl(query)))

    def _matching_calls(self, path: str) -> Iterator[tuple[Call, Mapping[str, str]]]:
        parts = path.split("/")
        for pattern, call in reversed(self._routes):
            if (values := _values(pattern, parts)) is not None:
                yield call, values

    async def _answer(
        self, call: Call, request: Request, path: Mapping[str, str], query: Mapping[str, str]
    ) -> Answer:
        try:
            body = call.body.model_validate_json(request.body or b"{}")
            result = await call(self._operations, request.who, path, query, body)
        except ValidationError as error:
            return _unreadable(error)
        except PorticoError as error:
            return error_answer(error.http_status, _view(error))
        except Exception as error:  # the boundary: a bug of ours must not be silence to the other
            log.exception("%s %s failed", request.method, request.target)
            text = (
                f"internal error in porticod: {type(error).__name__}: {error}; details in "
                "porticod.log"
            )
            return error_answer(_INTERNAL, ErrorView(error=text, exit_code=1))
        return _success(result, call.verb.status)


def _values(pattern: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    """What a path has in the places of the pattern's names; None if it is not like the pattern."""
    if len(pattern) != len(parts):
        return None
    values = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if wanted.startswith("{") and part:
            values[wanted[1:-1]] = unquote(part)
        elif wanted != part:
            return None
    return values


def refusal(status: int, why: str) -> Answer:
    """What is wrong with the request itself: only a foreign client hears this."""
    return error_answer(status, ErrorView(error=f"{why}; nothing was changed", exit_code=2))


def error_answer(status: int, view: ErrorView) -> Answer:
    return Answer(status, _JSON, json_of(view))


def _success(result: Result, status: int) -> Answer:
    if isinstance(result, str):
        return Answer(status, PROMETHEUS, result)
    if isinstance(result, AsyncIterator):
        return Answer(status, _LINES, _lines(result))
    return Answer(status, _JSON, json_of(result))


async def _lines(views: AsyncIterator[View]) -> AsyncIterator[str]:
    """A stream that has begun has no status left to fail with: it ends, and the log says why."""
    try:
        async for view in views:
            yield json_of(view).decode() + "\n"
    except Exception:
        log.exception("a followed stream failed")


def _view(error: PorticoError) -> ErrorView:
    if isinstance(error, ConfigError):
        problems = tuple(
            ProblemView(where=each.where, what=each.what, hint=each.hint)
            for each in error.problems
        )
        return ErrorView(
            error=str(error), exit_code=error.exit_code, source=error.source, problems=problems
        )
    return ErrorView(error=str(error), exit_code=error.exit_code)


def _unreadable(error: ValidationError) -> Answer:
    """The request itself, not a file in it, is wrong: only a foreign client does this."""
    problems = tuple(
        ProblemView(where=".".join(map(str, each["loc"])) or "body", what=each["msg"])
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    )
    listed = "; ".join(f"{each.where}: {each.what}" for each in problems)
    text = f"cannot read the request: {listed}; nothing was changed"
    return error_answer(_BAD_REQUEST, ErrorView(error=text, exit_code=2, problems=problems))

"""The API as a Starlette application: every verb, and every error as an ErrorView."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from portico.api.calls import Call, Result
from portico.api.openapi import PROMETHEUS, document
from portico.core.model.verbs import VERBS
from portico.core.model.views import ErrorView, ProblemView, View
from portico.errors import ConfigError, PorticoError

LARGEST_BODY: Final = 32 << 20  # a file of 5,000 sites is below 5 MiB
_BAD_REQUEST, _TOO_LARGE, _INTERNAL = 400, 413, 500
_LINES = "application/x-ndjson"

log = logging.getLogger(__name__)


def build_app(operations: object) -> Starlette:
    """`operations` has a method for every verb."""
    routes = [
        Route(path, partial(_answer, Call.of(verb), operations), methods=[verb.method])
        for verb in VERBS
        for path, _ in verb.paths
    ]
    routes.append(Route("/openapi.json", _openapi))
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error})


async def _answer(call: Call, operations: object, request: Request) -> Response:
    try:
        body = call.body.model_validate_json(await _body(request) or b"{}")
        who = request.client.host if request.client else ""
        result = await call(operations, who, request.path_params, request.query_params, body)
        return _response(result, call.verb.status)
    except ValidationError as error:
        return _unreadable(error)
    except PorticoError as error:
        return _error(_view(error), error.http_status)
    except ClientDisconnect:
        return Response()  # nobody is there to read it
    except HTTPException:
        raise
    except Exception as error:  # the boundary: a bug of ours must not be silence to the other end
        log.exception("%s %s failed", request.method, request.url.path)
        text = f"porticod failed inside: {type(error).__name__}: {error}; its log says where"
        return _error(ErrorView(error=text, exit_code=1), _INTERNAL)


async def _body(request: Request) -> bytes:
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > LARGEST_BODY:
            raise HTTPException(_TOO_LARGE, f"a request has at most {LARGEST_BODY} bytes")
    return bytes(raw)


def _response(result: Result, status: int) -> Response:
    if isinstance(result, str):
        return Response(result, status, media_type=PROMETHEUS)
    if isinstance(result, View):
        return Response(result.model_dump_json(), status, media_type="application/json")
    if isinstance(result, AsyncIterator):
        return StreamingResponse(_lines(result), status, media_type=_LINES)
    listed = ",".join(view.model_dump_json() for view in result)
    return Response(f"[{listed}]", status, media_type="application/json")


async def _lines(views: AsyncIterator[View]) -> AsyncIterator[str]:
    """A stream that has begun has no status left to fail with: it ends, and the log says why."""
    try:
        async for view in views:
            yield view.model_dump_json() + "\n"
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


def _unreadable(error: ValidationError) -> Response:
    """The request itself, not a file in it, is wrong: only a foreign client does this."""
    problems = tuple(
        ProblemView(where=".".join(map(str, each["loc"])) or "body", what=each["msg"])
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    )
    listed = "; ".join(f"{each.where}: {each.what}" for each in problems)
    text = f"cannot read the request: {listed}; nothing was changed"
    return _error(ErrorView(error=text, exit_code=2, problems=problems), _BAD_REQUEST)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else _INTERNAL
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    text = f"{request.method} {request.url.path}: {detail}; nothing was changed"
    return _error(ErrorView(error=text, exit_code=2), status)


def _error(view: ErrorView, status: int) -> Response:
    return Response(view.model_dump_json(), status, media_type="application/json")


async def _openapi(_: Request) -> Response:
    return JSONResponse(document(VERBS))

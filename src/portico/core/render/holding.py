"""A site that is paused with its requests held: they wait for `portico resume`.

    location   every request that is passed on: @hold_N
    @hold_N    waits for discovery, as in `waiting`: its answer comes with `portico resume`
    @again_N   (or @live_N, @stream_N) the first try, if it has come
    @held_N    503 with Retry-After, if it has not

An answer leaves its address in `$upstream_addr`, and its absence leaves nothing. A call of gRPC is
not held: its messages come while it is under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from portico.core.model.names import hold_host
from portico.core.model.place import RenderContext
from portico.core.model.wait import Wait
from portico.core.render.access_log import error_log_path
from portico.core.render.directive import Directive, Raw, directive, milliseconds
from portico.core.render.identity import sign_in_page
from portico.core.render.pages import error_pages, retry_after
from portico.core.render.retries import CODES, LIVE_VARIABLE, STREAMS_VARIABLE, has_stream
from portico.core.render.scope import Scope
from portico.core.render.settings import Settings
from portico.core.render.waiting import RESOLVER_LOG_LEVEL, SECOND_VARIABLE, ZONE

_CODE: Final = "420"
"""One that nginx never answers with by itself."""
_PORT: Final = "2"
"""Tells a question from a try that found no instance, which is on port 1."""
_RESUMED, _RESUMED_STREAM = "portico_resumed", "portico_resumed_stream"


def hold_maps() -> Iterator[Directive]:
    answered = rf"255\.255\.255\.255:{_PORT}$"
    yield directive(
        "map",
        Raw(f'"${LIVE_VARIABLE}:$upstream_addr"'),
        Raw(f"${_RESUMED}"),
        block=(
            directive("volatile"),
            directive("default", "held"),
            directive(f'"~^1:.*{answered}"', "live"),
            directive(f'"~{answered}"', "again"),
        ),
    )
    yield directive(
        "map",
        Raw(f'"${STREAMS_VARIABLE}:$upstream_addr"'),
        Raw(f"${_RESUMED_STREAM}"),
        block=(
            directive("volatile"),
            directive("default", Raw(f"${_RESUMED}")),
            directive(f'"~^1:.*{answered}"', "stream"),
        ),
    )


def hold_gate(scope: Scope, number: int, seconds: float) -> Iterator[Directive]:
    """What a location has instead of the lines that pass requests on."""
    if scope.value(lambda handling: handling.grpc):
        yield from (retry_after(seconds), directive("return", "503"))
        return
    yield directive("error_page", _CODE, "=", f"@hold_{number}")
    yield from error_pages(scope.site)
    yield directive("recursive_error_pages", "on")
    yield directive("return", _CODE)


def hold_locations(
    scope: Scope,
    number: int,
    seconds: float,
    *,
    context: RenderContext,
    settings: Iterable[Directive],
    headers: tuple[Directive, ...],
) -> Iterator[Directive]:
    if scope.value(lambda handling: handling.grpc):
        return
    resumed = _RESUMED_STREAM if has_stream(scope) else _RESUMED
    wait = scope.value(lambda handling: handling.held) or Wait(timeout=seconds)
    lines = (
        *settings,
        directive("error_page", *CODES, "=", Raw(f'"@${{{resumed}}}_{number}"')),
        *sign_in_page(scope),
        *error_pages(scope.site, without=CODES),
        directive("recursive_error_pages", "on"),
        directive("error_log", error_log_path(context.home), RESOLVER_LOG_LEVEL),
        directive("limit_conn", ZONE, str(wait.requests)),
        directive("limit_conn_status", "503"),
        directive("resolver", context.resolver, "ipv6=off"),
        directive("resolver_timeout", milliseconds(seconds)),
        directive(
            "proxy_pass", Raw(f'"http://${{{SECOND_VARIABLE}}}.{hold_host(scope.name)}:{_PORT}"')
        ),
    )
    yield directive("location", f"@hold_{number}", block=lines)
    end = (*headers, retry_after(seconds), directive("return", "503"))
    yield directive("location", f"@held_{number}", block=end)


def hold_settings(own: Settings, seconds: float) -> Settings:
    """A body is kept whole until it can be passed on."""
    return {
        **own,
        "headers": (*own["headers"], retry_after(seconds)),
        "request buffering": (directive("proxy_request_buffering", "on"),),
    }

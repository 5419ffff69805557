"""How requests are treated, as the directives of one level: http, a server or a location."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from portico.core.model.site import RequestSettings, Site
from portico.core.render.directive import Directive, directive, milliseconds, size
from portico.core.render.headers import replaced_headers, request_headers, response_headers
from portico.core.render.identity import client_headers, decision, satisfy_lines
from portico.core.render.limits import (
    connection_limit,
    networks,
    passwords,
    rate_limit,
    retry_header,
)
from portico.core.render.scope import Scope

Settings: TypeAlias = Mapping[str, tuple[Directive, ...]]
"""By group: what nginx inherits from the level above as a whole, or not at all."""

ACCESS_LIMITS: Final = ("rate", "connections", "networks", "passwords", "decision")
"""The groups that may keep a client out."""
COMPRESSION: Final = ("gzip", "brotli", "zstd")
"""The groups that may compress an answer."""
CONNECT_TIMEOUT, TIMEOUT, WEBSOCKET_TIMEOUT = 5.0, 60.0, 3600.0  # seconds
BODY_SIZE = 1 << 20  # bytes


def settings(scope: Scope) -> Settings:
    """Everything that holds in this place, whatever the level above has."""
    return {**common_settings(scope), **_proxy_settings(scope)}


def common_settings(scope: Scope) -> Settings:
    """The part that holds for all requests, wherever they go."""
    return {
        "body": (_body_size(scope),),
        "gzip": (_switch("gzip", value=scope.value(_gzip)),),
        "brotli": _encoder("brotli", scope, scope.value(_brotli)),
        "zstd": _encoder("zstd", scope, scope.value(_zstd)),
        "headers": (*response_headers(scope), *retry_header(scope), *client_headers(scope)),
        "rate": rate_limit(scope),
        "connections": connection_limit(scope),
        "networks": networks(scope),
        "passwords": passwords(scope),
        "decision": decision(scope),
        "satisfaction": satisfy_lines(scope),
    }


def without_access_limits(own: Settings, above: Settings) -> Settings:
    """For a location that is entered only from others, which have let the client in already."""
    access = {
        "networks": directive("allow", "all"),
        "passwords": directive("auth_basic", "off"),
        "decision": directive("auth_request", "off"),
    }
    closed = {part: line for part, line in access.items() if own[part] or above[part]}
    return {**own, **{part: (line,) for part, line in closed.items()}}


def without_compression(own: Settings) -> Settings:
    """For a file that is compressed already."""
    switched = {part: lines for part, lines in own.items() if part in COMPRESSION and lines}
    return {**own, **{part: (directive(part, "off"),) for part in switched}}


def difference(own: Settings, above: Settings) -> Iterator[Directive]:
    """What a level has to write, given what it inherits."""
    for group, directives in own.items():
        if directives != above.get(group):
            yield from directives


def timeouts(scope: Scope, protocol: str) -> Iterator[Directive]:
    for kind, setting, default in (
        ("connect", _connect_timeout, CONNECT_TIMEOUT),
        ("read", _read_timeout, TIMEOUT),
        ("send", _send_timeout, TIMEOUT),
    ):
        value = scope.value(setting)
        seconds = milliseconds(default if value is None else value)
        yield directive(f"{protocol}_{kind}_timeout", seconds)


def read_timeout(scope: Scope) -> float:
    """Seconds that an answer, or its next part, is waited for."""
    value = scope.value(_read_timeout)
    return TIMEOUT if value is None else value


def live_settings(scope: Scope) -> Settings:
    """Where requests stay open, what differs: what is sent piece by piece arrives so."""
    own = scope.value(lambda handling: handling.websocket_timeout)
    longest = max(WEBSOCKET_TIMEOUT, read_timeout(scope))
    silence = milliseconds(longest if own is None else own)
    return {
        "read": (directive("proxy_read_timeout", silence),),
        "send": (directive("proxy_send_timeout", silence),),
        "buffering": (directive("proxy_buffering", "off"),),
    }


def _proxy_settings(scope: Scope) -> Settings:
    connect, read, send = timeouts(scope, "proxy")
    return {
        "connect": (connect,),
        "read": (read,),
        "send": (send,),
        "buffering": (_switch("proxy_buffering", value=scope.value(_buffering)),),
        "request buffering": request_buffer(scope),
        "request headers": request_headers(scope),
        "replaced headers": replaced_headers(scope),
    }


def request_buffer(scope: Scope) -> tuple[Directive, ...]:
    """For an answer nginx looks where a piece is smaller than what it holds of the body."""
    if scope.value(_request_buffering) is not False:
        return (directive("proxy_request_buffering", "on"),)
    return (
        directive("proxy_request_buffering", "off"),
        directive("client_body_buffer_size", "64k"),
        directive("sendfile_max_chunk", "32k"),
    )


def _body_size(scope: Scope) -> Directive:
    """A call of gRPC may send messages for as long as it lasts."""
    value = scope.value(lambda handling: handling.client_max_body_size)
    default = 0 if scope.value(lambda handling: handling.grpc) else BODY_SIZE
    return directive("client_max_body_size", size(default if value is None else value))


def _switch(name: str, *, value: bool | None) -> Directive:
    return directive(name, "off" if value is False else "on")


def _encoder(name: str, scope: Scope, value: bool | None) -> tuple[Directive, ...]:  # noqa: FBT001
    return () if value is None or name not in scope.encoders else (_switch(name, value=value),)


def _connect_timeout(handling: RequestSettings) -> float | None:
    return handling.proxy_connect_timeout


def _read_timeout(handling: RequestSettings) -> float | None:
    return handling.proxy_read_timeout


def _send_timeout(handling: RequestSettings) -> float | None:
    return handling.proxy_send_timeout


def _buffering(handling: RequestSettings) -> bool | None:
    return handling.buffering


def _request_buffering(handling: RequestSettings) -> bool | None:
    return handling.request_buffering


def _gzip(handling: RequestSettings) -> bool | None:
    return handling.gzip


def _brotli(handling: RequestSettings) -> bool | None:
    return handling.brotli


def _zstd(handling: RequestSettings) -> bool | None:
    return handling.zstd


DEFAULTS: Final = settings(Scope("", Site()))
"""What the http block says, for every site."""

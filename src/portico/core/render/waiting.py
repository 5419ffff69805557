"""Requests that no instance can take now, held until one can.

nginx has no directive for it without its commercial `queue`. It does wait for the answer of a
resolver: a request that met no peer passes to a host whose name only discovery knows, and
discovery answers when nginx has been told of a peer; until then, or for `resolver_timeout`, the
request waits, with its body, and costs no connection to anything. Then it is tried again.

    @again_N   a try failed with nothing sent, or may be repeated: @again_N, or else
    @wait_N    no peer took it: hold, then @again_N (or @live_N) tries again
    @absent_N  held twice, half of the time each: 503 with Retry-After

Who asks in the same second asks with one question. nginx follows ten redirects inside: a choice
among routes, the location of a stream, two more tries, twice held with a try after it, an end and
its page are as many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from portico.core.model.desired import Desired
from portico.core.model.names import wait_host
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.model.wait import Wait
from portico.core.render.access_log import error_log_path
from portico.core.render.directive import Directive, Raw, directive, milliseconds
from portico.core.render.identity import sign_in_page
from portico.core.render.pages import error_pages, retry_after
from portico.core.render.retries import (
    CODES,
    LIVE_VARIABLE,
    NO_PEER_AT_ALL,
    NO_PEER_VARIABLE,
    TIMED_OUT_VARIABLE,
    end_lines,
    going_to,
)
from portico.core.render.scope import Scope

ZONE: Final = "portico_wait"
PLACE_VARIABLE, _WAY_VARIABLE, WAITED_VARIABLE, _LATE_VARIABLE, SECOND_VARIABLE = (
    f"portico_{name}" for name in ("place", "way", "waited", "late", "second")
)
_ROUNDS: Final = 2
_NOWHERE_PEER: Final = r"255\.255\.255\.255:1"
"""What discovery answers for an app without endpoint."""
RESOLVER_LOG_LEVEL: Final = "crit"
"""nginx logs each wait that has ended as an error."""


def wait_of(scope: Scope, upstream: Upstream) -> Wait | None:
    """What holds in this place. No call of gRPC is repeated, so none can be held."""
    wait = scope.value(lambda handling: handling.held)
    is_grpc = scope.value(lambda handling: handling.grpc)
    is_waited_for = upstream.is_discovered and not is_grpc
    return wait if wait and wait.timeout and is_waited_for else None


def app_to_wait_for(name: str, upstream: Upstream, desired: Desired) -> str:
    """The first one that is no backup, or the upstream itself where its servers are checked. A
    request that waits for it is tried on all of them.
    """
    own = (name for name in upstream.apps if not desired.apps[name].app.backup)
    return next(own, upstream.apps[0] if upstream.apps else name)


def wait_maps(scopes: Iterable[Scope], *, is_held: bool) -> Iterator[Directive]:
    """What `holding` needs too. `$upstream_addr` has `, ` for a question to discovery that was
    followed by a try.
    """
    if not is_held and not any(scope.request_settings.wait for scope in scopes):
        return
    waits = (
        rf"(^| ){_NOWHERE_PEER}$",  # discovery has no peer
        r", ",  # after a wait
        r"(^| )[^:, ]+\.again$",  # nginx has no peer
        r"(^| )[^:, ]+ : [^ ,]+$",  # all had failed, and one of them again
        r"^[^ ,]+ : [^ ,]+ : [^ ,]+$",  # three tries
    )
    yield directive("limit_conn_zone", Raw("$server_name"), f"zone={ZONE}:256k")
    waited = f"~(, .*){{{_ROUNDS}}}"
    held = ((rf"~{each}", "wait") for each in waits)
    yield _map("$upstream_addr", PLACE_VARIABLE, f"${_WAY_VARIABLE}", (waited, "absent"), *held)
    yield _map(f"${LIVE_VARIABLE}", _WAY_VARIABLE, "again", ("~1", "live"))
    yield _map("$upstream_addr", WAITED_VARIABLE, "", (waited, "1"))
    yield _map(
        '"$upstream_bytes_sent|$upstream_addr"', _LATE_VARIABLE, "", (r"~^[^|1-9]*\|.*, ", "1")
    )
    yield _map("$msec", SECOND_VARIABLE, "0", ("~^([0-9]+)", "$1"))


def next_try(name: str, wait: Wait | None, upstream: Upstream, desired: Desired) -> str:
    """Where a request goes that failed: `@again_3`, or as the map says. Of a single instance that
    is dying, another try at once would meet the same.
    """
    if wait is None:
        return name
    number = name.rpartition("_")[2]
    return (
        f"@wait_{number}"
        if is_single(upstream, desired)
        else Raw(f'"@${{{PLACE_VARIABLE}}}_{number}"')
    )


def is_single(upstream: Upstream, desired: Desired) -> bool:
    instances = sum(desired.apps[app].instances for app in upstream.apps)
    return instances + len(upstream.servers) == 1


def wait_location(  # noqa: PLR0913 - a location in all that it stands in
    name: str,
    scope: Scope,
    wait: Wait,
    app: str,
    *,
    context: RenderContext,
    settings: Iterable[Directive],
    end: str,
) -> Directive:
    """`app` is the one whose endpoint is waited for."""
    way = Raw(f'"@${{{_WAY_VARIABLE}}}_{name.rpartition("_")[2]}"')
    lines = (
        *settings,
        directive("error_page", *CODES, "=", way),
        *sign_in_page(scope),
        *error_pages(scope.site, without=CODES),
        directive("recursive_error_pages", "on"),
        directive("error_log", error_log_path(context.home), RESOLVER_LOG_LEVEL),
        *end_lines(scope, end, also=NO_PEER_AT_ALL),
        directive("if", Raw(f"(${WAITED_VARIABLE})"), block=going_to(end)),
        *question(wait, app, context),
    )
    return directive("location", name, block=lines)


def question(wait: Wait, app: str, context: RenderContext) -> Iterator[Directive]:
    """What holds a request until discovery answers."""
    yield directive("limit_conn", ZONE, str(wait.requests))
    yield directive("limit_conn_status", "503")
    yield directive("resolver", context.resolver, "ipv6=off")
    yield directive("resolver_timeout", milliseconds(max(0.001, wait.timeout / _ROUNDS)))
    yield directive("proxy_pass", Raw(f'"http://${{{SECOND_VARIABLE}}}.{wait_host(app)}:1"'))


def absent_location(
    name: str, wait: Wait, headers: tuple[Directive, ...], *, is_limited: bool
) -> Directive:
    """The end of a request: 503 if it was held in vain, else as elsewhere."""
    answer = (*headers, retry_after(wait.timeout), directive("return", "503"))
    lines = (
        directive("if", Raw(f"(${TIMED_OUT_VARIABLE})"), block=(directive("return", "504"),)),
        directive("if", Raw(f"(${_LATE_VARIABLE})"), block=answer),
        *(
            (directive("if", Raw(f"(${NO_PEER_VARIABLE})"), block=(directive("return", "503"),)),)
            if is_limited
            else ()
        ),
        directive("return", "502"),
    )
    return directive("location", name, block=lines)


def _map(source: str, name: str, default: str, *lines: tuple[str, str]) -> Directive:
    return directive(
        "map",
        Raw(source),
        Raw(f"${name}"),
        block=(
            directive("volatile"),
            directive("default", Raw(default or '""')),
            *(directive(f'"{pattern}"', Raw(value)) for pattern, value in lines),
        ),
    )

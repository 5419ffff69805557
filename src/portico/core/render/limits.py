"""How much one client may ask for, and who may ask at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from portico.core.model.site import BasicAuth, ConnectionLimit, RateLimit, RequestSettings
from portico.core.render.directive import Directive, Raw, directive
from portico.core.render.scope import Scope, digest

HTPASSWD = "htpasswd"
"""What the names of files with passwords begin with."""
_ZONE_KEYS = {"address": Raw("$binary_remote_addr"), "site": Raw("$server_name")}
_ZONE_SIZES = {"address": "2m", "site": "64k"}  # 2m: states of about 16,000 clients


def limit_zones(scopes: Iterable[Scope]) -> Iterator[Directive]:
    """Shared by all workers and, under the same name, with the generation after this one.

    What a zone counts by is in its name: nginx refuses to reload when that has changed.
    """
    for scope in scopes:
        if (rate := _rate(scope.request_settings)) is not None:
            zone = f"zone={_rate_zone(scope, rate)}:{_ZONE_SIZES[rate.per]}"
            yield directive("limit_req_zone", _ZONE_KEYS[rate.per], zone, f"rate={rate.rate}")
        if (limit := _connections(scope.request_settings)) is not None:
            zone = f"zone={_connection_zone(scope, limit)}:{_ZONE_SIZES[limit.per]}"
            yield directive("limit_conn_zone", _ZONE_KEYS[limit.per], zone)


def refusal_maps(scopes: Iterable[Scope]) -> Iterator[Directive]:
    """When a client that was over a limit may come again, and who is asked for no password."""
    every = list(scopes)
    for seconds in dict.fromkeys(filter(None, map(_retry_after, every))):
        yield directive(
            "map",
            Raw('"$limit_req_status|$limit_conn_status"'),
            Raw(f"${_retry_variable(seconds)}"),
            block=(directive("default", ""), directive('"~REJECTED"', str(seconds))),
        )
    for scope in every:
        if auth := scope.request_settings.basic_auth:
            yield directive(
                "map",
                Raw('"$request_method|$http_origin|$http_access_control_request_method"'),
                Raw(f"${_realm_variable(scope)}"),
                block=(directive("default", auth.realm), directive(r'"~^OPTIONS\|.+\|."', "off")),
            )


def retry_header(scope: Scope) -> Iterator[Directive]:
    """For the client that was refused only: what an app answers has its own (RFC 6585 4)."""
    if seconds := _retry_after(scope):
        yield directive("add_header", "Retry-After", Raw(f"${_retry_variable(seconds)}"), "always")


def rate_limit(scope: Scope) -> tuple[Directive, ...]:
    rate = scope.value(_rate)
    if rate is None:
        return ()
    zone = _rate_zone(scope.origin(_rate), rate)
    burst = (f"burst={rate.burst}",) if rate.burst else ()
    nodelay = ("nodelay",) if rate.burst and rate.nodelay else ()
    return (
        directive("limit_req", f"zone={zone}", *burst, *nodelay),
        directive("limit_req_status", str(rate.status)),
    )


def connection_limit(scope: Scope) -> tuple[Directive, ...]:
    limit = scope.value(_connections)
    if limit is None:
        return ()
    zone = _connection_zone(scope.origin(_connections), limit)
    return (
        directive("limit_conn", zone, str(limit.connections)),
        directive("limit_conn_status", str(limit.status)),
    )


def networks(scope: Scope) -> tuple[Directive, ...]:
    """A route that sets only one of the two lists keeps its site's other one."""
    allow = scope.request_settings.allow or scope.site.allow
    deny = scope.request_settings.deny or scope.site.deny
    return tuple(access_lines(allow, deny))


def access_lines(allow: Iterable[str], deny: Iterable[str]) -> Iterator[Directive]:
    """The first line that fits counts: those denied are so though their network has access."""
    yield from (directive("deny", network) for network in deny)
    if networks := tuple(allow):
        yield from (directive("allow", network) for network in networks)
        yield directive("deny", "all")


def passwords(scope: Scope) -> tuple[Directive, ...]:
    auth = scope.value(_auth)
    if auth is None:
        return ()
    origin = scope.origin(_auth)
    file = origin.path(auth.file) if auth.file else _htpasswd_name(origin)
    # A browser sends no password with the question whether it may ask (Fetch, CORS-preflight).
    realm = Raw(f"${_realm_variable(origin)}")
    return directive("auth_basic", realm), directive("auth_basic_user_file", file)


def htpasswd_files(scopes: Iterable[Scope]) -> Iterator[tuple[str, str]]:
    """Name and text; they lie beside the main file, where nginx looks for relative names."""
    for scope in scopes:
        auth = scope.request_settings.basic_auth
        if auth is not None and not auth.file:
            lines = (f"{name}:{password}\n" for name, password in auth.users.items())
            yield _htpasswd_name(scope), "".join(lines)


def _auth(handling: RequestSettings) -> BasicAuth | None:
    return handling.basic_auth


def _rate(handling: RequestSettings) -> RateLimit | None:
    value = handling.rate_limit
    return RateLimit(rate=value) if isinstance(value, str) else value


def _connections(handling: RequestSettings) -> ConnectionLimit | None:
    value = handling.connection_limit
    return ConnectionLimit(connections=value) if isinstance(value, int) else value


def _retry_after(scope: Scope) -> int:
    """Seconds until one more request is within the rate; 0 without a limit."""
    if rate := scope.value(_rate):
        count, _, unit = rate.rate.partition("r/")
        return math.ceil((60 if unit == "m" else 1) / int(count))
    return 1 if scope.value(_connections) else 0


def _retry_variable(seconds: int) -> str:
    return f"portico_retry_after_{seconds}"


def _realm_variable(scope: Scope) -> str:
    return f"portico_realm_{digest(scope.slug)}"


def _rate_zone(scope: Scope, rate: RateLimit) -> str:
    return f"rate-{rate.per}-{scope.slug}"


def _connection_zone(scope: Scope, limit: ConnectionLimit) -> str:
    return f"connections-{limit.per}-{scope.slug}"


def _htpasswd_name(scope: Scope) -> str:
    """Not to be guessed: workers may read it, so a link in a static folder could publish it."""
    return f"{HTPASSWD}-{scope.slug}-{digest(scope.secret + scope.slug)}"

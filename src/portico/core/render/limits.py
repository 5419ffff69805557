"""How much one client may ask for, and who may ask at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from portico.core.model.site import BasicAuth, ConnectionLimit, Handling, RateLimit
from portico.core.render.directive import Directive, Raw, d
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
        if (rate := _rate(scope.own)) is not None:
            zone = f"zone={_rate_zone(scope, rate)}:{_ZONE_SIZES[rate.per]}"
            yield d("limit_req_zone", _ZONE_KEYS[rate.per], zone, f"rate={rate.rate}")
        if (limit := _connections(scope.own)) is not None:
            zone = f"zone={_connection_zone(scope, limit)}:{_ZONE_SIZES[limit.per]}"
            yield d("limit_conn_zone", _ZONE_KEYS[limit.per], zone)


def rate_limit(scope: Scope) -> tuple[Directive, ...]:
    rate = scope.value(_rate)
    if rate is None:
        return ()
    zone = _rate_zone(scope.origin(_rate), rate)
    burst = (f"burst={rate.burst}",) if rate.burst else ()
    nodelay = ("nodelay",) if rate.burst and rate.nodelay else ()
    return (
        d("limit_req", f"zone={zone}", *burst, *nodelay),
        d("limit_req_status", str(rate.status)),
    )


def connection_limit(scope: Scope) -> tuple[Directive, ...]:
    limit = scope.value(_connections)
    if limit is None:
        return ()
    zone = _connection_zone(scope.origin(_connections), limit)
    return (
        d("limit_conn", zone, str(limit.connections)),
        d("limit_conn_status", str(limit.status)),
    )


def networks(scope: Scope) -> tuple[Directive, ...]:
    """The first line that fits counts. A route that sets only one of the two lists keeps its
    site's other one.
    """
    allow = scope.own.allow or scope.site.allow
    deny = scope.own.deny or scope.site.deny
    return (
        *(d("deny", network) for network in deny),
        *(d("allow", network) for network in allow),
        *((d("deny", "all"),) if allow else ()),
    )


def passwords(scope: Scope) -> tuple[Directive, ...]:
    auth = scope.value(_auth)
    if auth is None:
        return ()
    origin = scope.origin(_auth)
    file = origin.path(auth.file) if auth.file else _htpasswd_name(origin)
    return d("auth_basic", auth.realm), d("auth_basic_user_file", file)


def htpasswd_files(scopes: Iterable[Scope]) -> Iterator[tuple[str, str]]:
    """Name and text; they lie beside the main file, where nginx looks for relative names."""
    for scope in scopes:
        auth = scope.own.basic_auth
        if auth is not None and not auth.file:
            lines = (f"{name}:{password}\n" for name, password in auth.users.items())
            yield _htpasswd_name(scope), "".join(lines)


def _auth(handling: Handling) -> BasicAuth | None:
    return handling.basic_auth


def _rate(handling: Handling) -> RateLimit | None:
    value = handling.rate_limit
    return RateLimit(rate=value) if isinstance(value, str) else value


def _connections(handling: Handling) -> ConnectionLimit | None:
    value = handling.connection_limit
    return ConnectionLimit(connections=value) if isinstance(value, int) else value


def _rate_zone(scope: Scope, rate: RateLimit) -> str:
    return f"rate-{rate.per}-{scope.slug}"


def _connection_zone(scope: Scope, limit: ConnectionLimit) -> str:
    return f"connections-{limit.per}-{scope.slug}"


def _htpasswd_name(scope: Scope) -> str:
    """Not to be guessed: workers may read it, so a link in a static folder could publish it."""
    return f"{HTPASSWD}-{scope.slug}-{digest(scope.secret + scope.slug)}"

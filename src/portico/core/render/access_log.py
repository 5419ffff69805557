"""Access logs: one file a site, JSON or nginx's combined form."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.model.site import Site
from portico.core.model.stream import stream_slug
from portico.core.render.directive import (
    Directive,
    Raw,
    WithDollar,
    directive,
    literal,
    variable_map,
)
from portico.core.render.headers import TRACE
from portico.core.render.scope import Scope, file_name

FORMAT = "portico_json"
STATUS = "portico_status"
ROUTE = "portico_route"
_FIELDS = {
    "time": "$time_iso8601",
    "remote_addr": "$remote_addr",
    "method": "$request_method",
    "uri": "$request_uri",
    "status": f"${STATUS}",
    "bytes": "$body_bytes_sent",
    "bytes_sent": "$bytes_sent",
    "request_length": "$request_length",
    "request_time": "$request_time",
    "upstream_addr": "$upstream_addr",
    "upstream_response_time": "$upstream_response_time",
    "upstream_status": "$upstream_status",
    "upstream_cache_status": "$upstream_cache_status",
    "host": "$host",
    "user_agent": "$http_user_agent",
    "referer": "$http_referer",
    "request_id": "$request_id",
    "traceparent": f"${TRACE}",
    "route": f"${ROUTE}",
    "tls": "$ssl_protocol",
    "connection_requests": "$connection_requests",
}
USUAL_STATUSES = ("200", "204", "206", "301", "302", "304", "308", "401", "403", "404", "499")
"""Found by their hash: 800 instructions a request, where the pattern for all takes 1,400."""
_NUMBERS = {
    *("status", "bytes", "bytes_sent", "request_length", "request_time", "connection_requests"),
}
STREAM_FORMAT = "portico_stream"
_STREAM_FIELDS = {
    "time": "$time_iso8601",
    "remote_addr": "$remote_addr",
    "protocol": "$protocol",
    "status": "$status",
    "bytes_sent": "$bytes_sent",
    "bytes_received": "$bytes_received",
    "session_time": "$session_time",
    "upstream_addr": "$upstream_addr",
    "upstream_connect_time": "$upstream_connect_time",
}
_STREAM_NUMBERS = {"status", "bytes_sent", "bytes_received", "session_time"}
_STREAM_COMBINED = (
    "$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time "
    '"$upstream_addr"'
)
"""That of nginx's documentation (ngx_stream_log_module)."""


def log_basics() -> tuple[Directive, ...]:
    """Statuses below 100, those of requests that made no sense, are written by nginx with
    zeros before them; JSON has no such numbers.
    """
    return (
        variable_map(
            "$status",
            STATUS,
            "0",
            *(directive(code, code) for code in USUAL_STATUSES),
            directive('"~^0*([1-9][0-9]*)$"', Raw("$1")),
        ),
        directive("access_log", "off"),
    )


def log_format(desired: Desired) -> Iterator[Directive]:
    """A field that would be empty in every line is written so: nginx asks for it at no request."""
    sites = desired.sites.values()
    has_routes = any(site.routes for site in sites)
    is_cached = any(each.cache for site in sites for each in site.handlings())
    used = {"route": has_routes, "upstream_cache_status": is_cached}
    fields = {name: value if used.get(name, True) else "" for name, value in _FIELDS.items()}
    if has_routes:
        yield directive(
            "geo", Raw(f"${ROUTE}"), block=(directive("default", ""),)
        )  # where no route takes it
    yield directive("log_format", FORMAT, "escape=json", _json(fields, _NUMBERS))


def site_log(
    name: str, site: Site, desired: Desired, context: RenderContext
) -> tuple[Directive, ...]:
    return (access_log(file_name(name), desired, context),) if site.access_log else ()


def route_mark(scope: Scope) -> tuple[Directive, ...]:
    """Has the log say which route took the request."""
    return (
        (directive("set", Raw(f"${ROUTE}"), WithDollar(literal(scope.label))),)
        if scope.label
        else ()
    )


def stream_log_format(desired: Desired) -> Directive:
    form = _json(_STREAM_FIELDS, _STREAM_NUMBERS)
    if desired.edge.access_log_format != "json":
        return directive("log_format", STREAM_FORMAT, Raw(f"'{_STREAM_COMBINED}'"))
    return directive("log_format", STREAM_FORMAT, "escape=json", form)


def stream_log(key: str, context: RenderContext) -> Directive:
    return _log_directive(access_log_path(context.home, stream_log_name(key)), STREAM_FORMAT)


def stream_log_name(key: str) -> str:
    """No domain has a `_` in it."""
    return f"_stream_{stream_slug(key)}"


def error_log_path(home: str) -> str:
    return f"{home}/logs/nginx/error.log"


def access_log_path(home: str, name: str) -> str:
    return f"{home}/logs/sites/{name}.access.log"


def access_log(name: str, desired: Desired, context: RenderContext) -> Directive:
    """Written in pieces of 32 KiB, and within a second."""
    path = access_log_path(context.home, name)
    form = FORMAT if desired.edge.access_log_format == "json" else "combined"
    return _log_directive(path, form)


def _log_directive(path: str, form: str) -> Directive:
    return directive("access_log", path, form, "buffer=32k", "flush=1s")


def _json(fields: Mapping[str, str], numbers: Collection[str]) -> Raw:
    pairs = (
        f'"{name}":{value}' if name in numbers else f'"{name}":"{value}"'
        for name, value in fields.items()
    )
    return Raw("'{" + ",".join(pairs) + "}'")

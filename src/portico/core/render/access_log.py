"""Access logs: one file a site, JSON or nginx's combined form."""

from __future__ import annotations

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.model.site import Site
from portico.core.render.directive import Directive, Raw, d
from portico.core.render.scope import file_name

FORMAT = "portico_json"
STATUS = "portico_status"
_FIELDS = {
    "time": "$time_iso8601",
    "remote_addr": "$remote_addr",
    "method": "$request_method",
    "uri": "$request_uri",
    "status": f"${STATUS}",
    "bytes": "$body_bytes_sent",
    "request_time": "$request_time",
    "upstream_addr": "$upstream_addr",
    "upstream_response_time": "$upstream_response_time",
    "upstream_status": "$upstream_status",
    "host": "$host",
    "user_agent": "$http_user_agent",
    "referer": "$http_referer",
    "request_id": "$request_id",
    "tls": "$ssl_protocol",
}
_NUMBERS = {"status", "bytes", "request_time"}


def log_basics() -> tuple[Directive, ...]:
    """Statuses below 100, those of requests that made no sense, are written by nginx with
    zeros before them; JSON has no such numbers.
    """
    fields = (
        f'"{name}":{value}' if name in _NUMBERS else f'"{name}":"{value}"'
        for name, value in _FIELDS.items()
    )
    return (
        d(
            "map",
            Raw("$status"),
            Raw(f"${STATUS}"),
            block=(d("default", "0"), d('"~^0*([1-9][0-9]*)$"', Raw("$1"))),
        ),
        d("log_format", FORMAT, "escape=json", Raw("'{" + ",".join(fields) + "}'")),
        d("access_log", "off"),
    )


def site_log(
    name: str, site: Site, desired: Desired, context: RenderContext
) -> tuple[Directive, ...]:
    return (access_log(file_name(name), desired, context),) if site.access_log else ()


def error_log_path(home: str) -> str:
    return f"{home}/logs/nginx/error.log"


def access_log_path(home: str, name: str) -> str:
    return f"{home}/logs/sites/{name}.access.log"


def access_log(name: str, desired: Desired, context: RenderContext) -> Directive:
    """Written in pieces of 32 KiB, and within a second."""
    path = access_log_path(context.home, name)
    form = FORMAT if desired.edge.access_log_format == "json" else "combined"
    return d("access_log", path, form, "buffer=32k", "flush=1s")

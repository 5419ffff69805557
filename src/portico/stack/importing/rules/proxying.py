"""How requests are passed on: timeouts, buffers, headers."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.core.model.site import Site
from portico.core.render.headers import request_headers
from portico.core.render.scope import Scope
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    NO_VALUE,
    Outcome,
    Part,
    Rule,
    Rules,
    done,
    lost,
    no_equal,
)
from portico.stack.importing.values import (
    duration,
    header_value,
    is_on,
    same_duration,
    size,
    whole_number,
)

_TIMEOUTS: Final = {"proxy_connect_timeout": "5s", "proxy_read_timeout": "60s"}
_UPGRADE: Final = frozenset({"$http_upgrade", "websocket", ""})
_CONNECTION: Final = frozenset({"upgrade", "", "close", "keep-alive"})
_SCHEME: Final = frozenset({"$scheme", "https", "http"})
_OWN_HEADERS: Final = {
    "host": frozenset({"$host", "$http_host", "$host:$server_port", "$server_name"}),
    "x-real-ip": frozenset({"$remote_addr", "$realip_remote_addr"}),
    "x-forwarded-for": frozenset({"$proxy_add_x_forwarded_for", "$remote_addr"}),
    "x-forwarded-proto": _SCHEME,
    "x-forwarded-protocol": _SCHEME,
    "x-forwarded-scheme": _SCHEME,
    "x-scheme": _SCHEME,
    "x-url-scheme": _SCHEME,
    "x-forwarded-host": frozenset({"$host", "$http_host", "$server_name"}),
    "x-forwarded-server": frozenset({"$host", "$hostname", "$server_name"}),
    "x-forwarded-port": frozenset({"$server_port", "443", "80"}),
    "x-forwarded-ssl": frozenset({"on"}),
    "x-request-id": frozenset({"$request_id"}),
    "upgrade": _UPGRADE,
    "connection": _CONNECTION,
    "proxy": frozenset({""}),
}
"""Headers that Portico sets, and the values that mean the same."""
_HOST: Final = frozenset({"host", "upgrade", "connection"})


def timeout(line: Line, part: Part) -> Outcome:
    key = line.name.replace("grpc_", "proxy_")
    value = duration(line.args[0])
    if value is None or value == "0s":
        return no_equal(NO_VALUE)
    if same_duration(value, _TIMEOUTS.get(key, "60s")) and key not in _table_above(part):
        return DONE_OUTCOME
    return part.set(key, value, line)


def switch(key: str, *, default: bool = True) -> Rule:
    def rule(line: Line, part: Part) -> Outcome:
        value = is_on(line.args[0])
        if value is default and key not in _table_above(part):
            return DONE_OUTCOME
        return part.set(key, value, line)

    return rule


def body_size(line: Line, part: Part) -> Outcome:
    value = size(line.args[0])
    if value is None:
        return no_equal(NO_VALUE)
    if value == "1m" and "client_max_body_size" not in _table_above(part):
        return DONE_OUTCOME
    return part.set("client_max_body_size", value, line)


def sets_header(line: Line, part: Part) -> Outcome:
    name, value = line.args[0], line.args[1] if len(line.args) > 1 else ""
    if is_ours(name, value, part):
        return DONE_OUTCOME
    if name.lower() in _OWN_HEADERS and name.lower() not in _HOST and "$" in value:
        return done("Portico sets this header itself")
    if name.lower() == "host" and value == "$proxy_host":
        value = _host_of_upstream(part)
    text = header_value(value)
    if text is None or name.lower() == "connection":
        why = "Portico's headers have no such variable"
        return lost(f"{why}, and it sets this one itself") if _is_set(name) else no_equal(why)
    return part.add("request_headers", name, text, line)


def _host_of_upstream(part: Part) -> str:
    line = part.first("proxy_pass", "grpc_pass")
    return re.split("[/;]", line.args[0].partition("://")[2])[0] if line and line.args else "$"


@cache
def _is_set(name: str) -> bool:
    """Whether Portico sets or removes this header on every request: nginx would send it twice."""
    lines = request_headers(Scope("", Site()))
    return name.lower() in {line.head.split()[1].strip('"').lower() for line in lines}


def is_ours(name: str, value: str, part: Part) -> bool:
    """Whether Portico sets this header to this value anyway."""
    own = _OWN_HEADERS.get(name.lower(), ())
    if value in own:
        return True
    variable = part.definitions.variables.get(value.lstrip("$"))
    source = variable.args[0] if variable else ""
    return name.lower() in {"connection", "upgrade"} and source == "$http_upgrade"


def hides(line: Line, part: Part) -> Outcome:
    """An empty value of ours removes the app's."""
    return part.add("headers", line.args[0], "", line)


def http_version(line: Line, _: Part) -> Outcome:
    if line.args == ("1.0",):
        return done("Portico speaks HTTP/1.1 to apps")
    return DONE_OUTCOME


def next_upstream(line: Line, part: Part) -> Outcome:
    if "off" in line.args:
        return part.set("retries", 0, line)
    if "non_idempotent" in line.args:
        return done("Portico repeats GET, HEAD and OPTIONS only")
    return DONE_OUTCOME


def tries(line: Line, part: Part) -> Outcome:
    number = whole_number(line.args[0])
    if number is None or number == 0:
        return DONE_OUTCOME
    return DONE_OUTCOME if number == 2 else part.set("retries", min(number - 1, 3), line)  # noqa: PLR2004


def redirects(line: Line, _: Part) -> Outcome:
    """With Host passed on, an app's redirects are right."""
    if line.args[0] in {"off", "default"}:
        return DONE_OUTCOME
    return no_equal("Portico passes Location on as the app sends it")


def ssl_setting(line: Line, _: Part) -> Outcome:
    """Of an upstream with TLS; `location` reads them where requests are passed on."""
    return no_equal(NO_VALUE) if "$" in "".join(line.args) else CARRIED_OUTCOME


def _table_above(part: Part) -> dict[str, object]:
    return part.above.table if part.above else {}


RULES: Final[Rules] = {
    **dict.fromkeys(
        (
            *("proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout"),
            *("grpc_connect_timeout", "grpc_read_timeout", "grpc_send_timeout"),
        ),
        timeout,
    ),
    "proxy_buffering": switch("buffering"),
    "proxy_request_buffering": switch("request_buffering"),
    "proxy_intercept_errors": switch("proxy_intercept_errors", default=False),
    "client_max_body_size": body_size,
    "proxy_set_header": sets_header,
    "grpc_set_header": sets_header,
    "proxy_hide_header": hides,
    "proxy_http_version": http_version,
    "proxy_next_upstream": next_upstream,
    "proxy_next_upstream_tries": tries,
    "proxy_redirect": redirects,
    **dict.fromkeys(
        (
            *("proxy_ssl_server_name", "proxy_ssl_name", "proxy_ssl_verify"),
            *("proxy_ssl_trusted_certificate", "proxy_ssl_session_reuse", "proxy_ssl_protocols"),
        ),
        ssl_setting,
    ),
}

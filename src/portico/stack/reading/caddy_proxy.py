"""Caddy's `reverse_proxy` as an upstream of nginx, and what goes with it as keys of a route."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.model import NO_EQUIVALENT

_POLICIES: Final = {
    "random": "random", "random_choose": "random two", "least_conn": "least_conn",
    "round_robin": "", "ip_hash": "ip_hash", "client_ip_hash": "ip_hash",
    "uri_hash": "hash $request_uri",
}  # fmt: skip
_PORTICO_HEADERS: Final = re.compile(r"x-(forwarded-(for|proto|host)|real-ip)|host", re.IGNORECASE)
_VARIABLES: Final = {
    "{remote_host}": "$remote_addr", "{http.request.remote.host}": "$remote_addr",
    "{host}": "$host", "{scheme}": "$scheme", "{uri}": "$request_uri",
    "{method}": "$request_method",
}  # fmt: skip
_PLACEHOLDER: Final = re.compile(r"\{[^}]*\}")
_RANGE: Final = re.compile(r"(.*:)(\d{1,5})-(\d{1,5})")
_MAX_PORTS: Final = 1000


@dataclass
class Proxy:
    addresses: list[str] = field(default_factory=list)
    """As nginx's `server` takes them."""
    lines: list[tuple[str, ...]] = field(default_factory=list)
    """Of an upstream, beside its servers."""
    table: dict[str, object] = field(default_factory=dict)
    """Keys of the route."""
    gaps: list[tuple[Line, str]] = field(default_factory=list)


def read_proxy(line: Line, args: Sequence[str]) -> Proxy:
    """`args` are those without a matcher."""
    proxy = Proxy()
    targets = [(line, each) for each in args]
    for inner in line.block or ():
        if inner.name == "to":
            targets += [(inner, each) for each in inner.args]
        elif why := _setting(proxy, inner):
            proxy.gaps.append((inner, why))
    for place, text in targets:
        found = list(_addresses(proxy, text))
        proxy.addresses += found
        if not found:
            proxy.gaps.append((place, f"{text} is not an address that is known here"))
    return proxy


def value_of(text: str) -> str | None:
    """A header's value with nginx's variables; None where it has a placeholder without any."""
    escaped = text.replace("$", "$$")
    filled = _PLACEHOLDER.sub(lambda found: _VARIABLES.get(found[0], found[0]), escaped)
    return None if _PLACEHOLDER.search(filled) else filled


def header(table: dict[str, object], key: str, args: Sequence[str]) -> str:
    """Sets one in `headers` or `request_headers`; or why not."""
    if not args:
        return "it names no header"
    name, values = args[0], args[1:]
    if name[:1] in {"?", ">"} or len(values) > 1 or (name[:1] != "-" and not values):
        return "headers are set or removed, and nothing else"
    value = "" if name[:1] == "-" else value_of(values[0])
    if value is None:
        return "its placeholder has no equivalent"
    headers = table.setdefault(key, {})
    if isinstance(headers, dict):
        headers[name.lstrip("+-")] = value
    return ""


def _setting(proxy: Proxy, line: Line) -> str:  # noqa: C901, PLR0911 - a case for each setting
    """Empty where it is carried over, else why not."""
    match line.name, line.args:
        case "lb_policy", (name, *words):
            return _policy(proxy, name, words)
        case "header_up", args:
            return _header_up(proxy, args)
        case "header_down", args:
            return header(proxy.table, "headers", args)
        case "flush_interval", ("-1",):
            proxy.table["buffering"] = False
            return ""
        case "flush_interval", _:
            return "responses are passed on when nginx's buffer is full, or with buffering = false"
        case "transport", ("http",):
            for inner in line.block or ():
                if why := _transport(proxy, inner):
                    proxy.gaps.append((inner, why))
            return ""
        case (("health_uri" | "health_path" | "health_interval" | "health_timeout"), _):
            return "set health in the app, or in the upstream"
        case "lb_try_duration", _:
            return "set wait in the site, to hold requests while no instance can take them"
        case _:
            return NO_EQUIVALENT


def _policy(proxy: Proxy, name: str, words: Sequence[str]) -> str:
    method = _POLICIES.get(name)
    if name == "cookie":
        proxy.lines.append(("sticky", "cookie", words[0] if words else "lb"))
    elif name in {"header", "query"} and words:
        kind = "http" if name == "header" else "arg"
        key = re.sub(r"\W", "_", words[0]).lower()
        proxy.lines.append(("hash", f"${kind}_{key}"))
    elif method is None:
        return "nginx has no such method"
    elif method:
        proxy.lines.append(tuple(method.split()))
    return ""


def _header_up(proxy: Proxy, args: Sequence[str]) -> str:
    if args and _PORTICO_HEADERS.fullmatch(args[0]) and any("{" in each for each in args[1:]):
        return ""  # Portico sets it anyway
    return header(proxy.table, "request_headers", args)


def _transport(proxy: Proxy, line: Line) -> str:
    keys = {"read_timeout": "proxy_read_timeout", "dial_timeout": "proxy_connect_timeout",
            "write_timeout": "proxy_send_timeout"}  # fmt: skip
    if line.name in keys and line.args:
        proxy.table[keys[line.name]] = line.args[0]
        return ""
    if line.name == "versions" and "h2c" in line.args:
        proxy.table["grpc"] = True
        return ""
    return f"{NO_EQUIVALENT}; see the keys of [upstreams.NAME] for TLS"


def _addresses(proxy: Proxy, text: str) -> Iterator[str]:
    """Empty where it has a placeholder, or TLS, which belongs to an upstream."""
    scheme, has_scheme, rest = text.partition("://")
    plain = rest if has_scheme else text
    if has_scheme and scheme == "h2c":
        proxy.table["grpc"] = True
    elif has_scheme and scheme != "http":
        return
    if plain.startswith("unix/"):
        yield f"unix:/{plain.removeprefix('unix/').lstrip('/')}"
    elif "{" in plain or "/" in plain.rstrip("/"):
        return
    elif found := _RANGE.fullmatch(plain):
        first, last = int(found[2]), int(found[3])
        for port in range(first, min(last, first + _MAX_PORTS - 1) + 1):
            yield f"{found[1] if found[1] != ':' else 'localhost:'}{port}"
    else:
        yield f"localhost{plain}" if plain.startswith(":") else plain.rstrip("/")

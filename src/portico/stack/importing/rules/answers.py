"""What answers get: headers, compression, error pages, and whether they are kept in a cache."""

from __future__ import annotations

import re
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    Outcome,
    Part,
    Rules,
    done,
    lost,
    no_equal,
)
from portico.stack.importing.paths import from_prefix
from portico.stack.importing.rules.proxying import switch
from portico.stack.importing.values import duration, header_value, is_on, size, whole_number

_HSTS: Final = "strict-transport-security"
_YEAR: Final = 31536000
_MAX_ERROR: Final = 599
_CACHE_KEYS: Final = frozenset(
    {
        "$scheme$proxy_host$request_uri",
        "$scheme$host$request_uri",
        "$scheme$request_method$host$request_uri",
        "$scheme$proxy_host$uri$is_args$args",
        "$scheme$host$uri$is_args$args",
        "$host$request_uri",
        "$request_uri",
    }
)
"""What Portico's default identifies an answer by."""
_STORED_STATUSES: Final = ("200", "301", "302")


def header(line: Line, part: Part) -> Outcome:
    name, value = line.args[0], line.args[1] if len(line.args) > 1 else ""
    if value == "$upstream_cache_status":
        return (
            CARRIED_OUTCOME
            if part.argument("proxy_cache", "off") != "off"
            else lost("there is no cache")
        )
    if name.lower() == _HSTS and (table := _hsts(value)) is not None:
        if part.above:
            return (
                DONE_OUTCOME if part.above.table.get("hsts") == table else no_equal(_SITE_REASON)
            )
        return part.set("hsts", table, line) if part.tls else lost("it needs HTTPS (RFC 6797 7.2)")
    text = header_value(value)
    if text is None:
        return no_equal("Portico's headers have no such variable")
    if name.lower() == "alt-svc":
        return done("`[edge] http3 = true` announces HTTP/3")
    return part.add("headers", name, text, line)


_SITE_REASON: Final = "it is a setting of the whole site"


def _hsts(value: str) -> object | None:
    words = [word.strip().lower() for word in value.split(";") if word.strip()]
    found = [re.fullmatch(r'max-age="?([0-9]+)"?', word) for word in words]
    ages = [match[1] for match in found if match]
    if not ages or int(ages[0]) == 0:
        return None
    age = duration(ages[0])
    table: dict[str, object] = {} if int(ages[0]) == _YEAR else {"max_age": age}
    if "includesubdomains" in words:
        table["include_subdomains"] = True
    if "preload" in words:
        table["preload"] = True
    return table or True


def expiry(_: Line, part: Part) -> Outcome:
    """`files.folder_of` reads it."""
    passed = part.first("proxy_pass", "grpc_pass")
    return no_equal("it is a key of folders here") if passed else CARRIED_OUTCOME


def error_page(line: Line, part: Part) -> Outcome:
    *codes, to = line.args
    if part.above:
        return no_equal("error pages are those of the whole site")
    if not to.startswith("/") or any(code.startswith("=") for code in codes):
        return no_equal("error_pages are files, with the status of the error")
    file = _page_file(to, part)
    if file is None:
        return no_equal("the file of this page is not below a root")
    for code in codes:
        if not code.isdecimal() or not 300 <= int(code) <= _MAX_ERROR or code == "499":  # noqa: PLR2004
            return no_equal(f"no error_pages for {code}")
    for code in codes:
        part.add("error_pages", code, file, line)
    part.pages.add(to)
    return CARRIED_OUTCOME


def _page_file(path: str, part: Part) -> str | None:
    """Where nginx finds it: its own location's root, else the server's."""
    for line in part.locations:
        if line.args[-1] == path and line.args[0] in {"=", "^~", path}:
            inner = {each.name: each.args[0] for each in line.block or () if each.args}
            if inner.keys() - {"root", "internal", "allow", "access_log", "log_not_found"}:
                return None
            if "root" in inner and "$" not in inner["root"]:
                return from_prefix(inner["root"]).rstrip("/") + path
    root = part.argument("root")
    return from_prefix(root).rstrip("/") + path if root and "$" not in root else None


def access_log(line: Line, part: Part) -> Outcome:
    if line.args[0] != "off":
        return done("Portico writes its own access log: `portico logs --nginx`")
    if part.above:
        return lost("a route has the access log of its site")
    return part.set("access_log", value=False, line=line)


def cache(line: Line, part: Part) -> Outcome:
    """All lines of it together."""
    return part.decide_group("cache", lambda: _cache(line, part))


def _cache(line: Line, part: Part) -> Outcome:
    name = part.argument("proxy_cache", "off")
    own = next(part.own_lines("proxy_cache"), None)
    if name == "off":
        return (
            part.set("cache", value=False, line=own) if own and _is_cached(part) else DONE_OUTCOME
        )
    zone = part.definitions.caches.get(name)
    table: dict[str, object] = {}
    for each in zone.args if zone else ():
        word, _, value = each.partition("=")
        if word == "max_size":
            table["max_size"] = size(value)
        elif word == "inactive" and duration(value) != "10m":
            table["inactive"] = duration(value)
    if not _validity(table, part) or not _switches(table, part):
        return no_equal("Portico's cache has no such setting")
    return part.set("cache", table or True, own or line)


def _is_cached(part: Part) -> bool:
    return bool(part.above and part.above.table.get("cache"))


def _validity(table: dict[str, object], part: Part) -> bool:
    valid: dict[str, str] = {}
    for line in _lines("proxy_cache_valid", part):
        *codes, text = line.args
        time = duration(text)
        if time is None or time == "0s" or "any" in codes:
            return False
        valid |= dict.fromkeys(codes or _STORED_STATUSES, time)
    times = set(valid.values())
    if valid:
        table["valid"] = (
            times.pop() if len(times) == 1 and {*valid} == {*_STORED_STATUSES} else valid
        )
    key = part.argument("proxy_cache_key")
    if key and key not in _CACHE_KEYS:
        if header_value(key) is None:
            return False
        table["key"] = key
    return True


def _switches(table: dict[str, object], part: Part) -> bool:
    stale = part.first("proxy_cache_use_stale")
    if stale and stale.args != ("off",):
        table["use_stale"] = list(stale.args)
    for name, key in (("proxy_cache_lock", "lock"), ("proxy_cache_min_uses", "min_uses")):
        text = part.argument(name)
        if text and text not in {"off", "1"}:
            table[key] = whole_number(text) if text.isdecimal() else is_on(text)
    for name, key in (("proxy_cache_bypass", "bypass"), ("proxy_no_cache", "no_cache")):
        variables = [word for each in _lines(name, part) for word in each.args]
        if any(header_value(each) is None or not each.startswith("$") for each in variables):
            return False
        if variables and key == "no_cache" and variables == table.get("bypass"):
            continue  # what is passed is not stored anyway
        if variables:
            table[key] = variables
    if any(line.args[1:2] == ("$upstream_cache_status",) for line in _lines("add_header", part)):
        table["x_cache"] = True
    return True


def _lines(name: str, part: Part) -> list[Line]:
    own = list(part.own_lines(name))
    return own or (_lines(name, part.above) if part.above else [])


def cache_methods(line: Line, _: Part) -> Outcome:
    return (
        DONE_OUTCOME
        if {*line.args} <= {"GET", "HEAD"}
        else lost("Portico keeps answers of GET and HEAD")
    )


RULES: Final[Rules] = {
    "add_header": header,
    "expires": expiry,
    "gzip": switch("gzip"),
    "brotli": switch("brotli", default=False),
    "zstd": switch("zstd", default=False),
    "error_page": error_page,
    "access_log": access_log,
    **dict.fromkeys(
        (
            *("proxy_cache", "proxy_cache_valid", "proxy_cache_key", "proxy_cache_use_stale"),
            *("proxy_cache_lock", "proxy_cache_min_uses", "proxy_cache_bypass", "proxy_no_cache"),
        ),
        cache,
    ),
    "proxy_cache_methods": cache_methods,
}

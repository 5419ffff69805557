"""return and rewrite as redirects of ours."""

from __future__ import annotations

import re
from typing import Final

from portico.core.model.captures import groups, has_stray_dollar, references

_CODES: Final = frozenset({"301", "302", "303", "307", "308"})
_PATH: Final = ("$request_uri", "$uri$is_args$args", "$uri?$args", "$uri?$query_string", "$uri")
_QUERY: Final = ("$is_args$args", "$is_args$query_string", "?$args", "?$query_string")
_OWN_HOSTS: Final = ("$host", "$server_name", "$http_host")
_TARGET: Final = re.compile(r"(https?://|/)[^\x00-\x20\x7f\"\\]*")
_PERMANENT_CODE: Final = 308


def redirect_of(args: tuple[str, ...], path: str, *, name: str, tls: bool) -> object | None:
    """What `return CODE URL` says, for the key `redirect`; `name` is the server's only name."""
    code, url = args if len(args) == 2 else ("302", args[0]) if len(args) == 1 else ("", "")  # noqa: PLR2004
    if code not in _CODES or not url:
        return None
    found = _table(url, path, name=name, tls=tls)
    return None if found is None else _with_status(found, int(code))


def redirect_of_rewrite(args: tuple[str, ...]) -> tuple[str, object] | None:
    """The route and redirect of `rewrite REGEX URL permanent`; None for one that stays inside."""
    if len(args) < 2 or "$" in args[0].replace("$)", ")").rstrip("$"):  # noqa: PLR2004
        return None
    regex, url = args[0], args[1]
    flag = args[2] if len(args) > 2 else ""  # noqa: PLR2004
    outside = re.match(r"https?://|\$scheme", url)
    if flag not in {"permanent", "redirect"} and not (outside and not flag):
        return None
    key = f"~ {regex}"
    keeps_query = not url.endswith("?")
    to = url.rstrip("?")
    if not _is_target(to, key):
        return None
    table: dict[str, object] = {"to": to}
    if keeps_query:
        table["keep_query"] = True
    return key, _with_status(table, 301 if flag == "permanent" else 302)


def _table(url: str, path: str, *, name: str, tls: bool) -> dict[str, object] | None:
    scheme = "https" if tls else "http"
    to = url.replace("$scheme://", f"{scheme}://").replace("${host}", "$host")
    for variable in _OWN_HOSTS:
        if name and "*" not in name:
            to = re.sub(rf"^(https?://){re.escape(variable)}(?=[/$:]|$)", rf"\g<1>{name}", to)
    table: dict[str, object] = {}
    for ending in _PATH:
        if to.endswith(ending):
            to, table["keep_path"] = to[: -len(ending)], True
            break
    for ending in _QUERY if not table else ():
        if to.endswith(ending):
            to, table["keep_query"] = to[: -len(ending)], True
            break
    if to == "" and table:
        return None
    return {"to": to, **table} if _is_target(to, path) else None


def _is_target(to: str, key: str) -> bool:
    if not _TARGET.fullmatch(to) or has_stray_dollar(to):
        return False
    used = references(to)
    count, names = groups(key) if key.startswith("~") else (0, ())
    known = all(name in names or (name.isdigit() and int(name) <= count) for name in used)
    host = re.match(r"https?://[^/?#]*", to)
    return known and not (host and references(host[0]))


def _with_status(table: dict[str, object], status: int) -> object:
    if status != _PERMANENT_CODE:
        return {**table, "status": status}
    return table["to"] if len(table) == 1 else table

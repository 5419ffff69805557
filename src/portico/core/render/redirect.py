"""Redirects: to a fixed place, or with what the route's regex captures of the path.

A capture is of the path as the client sent it, byte for byte: nginx's own `$1` is of the decoded
path, where `%0d%0a` would end the header. Where a path only fits decoded (`/%61bc` for `^/abc`),
what it captures is used if nothing in that needs encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from portico.core.model.captures import expand, references
from portico.core.model.site import Redirect
from portico.core.render.directive import (
    Directive,
    Raw,
    WithDollar,
    directive,
    literal,
    variable_map,
)
from portico.core.render.directive import quote as to_argument
from portico.core.render.scope import Scope, digest

_SENT, _DECODED, _CAPTURED, _MORE_ARGS = (
    f"portico_{name}" for name in ("sent", "decoded", "captured", "more_args")
)
_SENT_PATH: Final = f"{_SENT}_path"
_SAME_HOST: Final = "_same_host"
_UNRESERVED_BYTES: Final = r"[A-Za-z0-9/._~!$&'()*+,;=:@\x80-\xff-]"
"""What stands in a path for itself (RFC 3986 3.3), and letters of UTF-8, which browsers encode."""


def redirect_of(scope: Scope) -> Redirect | None:
    redirect = scope.target.redirect
    return Redirect(to=redirect) if isinstance(redirect, str) else redirect


def redirect_maps(scopes: Iterable[Scope]) -> Iterator[Directive]:
    tables = [(scope, table) for scope in scopes if (table := redirect_of(scope))]
    if any(table.keep_query and "?" in table.to for _, table in tables):
        lines = (directive("default", Raw('"&$args"')), directive('""', ""))
        yield directive("map", Raw("$args"), Raw(f"${_MORE_ARGS}"), block=lines)
    with_captures = [(scope, table) for scope, table in tables if _has_captures(scope, table)]
    if with_captures:
        yield _map("$request_uri", _SENT_PATH, '"~^([^?#]*)"', Raw("$1"))
    for scope, table in with_captures:
        pattern = to_argument(WithDollar("".join(_regex(scope))))
        target = _target(scope, table)
        yield _map(f"${_SENT_PATH}", _variable(_SENT, scope), pattern, target)
        yield from _decoded_maps(scope, pattern, target, references(table.to))
        if _is_on_same_host(table):
            yield from map(_same_host_map, _variables(scope))


def redirect_lines(scope: Scope, table: Redirect) -> Iterator[Directive]:
    """The last lines of a location. `return` is safe in an `if`."""
    status = str(table.status)
    if not _has_captures(scope, table):
        yield directive("return", status, _target(scope, table))
        return
    for variable in _variables(scope):
        to = Raw(f"${variable}{_SAME_HOST if _is_on_same_host(table) else ''}")
        yield directive("if", Raw(f"({to})"), block=(directive("return", status, to),))
    yield directive("return", "404")


def _decoded_maps(
    scope: Scope, pattern: str, target: WithDollar, captures: Iterable[str]
) -> Iterator[Directive]:
    any_text, captured = _variable("portico_any", scope), _variable(_CAPTURED, scope)
    every = expand("".join(f"${{{name}}}" for name in captures), literal)
    yield _map("$uri", any_text, pattern, target)
    yield _map("$uri", captured, pattern, WithDollar(f"={every}"))
    plain = to_argument(WithDollar(f"~^={_UNRESERVED_BYTES}*$"))
    yield _map(f"${captured}", _variable(_DECODED, scope), plain, Raw(f"${any_text}"))


def _same_host_map(variable: str) -> Directive:
    r"""What `/$1` becomes never begins with `//` or `/\`: there another host's name follows."""
    pattern = to_argument(WithDollar(r"~^/[/\\]+(.*)$"))
    return _map(f"${variable}", f"{variable}{_SAME_HOST}", pattern, Raw('"/$1"'), f"${variable}")


def _map(source: str, variable: str, pattern: str, value: str, default: str = '""') -> Directive:
    return variable_map(source, variable, default, directive(pattern, value))


def _target(scope: Scope, table: Redirect) -> WithDollar:
    if table.keep_path:
        return WithDollar(literal(table.to.rstrip("/")) + "$request_uri")
    place, hash_sign, fragment = table.to.partition("#")
    query = (f"${_MORE_ARGS}" if "?" in place else "$is_args$args") if table.keep_query else ""
    return WithDollar(_text(scope, place) + query + _text(scope, hash_sign + fragment))


def _text(scope: Scope, text: str) -> str:
    return expand(text, literal) if _regex(scope) else literal(text.replace("$$", "$"))


def _has_captures(scope: Scope, table: Redirect) -> bool:
    return bool(_regex(scope) and references(table.to))


def _regex(scope: Scope) -> tuple[str, str] | tuple[()]:
    """The modifier of nginx and the regex of the route; empty for another one."""
    found = re.fullmatch(r"(~\*?)\s*(\S.*)", scope.key, re.DOTALL)
    return (found[1], found[2]) if found else ()


def _is_on_same_host(table: Redirect) -> bool:
    """Whether a capture comes right after the first slash."""
    return table.to.startswith("/$")


def _variables(scope: Scope) -> tuple[str, str]:
    return _variable(_SENT, scope), _variable(_DECODED, scope)


def _variable(kind: str, scope: Scope) -> str:
    return f"{kind}_{digest(scope.slug)}"

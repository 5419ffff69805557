"""Which of several routes with one path takes a request.

A map says of each condition whether it holds, 1 or 0, and another one of the row of them which
route is the first that fits. nginx's maps compare text in any case, so that all are by regex. The
location of the path only moves the request to that route's named location: the request keeps its
path, byte for byte, and what limits or refuses it is said where it arrives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from portico.core.model.match import Match
from portico.core.render.directive import Directive, Raw, WithDollar, directive, variable_map
from portico.core.render.directive import quote as to_argument
from portico.core.render.headers import sets_header
from portico.core.render.scope import Scope, digest


def route_groups(scopes: Sequence[Scope]) -> Iterator[tuple[Scope, ...]]:
    """The routes of a site, those with one path together; `scopes` are the site and its routes."""
    for _, group in groupby(scopes[1:], key=lambda scope: scope.key):
        yield tuple(group)


def is_choice(group: Sequence[Scope]) -> bool:
    return any(scope.route and scope.route.match for scope in group)


def choice_variable(group: Sequence[Scope]) -> str:
    """The variable with what `choice_value` returns of the route that takes the request."""
    return f"portico_choice_{digest(group[0].slug)}"


def choice_value(scope: Scope) -> str:
    return digest(scope.slug)


def choice_maps(sites: Iterable[Sequence[Scope]]) -> Iterator[Directive]:
    choices = [group for scopes in sites for group in route_groups(scopes) if is_choice(group)]
    maps: dict[str, Directive] = {}
    for group in choices:
        for condition in _conditions_of(group):
            maps |= {each.head: each for each in condition.maps}
    yield from maps.values()
    for group in choices:
        yield _choice_map(group)


def choice_header(scope: Scope, group: Sequence[Scope]) -> Iterator[Directive]:
    """For caches: what the answer depends on beside the URL (RFC 9110 12.5.5)."""
    matches = [scope.route.match for scope in group if scope.route and scope.route.match]
    names = [name for match in matches for name in match.header]
    names += ["Cookie"] if any(match.cookie for match in matches) else []
    known = {name.lower(): name for name in names}
    if known and not sets_header(scope, "vary"):
        yield directive("add_header", "Vary", ", ".join(known.values()), "always")


@dataclass(frozen=True, slots=True)
class _Condition:
    variable: str
    """1 where it holds, else 0."""
    maps: tuple[Directive, ...]


def _choice_map(group: Sequence[Scope]) -> Directive:
    """The last of the group has no match, and is the default."""
    row = [condition.variable for condition in _conditions_of(group)]
    lines = [directive("default", choice_value(group[-1]))]
    for scope in group:
        if scope.route and scope.route.match:
            own = {condition.variable for condition in _conditions(scope.route.match)}
            pattern = "".join("1" if variable in own else "." for variable in row)
            lines.append(directive(f'"~^{pattern}"', choice_value(scope)))
    source = Raw(f'"{"".join(f"${variable}" for variable in row)}"')
    return directive("map", source, Raw(f"${choice_variable(group)}"), block=lines)


def _conditions_of(group: Sequence[Scope]) -> tuple[_Condition, ...]:
    matches = (scope.route.match for scope in group if scope.route and scope.route.match)
    every = (condition for match in matches for condition in _conditions(match))
    return tuple({condition.variable: condition for condition in every}.values())


def _conditions(match: Match) -> Iterator[_Condition]:
    if match.methods:
        yield _condition("$request_method", f"~^({'|'.join(match.methods)})$")
    for kind, name, wanted in match.values:
        yield from _value_conditions(_value(kind, name), wanted)


@dataclass(frozen=True, slots=True)
class _Value:
    """What a request has of a name."""

    text: str
    """The variable with the value."""
    marked: str
    """One with a `=` before it, empty where there is none; `text` where an empty value is none."""
    mark: str = ""
    maps: tuple[Directive, ...] = ()


def _value(kind: str, name: str) -> _Value:
    if kind == "header":
        variable = f"$http_{name.lower().replace('-', '_')}"
        return _Value(variable, variable)
    plain, marked = re.escape(name), f"portico_{kind}_{digest(name)}"
    if kind == "cookie":
        found = _map("$http_cookie", rf"~(?:^|;\s*){plain}=([^;]*)", marked, '"=$1"')
    else:
        found = _map("$args", rf"~(?:^|&){plain}(?:=([^&]*))?(?:&|$)", marked, '"=$1"')
    text = _map(f"${marked}", "~^=(.*)$", f"{marked}_text", '"$1"')
    return _Value(f"${marked}_text", f"${marked}", "=", (found, text))


def _value_conditions(value: _Value, wanted: bool | str) -> Iterator[_Condition]:  # noqa: FBT001 - as in the file
    present = f"~^{value.mark}" if value.mark else "~."
    if isinstance(wanted, bool):
        yield _condition(value.marked, present, value.maps, holds=wanted)
    elif found := re.fullmatch(r"(~\*?) (\S.*)", wanted):
        yield _condition(value.marked, present, value.maps)
        yield _condition(value.text, "".join(found.groups()), value.maps)
    else:
        yield _condition(value.marked, f"~^{value.mark}{re.escape(wanted)}$", value.maps)


def _condition(
    source: str, pattern: str, maps: tuple[Directive, ...] = (), *, holds: bool = True
) -> _Condition:
    variable = f"portico_is_{digest(f'{source} {pattern} {holds}')}"
    yes, no = ("1", "0") if holds else ("0", "1")
    return _Condition(variable, (*maps, _map(source, pattern, variable, yes, no)))


def _map(source: str, pattern: str, variable: str, value: str, default: str = '""') -> Directive:
    line = directive(to_argument(WithDollar(pattern)), Raw(value))
    return variable_map(source, variable, default, line)

"""Which locations the routes of a site become: what nginx matches, and whose requests it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from portico.core.render.access_log import route_mark
from portico.core.render.choice import choice_value, choice_variable, is_choice, route_groups
from portico.core.render.directive import Directive, Raw, WithDollar, directive
from portico.core.render.scope import Scope
from portico.core.render.static import MATCH_PREFIX, folder_of
from portico.errors import Refused


def site_locations(scopes: Sequence[Scope]) -> Iterator[Location | Choice]:
    """The operator's routes, and `/` for what no route takes."""
    groups = [(Match.parse(group[0].key), group) for group in route_groups(scopes)]
    taken = {match.identity for match, _ in groups}
    if ("", "/") not in taken:
        yield Location((Match("", "/"),), scopes[0])
    for match, group in groups:
        others = taken - {match.identity}
        if is_choice(group):
            for choice in _choices(match, group, others):
                yield choice
                yield from choice.locations()
        elif match.is_prefix and match.path != "/":
            yield from _prefix_locations(match, group[0], others)
        else:
            yield Location((match,), group[0])


def stripped_prefixes(scopes: Sequence[Scope]) -> Iterator[str]:
    """What routes of a site take off."""
    for scope in scopes:
        if scope.route and scope.route.strip_prefix:
            yield Match.parse(scope.key).path.rstrip("/")


@dataclass(frozen=True, slots=True)
class Match:
    """The head of a location: nginx's modifier, and a path or regex."""

    modifier: str
    path: str

    @classmethod
    def parse(cls, key: str) -> Match:
        found = re.fullmatch(r"(=|~\*|~|\^~|)\s*(\S.*)", key.strip(), re.DOTALL)
        if not found or (not found[1].startswith("~") and not found[2].startswith("/")):
            raise Refused(
                f"cannot render a location for route {key!a}: it must be a path, "
                '"= /path" or "~ regex"; nothing was changed'
            )
        return cls(found[1], found[2])

    @property
    def is_prefix(self) -> bool:
        return self.modifier in {"", "^~"}

    @property
    def identity(self) -> tuple[str, str]:
        """No two locations of a server may have the same."""
        return "" if self.is_prefix else self.modifier, self.path


@dataclass(frozen=True, slots=True)
class Location:
    """What is written for one route."""

    matches: tuple[Match, ...]
    """One, or two that are treated alike: `/api/` and `= /api`."""
    scope: Scope
    prefix: str = ""
    """The path that a folder stands for, or that is taken off: `/static/`."""
    group: tuple[Scope, ...] = ()
    """The routes with the same path, if the request decides which one takes it."""
    place: str = ""
    """Where a request comes that was decided on: the name of a location."""

    @property
    def name(self) -> str | None:
        """The app or upstream that requests are passed to."""
        return self.scope.target.app or self.scope.target.upstream

    @property
    def stripped_prefix(self) -> str:
        """What is taken off the path, `/static`, if anything is."""
        route = self.scope.route
        return self.prefix.rstrip("/") if route and route.strip_prefix else ""

    @property
    def has_files(self) -> bool:
        """Whether files of a folder are looked for; at `/static` without the slash none are."""
        path = self.matches[0].path
        return folder_of(self.scope) is not None and self.prefix in {"", path}

    @property
    def is_internal(self) -> bool:
        """Whether only an app sends requests here."""
        return bool(self.scope.route and self.scope.route.internal)

    @property
    def is_chosen_folder(self) -> bool:
        """No named location may have an `alias`."""
        return bool(self.place and self.prefix and self.has_files)

    def directives(self, lines: Sequence[Directive]) -> Iterator[Directive]:
        lines = (*route_mark(self.scope), *lines)
        if self.is_chosen_folder:
            inside = f"{MATCH_PREFIX}/{choice_value(self.scope)}"
            move = directive("rewrite", Raw('"(?s)^(.*)$"'), Raw(f"{inside}$1"), "last")
            yield directive("location", self.place, block=(move,))
            files = (directive("internal"), *lines)
            yield directive(
                "location", Raw("^~"), WithDollar(f"{inside}{self.prefix}"), block=files
            )
        elif self.place:
            yield directive("location", self.place, block=lines)
        for match in () if self.place else self.matches:
            modifier = (Raw(match.modifier),) if match.modifier else ()
            yield directive("location", *modifier, WithDollar(match.path), block=lines)


@dataclass(frozen=True, slots=True)
class Choice:
    """Of a path that several routes have. No program answers here, so that 418 comes from no
    other; it is sent before nginx looks who may come in, and after that nothing is left of it.
    """

    matches: tuple[Match, ...]
    group: tuple[Scope, ...]

    def directives(self) -> Iterator[Directive]:
        to = Raw(f'"{_chosen_place(f"${{{choice_variable(self.group)}}}", self.matches)}"')
        lines = (
            directive("error_page", "418", "=", to),
            directive("recursive_error_pages", "on"),
            directive("return", "418"),
        )
        yield from Location(self.matches, self.group[0]).directives(lines)

    def locations(self) -> Iterator[Location]:
        path = self.matches[0].path.rstrip("/")
        for scope in self.group:
            route = scope.route
            is_cut = route and path and (route.folder is not None or route.strip_prefix)
            prefix = f"{path}/" if is_cut and not self.matches[0].modifier.startswith("~") else ""
            place = _chosen_place(choice_value(scope), self.matches)
            yield Location(self.matches, scope, prefix, self.group, place)


def _choices(
    match: Match, group: tuple[Scope, ...], taken: set[tuple[str, str]]
) -> Iterator[Choice]:
    if not match.is_prefix or match.path == "/":
        yield Choice((match,), group)
        return
    free = _free_matches(match, taken)
    has_folder = any(scope.route and scope.route.folder is not None for scope in group)
    for matches in ((each,) for each in free) if has_folder else (free,) if free else ():
        yield Choice(matches, group)


def _free_matches(match: Match, taken: set[tuple[str, str]]) -> tuple[Match, ...]:
    """`/static` becomes `/static/` and `= /static`, because `/statics` is none of it."""
    path = match.path.rstrip("/")
    wanted = [Match(match.modifier, f"{path}/")]
    wanted += [Match("=", path)] if match.path == path else []
    return tuple(each for each in wanted if each.identity not in taken)


def _prefix_locations(
    match: Match, scope: Scope, taken: set[tuple[str, str]]
) -> Iterator[Location]:
    path, route = match.path.rstrip("/"), scope.route
    free = _free_matches(match, taken)
    if route and route.folder is not None:  # without the slash it is another answer
        for each in free:
            yield Location((each,), scope, f"{path}/")
    elif free:
        yield Location(free, scope, f"{path}/" if route and route.strip_prefix else "")


def _chosen_place(value: str, matches: Sequence[Match]) -> str:
    return f"@match_{value}_exact" if matches[0].modifier == "=" else f"@match_{value}"

"""Regular expressions of the file: nginx, with PCRE, has the last word on each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from portico.core.config.findings import Path, path_text
from portico.core.model.captures import groups, is_nginx_variable
from portico.core.model.site import Route, Site
from portico.errors import Problem

_REGEX: Final = re.compile(r"~\*?\s*(\S.*)")


def wrong_with_regex(regex: str) -> str | None:
    """What no dialect takes, and names that nginx has for something else."""
    if wrong := _wrong_in_any_dialect(regex):
        return f"is not a regular expression: {wrong}"
    taken = [name for name in groups(regex)[1] if is_nginx_variable(name)]
    return f'captures "{taken[0]}", which is a variable of nginx' if taken else None


def pattern_problem(message: str, sites: Mapping[str, Site]) -> Problem | None:
    """What nginx rejected, with the place of the regex that its message has."""
    if "pcre" not in message:
        return None
    for path, regex in _patterns(sites):
        if f'"{regex}"' in message:
            return Problem(path_text(path), message)
    return None


def _patterns(sites: Mapping[str, Site]) -> Iterator[tuple[Path, str]]:
    for name, site in sites.items():
        here: Path = ("sites", name, "routes")
        for place, route in site.placed_routes():
            if found := _REGEX.fullmatch(place[0]):
                yield (*here, place[0]), found[1]
            if isinstance(route, Route) and route.match:
                for kind, key, value in route.match.values:
                    if isinstance(value, str) and (found := _REGEX.fullmatch(value)):
                        yield (*here, *place, "match", kind, key), found[1]


def _wrong_in_any_dialect(regex: str) -> str | None:
    depth, in_class, before = 0, False, "|"
    literal = re.sub(r"\\Q.*?(\\E|$)", "x", regex)
    for piece in re.findall(r"\\.|\[:\^?\w+:\]|\[\^?\]?|.", literal):
        if before == "|" and piece in {"*", "+", "?"}:
            return f"nothing to repeat before {piece}"
        before = "" if in_class else piece
        if in_class:
            in_class = piece not in {"]", "[]", "[^]"}
        elif piece in {"[", "[^", "[]", "[^]"}:
            in_class = True
        else:
            depth += (piece == "(") - (piece == ")")
        if piece == "\\" or depth < 0:
            return "trailing \\" if piece == "\\" else "unmatched )"
    if in_class or depth:
        return f"a {'[' if in_class else '('} is not closed"
    return None

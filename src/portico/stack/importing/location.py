"""A location as a route of ours, or why nginx has to go on doing it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from portico.core.config.patterns import wrong_with_regex
from portico.core.model.nginx_lines import Line
from portico.stack.importing.files import folder_of
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    Outcome,
    OutcomeKind,
    Part,
    done,
    lost,
    no_equal,
)
from portico.stack.importing.paths import beside_nginx
from portico.stack.importing.redirects import redirect_of
from portico.stack.importing.report import Report
from portico.stack.importing.rules.own import TUNING
from portico.stack.importing.rules.table import outcome_of
from portico.stack.importing.subrequests import subrequests
from portico.stack.importing.targets import NO_TLS, Table, Targets, parse_target

_FILE_DIRECTIVES: Final = ("root", "alias", "index", "try_files", "autoindex")
_PASS: Final = ("proxy_pass", "grpc_pass")
_HOISTED_PREFIXES: Final = (
    "proxy_",
    "sub_filter",
    "auth_request",
    "mirror",
    "limit_r",
    "limit_c",
    "client_",
)
_HOISTED_NAMES: Final = ("add_header", "expires", "charset", "ssi", "addition_types", "auth_basic")
_INNER_DIRECTIVES: Final = (
    "proxy_pass",
    "proxy_set_header",
    "proxy_http_version",
    "proxy_cache_path",
)
CHALLENGES: Final = "/.well-known/acme-challenge"


@dataclass
class Route:
    key: str
    line: Line
    part: Part
    outcomes: list[tuple[Line, Outcome]] = field(default_factory=list)
    reasons: list[tuple[Line, Outcome]] = field(default_factory=list)
    """Why it cannot be a route; empty where it is one."""
    hoisted: list[tuple[Line, Outcome]] = field(default_factory=list)
    """Lines that nginx goes on doing for the whole site."""

    @property
    def is_root(self) -> bool:
        return self.key == "/"


@dataclass(frozen=True, slots=True)
class LocationContext:
    """What a location sees of its server."""

    targets: Targets
    report: Report
    named: dict[str, Line]
    """Named locations."""
    name: str
    """The server's only name; empty where it has several."""
    is_proxied: bool
    """Whether requests that no other location takes are passed on."""
    asked: dict[int, Line] = field(default_factory=dict)
    """Locations that a table of ours stands for: `auth`, `mirror`."""


def key_of(line: Line) -> str | None:
    """The route's key; None where it cannot be one."""
    match line.args:
        case (path,) if path.startswith("/"):
            return path
        case ("=" | "^~", path) if path.startswith("/"):
            return f"{line.args[0]} {path}"
        case ("~" | "~*", regex) if wrong_with_regex(regex) is None:
            return f"{line.args[0]} {regex}"
        case (word,) if found := re.fullmatch(r"(=|\^~|~\*?)(.+)", word):
            return f"{found[1]} {found[2]}"
        case _:
            return None


def translate(line: Line, key: str, above: Part, context: LocationContext) -> Route:
    lines = tuple(line.block or ())
    part = Part(lines, above.definitions, above, key, above.tls)
    route = Route(key, line, part)
    if any(each.name == "location" for each in lines):
        route.reasons += [
            (each, no_equal("routes do not nest")) for each in lines if each.name == "location"
        ]
    if (fallback := _fallback_location(part, context)) is not None:
        part.lines = (*lines, *(each for each in fallback.block or () if each.name != "internal"))
    content = {id(each): outcome for each, outcome in _content(route, context)}
    asked = subrequests(part, context.named, context.targets, context.asked)
    content |= {id(each): outcome for each, outcome in asked}
    for each in sorted(part.lines, key=lambda line: line.name == "internal"):
        outcome = content.get(id(each)) or outcome_of(each, part)
        route.outcomes.append((each, outcome))
        if not outcome.can_be_kept or each.name == "location":
            continue
        is_tuning = each.name in TUNING
        if is_tuning or (route.is_root and _can_be_hoisted(each)):
            route.hoisted.append((each, outcome))
        else:
            route.reasons.append((each, outcome))
    if fallback is not None and not route.reasons:
        context.report.all_of(fallback, OutcomeKind.CARRIED)
    return route


def _can_be_hoisted(line: Line) -> bool:
    name = line.name
    return line.block is None and (
        (name.startswith(_HOISTED_PREFIXES) and name not in _INNER_DIRECTIVES)
        or name in _HOISTED_NAMES
    )


def _fallback_location(part: Part, context: LocationContext) -> Line | None:
    """The named location that `try_files` ends with, if requests are passed on there."""
    tried = next(part.own_lines("try_files"), None)
    named = context.named.get(tried.args[-1]) if tried and tried.args else None
    if named and any(each.name in _PASS for each in named.block or ()):
        return named
    return None


def _content(route: Route, context: LocationContext) -> Iterator[tuple[Line, Outcome]]:
    """The lines that say where requests go, and what becomes of them."""
    part = route.part
    returned = next(part.own_lines("return"), None)
    proxied = next(part.own_lines(*_PASS), None)
    static = list(part.own_lines(*_FILE_DIRECTIVES))
    rewrites = list(part.own_lines("rewrite"))
    if returned is not None:
        yield returned, _return_outcome(returned, part, context)
    elif proxied is not None:
        yield proxied, _proxy(proxied, part, context)
        yield from ((line, _cut(line, part)) for line in rewrites)
        if any(line.name == "try_files" for line in static):
            outcome = _files_first(part)
            yield from ((line, outcome) for line in static)
    elif any(part.own_lines("internal")) and part.first("root", "alias"):
        outcome = _static(part)
        yield from ((line, outcome) for line in static)
        if outcome.can_be_kept and not static:
            route.reasons.append((route.line, outcome))
    elif not static and context.is_proxied and not part.first("root") and not _is_closed(part):
        why = "nginx looks for a file in its own folder; the site's app answers here"
        route.outcomes.append((route.line, lost(why)))
    elif static or _needs_folder(part, context):
        outcome = _static(part)
        yield from ((line, outcome) for line in static)
        if outcome.can_be_kept and not static:
            route.reasons.append((route.line, outcome))


def _needs_folder(part: Part, context: LocationContext) -> bool:
    """Whether its files are not those of the site anyway."""
    if _is_closed(part) or not part.first("root"):
        return False
    return part.path == "/" or context.is_proxied or any(part.own_lines("expires"))


def _is_closed(part: Part) -> bool:
    """Whether no one gets an answer there."""
    rules = [(line.name, *line.args) for line in part.own_lines("deny", "allow")]
    return rules == [("deny", "all")]


def _return_outcome(line: Line, part: Part, context: LocationContext) -> Outcome:
    if line.args == ("403",):
        return part.set("deny", ["all"], line)
    found = redirect_of(line.args, part.path, name=context.name, tls=part.tls)
    if found is None:
        return no_equal("a route cannot answer with this")
    return part.set("redirect", found, line)


def _proxy(line: Line, part: Part, context: LocationContext) -> Outcome:
    found = parse_target(line.args[0]) if line.args else None
    if found is None:
        return no_equal("Portico passes requests to apps and upstreams, not to variables")
    scheme, host, path = found
    is_grpc = line.name == "grpc_pass"
    target = context.targets.of_host(
        host, line, _tls(part) if scheme in {"https", "grpcs"} else NO_TLS
    )
    if target is None:
        return no_equal("Portico has no such upstream")
    outcome = CARRIED_OUTCOME
    if path and not is_grpc:
        outcome = _path_outcome(path, part)
        if outcome.can_be_kept:
            return outcome
    if is_grpc:
        part.set("grpc", value=True, line=line)
    _host_header(host, target.kind, line, part, context)
    part.set(target.kind, target.name, line)
    return outcome


def _tls(part: Part) -> Table:
    """The keys of the upstream; nginx verifies nothing unless it is set to."""
    table: dict[str, object] = {"tls": True}
    if name := part.argument("proxy_ssl_name"):
        table["tls_name"] = name
    if part.argument("proxy_ssl_verify", "off") != "on":
        return {**table, "tls_verify": False}
    if ca := part.first("proxy_ssl_trusted_certificate"):
        table["tls_ca"] = beside_nginx(ca.args[0], ca)
    return table


def _path_outcome(path: str, part: Part) -> Outcome:
    """Of a `proxy_pass` with a path, which takes the place of the location's."""
    prefix = part.path.removeprefix("^~ ")
    if prefix == path:
        return CARRIED_OUTCOME
    if path == "/" and prefix.startswith("/") and len(prefix) > 1:
        part.table["strip_prefix"] = True
        if prefix.endswith("/"):
            return CARRIED_OUTCOME
        return done(f"nginx makes //x of {prefix}/x here; Portico makes it /x")
    return no_equal("Portico passes a path on, or takes the route's prefix off")


def _cut(line: Line, part: Part) -> Outcome:
    """`rewrite ^/api/(.*)$ /$1 break;` takes the prefix off."""
    prefix = part.path.removeprefix("^~ ").rstrip("/")
    own = f"({re.escape(prefix)}|{re.escape(re.escape(prefix))})"
    regex = rf"\^?{own}(/\(\.\*\)|/\?\(\.\*\)|\(/?\.\*\))\$?"
    to = line.args[1:2]
    if prefix and re.fullmatch(regex, line.args[0]) and to in {("/$1",), ("$1",)}:
        part.set("strip_prefix", value=True, line=line)
        return CARRIED_OUTCOME
    return no_equal("a route cannot rewrite a path, only take its prefix off")


def _host_header(host: str, kind: str, line: Line, part: Part, context: LocationContext) -> None:
    """A server elsewhere gets its own name where nginx sets no other."""
    sets = any(each.args[0].lower() == "host" for each in _headers(part) if each.args)
    if sets or kind == "app" or host in context.targets.blocks:
        return
    if re.fullmatch(r"(localhost|[0-9.]+|\[.*\]|unix:.*)(:[0-9]+)?", host):
        return
    part.add("request_headers", "Host", host, line)


def _headers(part: Part) -> list[Line]:
    own = list(part.own_lines("proxy_set_header", "grpc_set_header"))
    return own or (_headers(part.above) if part.above else [])


def _files_first(part: Part) -> Outcome:
    found = folder_of(part)
    if found is None:
        return no_equal("a folder cannot be tried in this way")
    line = next(part.own_lines("try_files"))
    return part.set("folder", found[0], line)


def _static(part: Part) -> Outcome:
    found = folder_of(part)
    if found is None or found[1]:
        return no_equal("a folder cannot be served in this way")
    line = next(part.own_lines(*_FILE_DIRECTIVES), None) or part.first("root")
    if line is None:
        return DONE_OUTCOME
    return part.set("folder", found[0], line)

"""A server block as a site of ours, or why nginx has to go on doing all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from portico.core.model.names import parse_domain
from portico.core.model.nginx_lines import Line
from portico.stack.importing.definitions import Definitions
from portico.stack.importing.files import folder_of
from portico.stack.importing.listens import Listen, listens_of
from portico.stack.importing.location import (
    CHALLENGES,
    LocationContext,
    Route,
    key_of,
    translate,
)
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    Outcome,
    OutcomeKind,
    Part,
    lost,
    no_equal,
)
from portico.stack.importing.redirects import redirect_of, redirect_of_rewrite
from portico.stack.importing.report import Report
from portico.stack.importing.rules.table import outcome_of
from portico.stack.importing.subrequests import subrequests
from portico.stack.importing.targets import Targets

_REFUSALS: Final = frozenset({"400", "403", "404", "410", "421", "444", "503"})
_FILE_DIRECTIVES: Final = ("root", "index", "try_files", "autoindex", "expires")
_TARGETS: Final = ("app", "upstream", "folder", "redirect")
_TO_HTTPS: Final = re.compile(
    r"https://(\$host|\$server_name|\$http_host|\$host:443|[a-z0-9.-]+)"
    r"(\$request_uri|\$uri(\$is_args\$args)?|/\$1|/)?\??"
)


_REDIRECT_NEIGHBOURS: Final = frozenset(
    {
        *("listen", "server_name", "access_log", "error_log", "server_tokens", "root"),
        *("include", "index", "charset", "add_header"),
    }
)


@dataclass
class Server:
    """What a server block is here."""

    line: Line
    names: tuple[str, ...]
    """Valid host names."""
    listens: tuple[Listen, ...]
    is_default: bool
    """Whether it answers names that no other server has."""
    part: Part
    routes: list[Route] = field(default_factory=list)
    kept: list[Line] = field(default_factory=list)
    """Lines for the site's own include."""
    reasons: list[tuple[Line, Outcome]] = field(default_factory=list)
    """Why nginx has to keep all of it; empty where it is a site."""
    to_https: str = ""
    """Where it only sends clients to HTTPS: the host that it names, `$host` for their own."""
    is_refusal: bool = False
    """Whether it only refuses names that no other server has."""
    outcomes: list[tuple[Line, Outcome]] = field(default_factory=list)
    hoisted: list[tuple[Line, Outcome]] = field(default_factory=list)

    @property
    def tls(self) -> bool:
        return self.part.tls

    @property
    def plain(self) -> bool:
        return any(not each.tls for each in self.listens)


def server_of(
    line: Line,
    inherited: tuple[Line, ...],
    definitions: Definitions,
    targets: Targets,
    report: Report,
) -> Server:
    """`inherited` are the lines of the http block that hold in every server."""
    block = line.block or ()
    own_names = {each.name for each in block}
    if own_names & {"allow", "deny"}:
        own_names |= {"allow", "deny"}
    above = tuple(each for each in inherited if each.name not in own_names)
    locations = tuple(each for each in block if each.name == "location")
    lines = (*above, *(each for each in block if each.name != "location"))
    listens = listens_of(block)
    part = Part(lines, definitions, tls=any(each.tls for each in listens), locations=locations)
    found, catches_all, wrong = _names(block)
    default = catches_all or any(each.is_default for each in listens)
    server = Server(line, found, listens, default, part)
    if wrong:
        server.reasons.append((wrong, no_equal("a regex cannot be the name of a site")))
    if to := _to_https(server):
        server.to_https = to
    elif _refuses(server) and (not found or catches_all):
        server.is_refusal = True
    else:
        _fill(server, targets, report)
    return server


def _names(block: tuple[Line, ...]) -> tuple[tuple[str, ...], bool, Line | None]:
    """Names, whether any other name is meant too, and a line with one that nginx alone has."""
    names: dict[str, None] = {}
    catches_all, wrong, has_line = False, None, False
    for line in block:
        for word in line.args if line.name == "server_name" else ():
            has_line = True
            if word in {"_", "", "__", "--", "!@#", "*", "default_server"}:
                catches_all = True
            elif word.startswith("."):
                names |= dict.fromkeys((word[1:], f"*{word}"))
            elif word == "$hostname" or not _is_domain(word):
                wrong = line
            else:
                names[parse_domain(word)] = None
    return tuple(names), catches_all or not has_line, wrong


def _is_domain(word: str) -> bool:
    try:
        parse_domain(word)
    except ValueError:
        return False
    return True


def _to_https(server: Server) -> str:
    """Where it sends all requests: the host of `https://`, empty if it does anything else."""
    hosts: set[str] = set()
    for line in () if server.tls else server.line.block or ():
        if line.name == "location" and "well-known" in "".join(line.args):
            continue
        if line.name == "if" or (line.name == "location" and line.args == ("/",)):
            hosts.add(_host_of(line.block or ()))
        elif line.name in {"return", "rewrite"}:
            if line.args != ("404",) or not hosts:  # certbot's, after its `if`
                hosts.add(_host_of((line,)))
        elif line.name not in _REDIRECT_NEIGHBOURS:
            return ""
    return hosts.pop() if len(hosts) == 1 else ""


def _host_of(block: tuple[Line, ...]) -> str:
    """Of the only line that answers; empty if that leads elsewhere."""
    for line in block:
        url = next((word for word in line.args if word.startswith("https://")), "")
        found = _TO_HTTPS.fullmatch(url)
        if line.name in {"return", "rewrite"} and found:
            return "$host" if found[1].startswith("$") else found[1]
    return ""


def _refuses(server: Server) -> bool:
    block = server.line.block or ()
    if any(each.name == "ssl_reject_handshake" and each.args == ("on",) for each in block):
        return True
    returned = next((each for each in block if each.name == "return"), None)
    inner = [
        each
        for line in block
        if line.name == "location" and line.args == ("/",)
        for each in line.block or ()
    ]
    returned = returned or (inner[0] if len(inner) == 1 and inner[0].name == "return" else None)
    passed = any(each.name == "location" and each.args != ("/",) for each in block)
    return bool(returned and returned.args and returned.args[0] in _REFUSALS and not passed)


def _fill(server: Server, targets: Targets, report: Report) -> None:
    part = server.part
    names = server.names
    named = {line.args[0]: line for line in part.locations if _is_named(line)}
    root = next((line for line in part.locations if line.args == ("/",)), None)
    proxied = any(each.name.endswith("_pass") for each in _all_of(root, named))
    name = names[0] if len(names) == 1 else ""
    context = LocationContext(targets, report, named, name, proxied)
    asked = subrequests(part, named, targets, context.asked)
    content = {id(line): outcome for line, outcome in asked}
    for line in part.lines:
        outcome = content.get(id(line)) or _outcome(line, server, has_root=root is not None)
        server.outcomes.append((line, outcome))
        if outcome.can_be_kept:
            server.kept.append(line)
    routes = [_route(line, server, context) for line in part.locations if not _is_named(line)]
    server.routes += [route for route in routes if route is not None]
    for route in server.routes:
        server.hoisted += route.hoisted
        if route.reasons and route.is_root:
            server.reasons += route.reasons
    if root is None and not any(key in part.table for key in _TARGETS):
        _own_folder(server)
    _drop_asked(server, context.asked, report)
    kept_routes = [route for route in server.routes if route.reasons]
    _keep_named(server, named, kept_routes, report)


def _all_of(root: Line | None, named: dict[str, Line]) -> Iterator[Line]:
    """The lines that answer `/`, those of a named location too."""
    for line in (root.block or ()) if root else ():
        yield line
        if line.name == "try_files" and line.args and line.args[-1] in named:
            yield from named[line.args[-1]].block or ()


def _is_named(line: Line) -> bool:
    return bool(line.args and line.args[0].startswith("@"))


def _outcome(line: Line, server: Server, *, has_root: bool) -> Outcome:
    part = server.part
    if line.name == "return":
        name = server.names[0] if len(server.names) == 1 else ""
        found = redirect_of(line.args, "/", name=name, tls=part.tls)
        if found is not None and not part.locations:
            return part.set("redirect", found, line)
        return no_equal("a site cannot answer with this")
    if line.name == "rewrite" and (found := redirect_of_rewrite(line.args)) is not None:
        key, redirect = found
        extra = Route(key, line, Part((), part.definitions, part, key, part.tls))
        extra.part.set("redirect", redirect, line)
        server.routes.append(extra)
        return CARRIED_OUTCOME
    if line.name in _FILE_DIRECTIVES and not has_root:
        return CARRIED_OUTCOME if part.first("root") else DONE_OUTCOME
    return outcome_of(line, part)


def _own_folder(server: Server) -> None:
    """Without a location for `/`, a root of the server is what answers."""
    part, root = server.part, server.part.first("root")
    if root is None:
        return
    found = folder_of(part)
    if found is None or found[1]:
        line = next(part.own_lines("try_files", "index"), root)
        server.reasons.append((line, no_equal("a folder cannot be served in this way")))
    else:
        part.set("folder", found[0], root)


def _route(line: Line, server: Server, context: LocationContext) -> Route | None:
    key = key_of(line)
    path = line.args[-1] if line.args else ""
    if CHALLENGES in path or re.fullmatch(r"\^?/\\?\.well-known/?\(?acme.*", path):
        context.report.settle(line, DONE_OUTCOME)
        return None
    if path in server.part.pages and not any(
        each.name in {"proxy_pass", "return", "fastcgi_pass"} for each in line.block or ()
    ):
        context.report.settle(line, CARRIED_OUTCOME)
        return None
    if key is None:
        part = Part(tuple(line.block or ()), server.part.definitions, server.part, "", server.tls)
        return Route("", line, part, reasons=[(line, no_equal("a route has no such path"))])
    return translate(line, key, server.part, context)


def _drop_asked(server: Server, asked: Mapping[int, Line], report: Report) -> None:
    """Locations that only tables of ours ask, and no client: they are no routes."""
    others = [r.line for r in server.routes if r.reasons and id(r.line) not in asked]
    used = {word for line in (*server.kept, *others) for word in _words(line)}
    for line in asked.values():
        is_named, is_closed = _is_named(line), any(e.name == "internal" for e in line.block or ())
        if (is_named or is_closed) and line.args[-1].lstrip("=") not in used:
            report.all_of(line, OutcomeKind.CARRIED)
            server.routes = [route for route in server.routes if route.line is not line]


def _keep_named(server: Server, named: dict[str, Line], kept: list[Route], report: Report) -> None:
    """Named locations that only nginx's lines lead to stay beside them."""
    used = " ".join(
        word for line in (*server.kept, *(route.line for route in kept)) for word in _words(line)
    )
    for name, line in named.items():
        if name in used:
            server.kept.append(line)
            report.all_of(line, OutcomeKind.KEPT)
        elif id(line) not in report.outcome_kinds and not server.reasons:
            report.settle(line, lost("nothing leads there"))


def _words(line: Line) -> Iterator[str]:
    yield from line.args
    for each in line.block or ():
        yield from _words(each)

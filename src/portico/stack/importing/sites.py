"""Servers as tables of sites: those of one name together; what only leads to HTTPS is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from portico.core.model.issuing import IssuanceSettings
from portico.core.model.names import is_local_name
from portico.core.model.nginx_lines import Line
from portico.stack.importing import include_file
from portico.stack.importing.location import Route
from portico.stack.importing.part import OutcomeKind, lost, no_equal, place_of
from portico.stack.importing.paths import beside_nginx, shown_from
from portico.stack.importing.report import Report
from portico.stack.importing.rules.own import TUNING
from portico.stack.importing.rules.table import outcome_of
from portico.stack.importing.server import Server
from portico.stack.model import Lineage, Place

_LIVE_FOLDER: Final = "/etc/letsencrypt/live/"
_LETSENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
_NAMELESS_HOST: Final = "localhost"
_TARGETS: Final = ("app", "upstream", "folder", "redirect")
_ORDER: Final = ("app", "upstream", "folder", "redirect", "aliases", "default", "https")
_USUAL_SETTINGS: Final = {"key_type": "ecdsa-p256", "challenge": "http-01"}


@dataclass
class Sites:
    tables: dict[str, dict[str, object]] = field(default_factory=dict)
    sources: dict[tuple[str, ...], Place] = field(default_factory=dict)
    kept: dict[str, list[Line]] = field(default_factory=dict)
    """nginx lines of a site's server block, by site."""
    servers: list[Line] = field(default_factory=list)
    """Server blocks that nginx keeps as they are."""
    tls: dict[str, object] = field(default_factory=dict)
    """What all certificates have in common, for the table [tls]."""


def sites_of(
    servers: Sequence[Server],
    edge: dict[str, object],
    lineages: Sequence[Lineage],
    report: Report,
    folder: Path,
) -> Sites:
    found = Sites()
    for server in servers:
        if not server.reasons and (odd := _odd_ports(server, edge)):
            server.reasons.append((odd, no_equal("Portico serves HTTP on one port, HTTPS on one")))
    secure = {name for each in servers if each.tls and not each.reasons for name in each.names}
    kept_names = {n for each in servers if each.reasons for n in each.names}
    joiner = _Joiner(found, secure, kept_names, lineages, report, folder)
    for server in sorted(servers, key=lambda each: not each.tls):
        joiner.add(server)
    found.tables = {
        name: found.tables[name]
        for name in sorted(found.tables, key=lambda name: found.sources[name,].line)
    }
    joiner.join_issuing()
    _bind(found, servers, edge)
    return found


def _odd_ports(server: Server, edge: Mapping[str, object]) -> Line | None:
    """A line of a server none of whose ports is one of Portico's."""
    if server.to_https or server.is_refusal:
        return None
    plain, secure = edge.get("http", 80), edge.get("https", 443)
    if any(each.port == (secure if each.tls else plain) for each in server.listens):
        return None
    return server.listens[0].line or server.line


def _bind(found: Sites, servers: Sequence[Server], edge: dict[str, object]) -> None:
    """Portico listens on loopback if no site has a public name."""
    names = [n for name, table in found.tables.items() for n in (name, *_aliases(table))]
    addresses = list(dict.fromkeys(e.address for s in servers for e in s.listens if e.address))
    if not names or not addresses:
        return
    if not {"*", "[::]", "0.0.0.0"} & {*addresses}:  # noqa: S104 - is what the file has
        if any(not is_local_name(name) for name in names) and _are_addresses(addresses):
            edge["bind"] = addresses
    elif all(map(is_local_name, names)):
        edge["bind"] = ["*", "[::]"] if "[::]" in addresses else ["*"]


def _are_addresses(texts: Sequence[str]) -> bool:
    return all(text[:1].isdigit() or text.startswith("[") for text in texts)


def _aliases(table: Mapping[str, object]) -> list[str]:
    found = table.get("aliases")
    return [str(each) for each in found] if isinstance(found, list) else []


class _Joiner:
    def __init__(
        self,
        found: Sites,
        secure: set[str],
        kept_names: set[str],
        lineages: Sequence[Lineage],
        report: Report,
        folder: Path,
    ) -> None:
        self._found, self._secure, self._report = found, secure, report
        self._kept_names, self._lineages, self._folder = kept_names, lineages, folder
        self._used: set[str] = set()
        self._issuing: dict[str, dict[str, object]] = {}

    def add(self, server: Server) -> None:
        if server.reasons:
            self._keep_whole(server)
        elif server.to_https:
            self._to_https(server)
        elif server.is_refusal:
            why = "Portico refuses names that no site has by itself, with 421"
            self._report.all_of(server.line, OutcomeKind.DONE)
            self._report.gap(server.line, why)
        else:
            self._site(server)

    def join_issuing(self) -> None:
        """Settings of certificates that all sites have are set once."""
        tables = list(self._issuing.values())
        if tables and all(table == tables[0] for table in tables):
            self._found.tls = tables[0]
            return
        for name, table in self._issuing.items():
            if table:
                self._found.tables[name]["tls"] = table

    def _keep_whole(self, server: Server) -> None:
        where = f"nginx keeps the whole server, in {include_file.HTTP_FILE}"
        part = server.part
        self._report.all_of(server.line, OutcomeKind.KEPT)
        own = server.line.block or ()
        inherited = [
            line
            for line in part.lines
            if not any(line is each for each in own) and _has_effect(line, server)
        ]
        others = [each for route in server.routes for each in route.reasons]
        for line, outcome in (*server.reasons, *others):
            self._report.settle(line, outcome, where)
        for line in inherited:
            self._report.all_of(line, OutcomeKind.KEPT)
        self._found.servers.append(
            include_file.whole_server(server.line, inherited, part, self._report)
        )

    def _to_https(self, server: Server) -> None:
        """Names with a site of HTTPS are led there anyway; others get a site that does."""
        self._report.all_of(server.line, OutcomeKind.CARRIED)
        left = [name for name in server.names if name not in self._secure | self._kept_names]
        for name in left:
            to = name if server.to_https == "$host" else server.to_https
            redirect = {"to": f"https://{to}", "keep_path": True, "status": 301}
            self._put(name, {"redirect": redirect, "https": False}, server.line)
        for name in self._kept_names & {*server.names}:
            table = {"to": f"https://{name}", "keep_path": True, "status": 301}
            self._put(name, {"redirect": table, "https": False}, server.line)

    def _put(self, name: str, table: dict[str, object], line: Line) -> None:
        if name not in self._used:
            self._used.add(name)
            self._found.tables[name] = table
            self._found.sources[name,] = place_of(line)

    def _site(self, server: Server) -> None:
        names = self._free_names(server)
        if not names:
            self._report.all_of(server.line, OutcomeKind.LISTED)
            return
        first, *others = names
        self._used |= {*names}
        table = dict(server.part.table)
        if others:
            table["aliases"] = others
        if server.is_default and not self._has_default() and _is_meant(server):
            table["default"] = True
        if not server.tls:
            table["https"] = False
            table.pop("hsts", None)
        elif server.plain:
            table["redirect_http"] = False
        lines = self._settle(server, first)
        self._add_routes(table, server, first, lines)
        if server.tls:
            self._certificate(table, server, first)
        if not any(key in table for key in (*_TARGETS, "routes")):
            self._without_target(server, first, lines)
            return
        if lines:
            self._found.kept[first] = [
                include_file.clean(line, server.part, self._report) for line in lines
            ]
            table["include"] = include_file.file_of(first)
        self._found.tables[first] = self._sort_keys(table)
        self._found.sources[first,] = place_of(server.line)
        for key, place in server.part.sources.items():
            self._found.sources[first, key] = place

    def _free_names(self, server: Server) -> list[str]:
        wanted = list(server.names)
        if not wanted and server.is_default:
            wanted = [
                _NAMELESS_HOST if _NAMELESS_HOST not in self._used else f"default.{_NAMELESS_HOST}"
            ]
        taken = self._used | (set() if server.tls else self._secure)
        free = [name for name in wanted if name not in taken]
        for name in wanted:
            if name in self._secure and not server.tls:
                self._report.gap(server.line, f"plain HTTP of {name} is redirected to HTTPS here")
            elif name in taken:
                self._report.gap(server.line, f"another server has the name {name} already")
        return free

    def _has_default(self) -> bool:
        return any(table.get("default") for table in self._found.tables.values())

    def _settle(self, server: Server, first: str) -> list[Line]:
        """What becomes of the server's lines; those that nginx keeps are returned."""
        where = f"kept in {include_file.file_of(first)}"
        self._report.outcome_kinds.setdefault(id(server.line), OutcomeKind.CARRIED)
        for line, outcome in server.outcomes:
            self._report.settle(line, outcome, where if outcome.can_be_kept else "")
        lines = list(server.kept)
        for line, outcome in server.hoisted:
            if any(each.name == line.name and each.args == line.args for each in lines):
                self._report.all_of(line, OutcomeKind.KEPT)
            elif any(each.name == line.name for each in lines) and line.name in TUNING:
                self._report.settle(line, lost("another value of it is kept for the site"))
            else:
                lines.append(line)
                self._report.settle(line, outcome, f"{where}, for the whole site")
        return include_file.with_busy_buffers(lines)

    def _add_routes(
        self, table: dict[str, object], server: Server, first: str, lines: list[Line]
    ) -> None:
        routes: dict[str, object] = {}
        root = next((route for route in server.routes if route.is_root), None)
        for route in server.routes:
            if route.reasons:
                self._keep(route, first)
                lines.append(include_file.with_inherited(route.line, server.part))
                continue
            self._settle_route(route)
            own = route.part.table
            if route is root and (len(server.routes) == 1 or not own.keys() - {*_TARGETS}):
                table |= own
                for key, place in route.part.sources.items():
                    self._found.sources[first, key] = place
            elif own and own != self._as_site(own, table):
                routes[route.key] = _shortest_form(own)
                self._found.sources[first, "routes", route.key] = place_of(route.line)
        if root and root.key in routes:
            target = {key: value for key, value in root.part.table.items() if key in _TARGETS}
            routes = {key: _with_target(each, target) for key, each in routes.items()}
        if routes:
            table["routes"] = routes

    def _keep(self, route: Route, first: str) -> None:
        """A location that nginx goes on doing."""
        where = f"the location is kept in {include_file.file_of(first)}"
        self._report.all_of(route.line, OutcomeKind.KEPT)
        for line, outcome in route.reasons:
            self._report.settle(line, outcome, where)

    def _settle_route(self, route: Route) -> None:
        self._report.outcome_kinds.setdefault(id(route.line), OutcomeKind.CARRIED)
        for line, outcome in route.outcomes:
            if not outcome.can_be_kept:
                self._report.settle(line, outcome)

    @staticmethod
    def _as_site(own: Mapping[str, object], table: Mapping[str, object]) -> Mapping[str, object]:
        """What a route would say that is its site's anyway."""
        return {key: table[key] for key in own if key in table}

    def _certificate(self, table: dict[str, object], server: Server, first: str) -> None:
        chain = server.part.first("ssl_certificate")
        key = server.part.first("ssl_certificate_key")
        if chain is None or not chain.args or key is None or not key.args:
            return
        path = beside_nginx(chain.args[0], chain)
        if lineage := _lineage(path, self._lineages):
            self._issuing[first] = _issuance_keys(lineage)
            self._found.sources[first, "tls"] = lineage.place
        elif path.startswith(_LIVE_FOLDER):
            self._issuing.setdefault(first, {})
        else:
            table["certificate"] = shown_from(self._folder, path)
            table["key"] = shown_from(self._folder, beside_nginx(key.args[0], key))
            self._found.sources[first, "certificate"] = place_of(chain)
            self._found.sources[first, "key"] = place_of(key)

    def _without_target(self, server: Server, first: str, lines: list[Line]) -> None:
        self._used -= {first}
        if lines:
            where = f"nginx keeps the whole server, in {include_file.HTTP_FILE}"
            self._report.all_of(server.line, OutcomeKind.KEPT)
            self._report.gap(
                server.line, f"it has only lines that Portico has no key for; {where}"
            )
            self._found.servers.append(
                include_file.whole_server(server.line, (), server.part, self._report)
            )
        else:
            self._report.settle(
                server.line, lost("it serves nothing: it has no root or proxy_pass")
            )

    def _sort_keys(self, table: dict[str, object]) -> dict[str, object]:
        keys = [*(key for key in _ORDER if key in table), *(k for k in table if k not in _ORDER)]
        return {key: _with_paths(table[key], self._folder) for key in keys}


def _is_meant(server: Server) -> bool:
    """Nginx's first server answers other names too, which few mean where it has a name."""
    return any(each.is_default for each in server.listens) or not server.names


def _has_effect(line: Line, server: Server) -> bool:
    return (
        line.name in include_file.INHERITED_DIRECTIVES
        or outcome_of(line, server.part).kind is not OutcomeKind.DONE
    )


def _with_target(route: object, target: Mapping[str, object]) -> object:
    """A route that says nothing of where requests go, where the site does not either."""
    if not isinstance(route, dict) or any(key in route for key in _TARGETS):
        return route
    return {**target, **route}


def _shortest_form(table: dict[str, object]) -> object:
    """A route that only names an app is its name."""
    if table.keys() in ({"app"}, {"upstream"}):
        return next(iter(table.values()))
    return table


def _with_paths(value: object, folder: Path) -> object:
    """Paths below the file's folder are relative."""
    match value:
        case str() if value.startswith(f"{folder}/"):
            return shown_from(folder, value)
        case dict():
            return {key: _with_paths(each, folder) for key, each in value.items()}
        case _:
            return value


def _lineage(path: str, lineages: Sequence[Lineage]) -> Lineage | None:
    for each in lineages:
        folders = {str(Path(each.chain).parent), f"{_LIVE_FOLDER}{each.name}"}
        if path == each.chain or str(Path(path).parent) in folders:
            return each
    return None


def _issuance_keys(lineage: Lineage) -> dict[str, object]:
    """Without what is so anyway."""
    return {
        key: value
        for key, value in lineage.settings.items()
        if key in IssuanceSettings.model_fields
        and not (key == "issuer" and value == _LETSENCRYPT)
        and value != _USUAL_SETTINGS.get(key)
    }

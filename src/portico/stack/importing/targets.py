"""Where requests go: an address or an upstream of nginx as an app or an upstream of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from portico.core.model.balancing import Balance, Method
from portico.core.model.labels import app_label
from portico.core.model.nginx_lines import Line
from portico.core.model.upstream import parse_address
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    Outcome,
    lost,
    place_of,
)
from portico.stack.importing.report import Report
from portico.stack.importing.values import duration, whole_number
from portico.stack.model import Place

_LOOPBACK: Final = re.compile(r"(localhost|127\.[0-9.]+|\[::1\]|0\.0\.0\.0)")
_METHODS: Final = frozenset(Method) - {Method.ROUND_ROBIN}
_PORTICO_PARAMETERS: Final = (
    *("zone", "keepalive_timeout", "keepalive_requests", "keepalive_time"),
    *("resolver", "resolver_timeout"),
)
_KEEPALIVE: Final = 64
"""What Portico keeps anyway."""
_COMMERCIAL_ONLY: Final = "nginx has it only in its commercial build, or in a module"
_NUMBERS: Final = {"weight": 1, "max_conns": 0, "max_fails": 1}
_FLAGS: Final = ("backup", "down")
_SLOT_PARAMETERS: Final = ("weight", *_FLAGS)


Table: TypeAlias = Mapping[str, object]
NO_TLS: Final[Table] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    kind: str
    """`app` or `upstream`: the key of a site or a route."""
    name: str


@dataclass
class Targets:
    apps: Mapping[str, dict[str, object]]
    """By name; settings of balancing are added here."""
    ports: Mapping[int, str]
    """Which app listens there."""
    sockets: Mapping[str, str]
    """The same of unix sockets, by path."""
    blocks: Mapping[str, Line]
    """nginx's upstreams."""
    report: Report
    upstreams: dict[str, dict[str, object]] = field(default_factory=dict)
    sources: dict[tuple[str, str], Place] = field(default_factory=dict)
    """Where a key of an app or an upstream comes from; the key is empty for the table itself."""
    _known: dict[tuple[str, str], Target] = field(default_factory=dict)

    def of_host(self, host: str, line: Line, tls: Table = NO_TLS) -> Target | None:
        """`host` is what a `proxy_pass` names: an upstream, or an address. None for no address.
        `tls` are the keys of an upstream with HTTPS.
        """
        place = (host, repr(tls))
        known = self._known.get(place)
        if known is None:
            block = self.blocks.get(host)
            found = self._of_block(block, tls) if block else self._of_address(host, line, tls)
            if found is None:
                return None
            known = self._known[place] = found
        return known

    def of_address(self, address: str, place: Place) -> Target | None:
        """Of a server other than nginx."""
        return self.of_host(address, Line("", (), place.file, place.line))

    def _of_address(self, host: str, line: Line, tls: Table) -> Target | None:
        try:
            address = parse_address(f"{host}:443" if tls and not _has_port(host) else host)
        except ValueError:
            return None
        if app := self._app_at(address):
            return Target("app", app)
        return self._add(_short_name(address), {"servers": [address]}, line, tls)

    def _of_block(self, block: Line, tls: Table) -> Target | None:
        servers = [each for each in block.block or () if each.name == "server" and each.args]
        if not servers:
            self.report.gap(block, "it has no server")
            return None
        addresses = [_address(each.args[0]) for each in servers]
        if None in addresses:
            return None
        apps = [self._app_at(each or "") for each in addresses]
        settings = self._settings(block)
        if all(apps) and len(set(apps)) == 1:
            return self._one_app(str(apps[0]), block, servers, settings)
        table: dict[str, object] = {}
        if named := [each for each in dict.fromkeys(apps) if each]:
            table["apps"] = named
        others = [
            self._server(line, address or "")
            for line, address, app in zip(servers, addresses, apps, strict=True)
            if app is None
        ]
        for line, app in zip(servers, apps, strict=True):
            if app:
                self._peer(line, app)
        if others:
            table["servers"] = others
        return self._add(block.args[0], {**table, **settings}, block, tls)

    def _one_app(
        self, app: str, block: Line, servers: list[Line], settings: dict[str, object]
    ) -> Target:
        table, lines = self.apps[app], {each.name: each for each in block.block or ()}
        for key, value in settings.items():
            table[key] = value
            words = str(value).split()
            self.sources[app, key] = place_of(lines.get(words[0]) or lines.get(key) or block)
        for line in servers:
            self._peer(line, app)
        named = {_port(line.args[0]) for line in servers}
        if left := [port for port in self._ports_of(app) if port not in named]:
            ports = ", ".join(map(str, left))
            self.report.gap(block, f"it leaves out port {ports}; here all instances get requests")
        return Target("app", app)

    def _peer(self, line: Line, app: str) -> None:
        """Parameters of a server that is an instance of ours."""
        table, ports, number = self.apps[app], self._ports_of(app), _port(line.args[0])
        for key, value in self._parameters(line).items():
            self.sources.setdefault((app, key), place_of(line))
            if key in _SLOT_PARAMETERS and number in ports and len(ports) > 1:
                slot = str(ports.index(number) + 1)
                slots = table.get("slots")
                known = slots if isinstance(slots, dict) else {}
                table["slots"] = {**known, slot: {**known.get(slot, {}), key: value}}
            else:
                table[key] = value
        self.report.settle(line, CARRIED_OUTCOME)

    def _ports_of(self, app: str) -> list[int]:
        return sorted(port for port, name in self.ports.items() if name == app)

    def _settings(self, block: Line) -> dict[str, object]:
        found: dict[str, object] = {}
        for line in block.block or ():
            if line.name != "server":
                self.report.settle(line, _setting(line, found))
        self.report.outcome_kinds.setdefault(id(block), CARRIED_OUTCOME.kind)
        return found

    def _server(self, line: Line, address: str) -> object:
        self.report.settle(line, CARRIED_OUTCOME)
        parameters = self._parameters(line)
        return {"address": address, **parameters} if parameters else address

    def _parameters(self, line: Line) -> dict[str, object]:
        found: dict[str, object] = {}
        for word in line.args[1:]:
            key, _, value = word.partition("=")
            if key in _FLAGS:
                found[key] = True
            elif key in _NUMBERS and whole_number(value) is not None:
                if whole_number(value) != _NUMBERS[key]:
                    found[key] = whole_number(value)
            elif key == "fail_timeout" and duration(value):
                if duration(value) != "10s":
                    found[key] = duration(value)
            elif key not in {"resolve", "service"}:
                self.report.gap(line, f"{word}: nginx has it only in its commercial build")
        return found

    def _add(self, wanted: str, table: dict[str, object], line: Line, tls: Table) -> Target:
        table |= tls
        name = base = app_label(wanted) or "upstream"
        number = 1
        while name in self.apps or name in self.upstreams:
            if self.upstreams.get(name) == table:
                return Target("upstream", name)
            number += 1
            name = f"{base[:46]}-{number}"
        self.upstreams[name] = table
        self.sources[name, ""] = place_of(line)
        return Target("upstream", name)

    def _app_at(self, address: str) -> str | None:
        if address.startswith("unix:"):
            return self.sockets.get(address.removeprefix("unix:"))
        host, _, port = address.rpartition(":")
        if not _LOOPBACK.fullmatch(host) or not port.isdecimal():
            return None
        return self.ports.get(int(port))


def _setting(line: Line, found: dict[str, object]) -> Outcome:
    """A line of an upstream that is no server."""
    if line.name in _METHODS:
        return _method(line, found)
    if line.name == "keepalive" and whole_number(line.args[0]) is not None:
        number = whole_number(line.args[0]) or 0
        if number > _KEEPALIVE:
            found["keepalive"] = number
            return CARRIED_OUTCOME
        return DONE_OUTCOME
    if line.name == "sticky" and line.args[:1] == ("cookie",):
        return _sticky(line, found)
    if line.name in _PORTICO_PARAMETERS:
        return DONE_OUTCOME
    return lost("" if line.name == "include" else _COMMERCIAL_ONLY)


def _method(line: Line, found: dict[str, object]) -> Outcome:
    words = " ".join((line.name, *line.args))
    if "balance" in found:
        return lost("an upstream has one method; the first one counts")
    try:
        Balance.parse(words)
    except ValueError as error:
        return lost(f"the method {error}")
    found["balance"] = words
    return CARRIED_OUTCOME


def _sticky(line: Line, found: dict[str, object]) -> Outcome:
    table: dict[str, object] = {"cookie": line.args[1]}
    for word in line.args[2:]:
        key, _, value = word.partition("=")
        if key in {"expires", "domain", "path", "samesite"}:
            table[key] = value.lower() if key == "samesite" else value
        elif key not in {"httponly", "secure"}:
            return lost(f"sticky has no {key} here")
    found["sticky"] = table
    return CARRIED_OUTCOME


def parse_target(text: str) -> tuple[str, str, str] | None:
    """Scheme, host and path of a `proxy_pass` or `grpc_pass`; None with a variable in it."""
    if "$" in text:
        return None
    match = re.fullmatch(r"(?:(\w+)://)?(unix:[^:]+|[^/]+?)(?::?(/.*))?", text)
    if not match or (match[2].startswith("unix") and not match[2].startswith("unix:/")):
        return None
    return match[1] or "http", match[2].rstrip(":"), match[3] or ""


def _address(text: str) -> str | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


def _has_port(host: str) -> bool:
    return host.startswith("unix:") or bool(re.search(r":[0-9]+$", host))


def _port(address: str) -> int | None:
    found = re.search(r":([0-9]+)$", address)
    return int(found[1]) if found else None


def _short_name(address: str) -> str:
    """`localhost-3000`, or the name of a socket."""
    if address.startswith("unix:"):
        return address.rpartition("/")[2].partition(".")[0]
    return re.sub(r":(80|443)$", "", address)

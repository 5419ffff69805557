"""nginx's stream block as streams of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.core.model.site import parse_network
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    Outcome,
    OutcomeKind,
    lost,
    place_of,
)
from portico.stack.importing.report import Report
from portico.stack.importing.targets import Targets
from portico.stack.importing.values import duration, is_on, whole_number
from portico.stack.model import Place

_VALUES: Final[Mapping[str, Callable[[str], object]]] = {
    "proxy_timeout": duration,
    "proxy_connect_timeout": duration,
    "proxy_responses": whole_number,
    "proxy_protocol": is_on,
    "proxy_next_upstream": is_on,
    "access_log": lambda text: text != "off",
}
_DEFAULTS: Final = {
    "proxy_timeout": "10m",
    "proxy_connect_timeout": "1m",
    "proxy_responses": None,
    "proxy_protocol": False,
    "proxy_next_upstream": True,
    "access_log": True,
}
"""Portico's, or what nginx has without the line."""
_SILENT_DIRECTIVES: Final = frozenset(
    {"tcp_nodelay", "proxy_socket_keepalive", "proxy_buffer_size", "preread_timeout", "error_log"}
)


@dataclass
class Streams:
    tables: dict[str, dict[str, object]] = field(default_factory=dict)
    sources: dict[str, Place] = field(default_factory=dict)


def streams_of(main: Sequence[Line], targets: Targets, report: Report) -> Streams:
    found = Streams()
    lines = [each for line in main if line.name == "stream" for each in line.block or ()]
    own = Targets(
        targets.apps,
        targets.ports,
        targets.sockets,
        {line.args[0]: line for line in lines if line.name == "upstream" and line.args},
        report,
        targets.upstreams,
        targets.sources,
    )
    for line in lines:
        if line.name == "server":
            _add(line, own, report, found)
    return found


def _add(server: Line, targets: Targets, report: Report, found: Streams) -> None:
    lines = server.block or ()
    passed = next((each for each in lines if each.name == "proxy_pass"), None)
    listens = [each for each in lines if each.name == "listen"]
    keys = [key for each in listens if (key := _key(each))]
    target = targets.of_host(passed.args[0], passed) if passed and passed.args else None
    if not keys or target is None or any("ssl" in each.args for each in listens):
        report.all_of(server, OutcomeKind.LISTED)
        report.gap(server, "Portico has no such stream; nginx has no place for it in an include")
        return
    table: dict[str, object] = {target.kind: target.name}
    report.outcome_kinds[id(server)] = OutcomeKind.CARRIED
    for line in lines:
        report.settle(line, _outcome(line, table))
    udp = any("udp" in each.args for each in listens)
    for key in dict.fromkeys(keys):
        found.tables[f"{key}/udp" if udp else key] = table
        found.sources[f"{key}/udp" if udp else key] = place_of(server)


def _key(line: Line) -> str | None:
    """Without an address Portico listens on loopback, nginx everywhere."""
    match = (
        re.fullmatch(r"(?:(\[[0-9a-f:]+\]|[0-9.]+|\*):)?([0-9]+)", line.args[0])
        if line.args
        else None
    )
    if not match or match[1] == "[::]":
        return None
    address = "*" if match[1] in {None, "0.0.0.0"} else match[1]  # noqa: S104
    return f"{address}:{match[2]}"


def _outcome(line: Line, table: dict[str, object]) -> Outcome:
    if line.name in _SILENT_DIRECTIVES:
        return DONE_OUTCOME
    if line.name in {"allow", "deny"}:
        return _network(line, table)
    if line.name in {"listen", "proxy_pass"}:
        return CARRIED_OUTCOME
    read = _VALUES.get(line.name)
    value = read(line.args[0]) if read and line.args else None
    if value is None:
        return lost("Portico's streams have no key for it")
    if value != _DEFAULTS[line.name]:
        table[line.name] = value
    return CARRIED_OUTCOME


def _network(line: Line, table: dict[str, object]) -> Outcome:
    """Those denied come first, and with `allow` all others are."""
    known = table.get(line.name)
    if line.args == ("all",):
        return CARRIED_OUTCOME if line.name == "deny" and "allow" in table else lost("it says all")
    try:
        table[line.name] = [*(known if isinstance(known, list) else ()), parse_network(*line.args)]
    except (TypeError, ValueError):
        return lost("Portico allows and denies networks")
    return CARRIED_OUTCOME

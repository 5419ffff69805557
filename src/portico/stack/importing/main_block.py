"""nginx's main level, and the ports of all servers, as the table [edge]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from portico.core.model.nginx_lines import Line
from portico.stack.importing.definitions import Definitions
from portico.stack.importing.part import (
    CARRIED_OUTCOME,
    DONE_OUTCOME,
    Outcome,
    Part,
    done,
    lost,
    place_of,
)
from portico.stack.importing.report import Report
from portico.stack.importing.rules.table import outcome_of
from portico.stack.importing.server import Server
from portico.stack.importing.values import duration, whole_number
from portico.stack.model import Place

_CONNECTIONS: Final = 16384
_MAX_WORKERS: Final = 512
_TABLES: Final = frozenset({"http", "stream", "mail"})
_USER: Final = "nginx's workers run as [edge] user here, portico-nginx unless set"
_MODULE: Final = "Portico loads the modules that it knows by itself"


def edge_of(
    main: Sequence[Line], servers: Sequence[Server], report: Report
) -> tuple[dict[str, object], dict[str, Place]]:
    table: dict[str, object] = {}
    sources: dict[str, Place] = {}
    lines = [
        each for line in main for each in (line.block or () if line.name == "events" else (line,))
    ]
    for line in lines:
        if line.name not in _TABLES:
            before = set(table)
            report.settle(line, _outcome(line, table))
            sources |= dict.fromkeys(table.keys() - before, place_of(line))
    for key, tls, usual in (("http", False, 80), ("https", True, 443)):
        ports = Counter(
            each.port
            for server in servers
            for each in server.listens
            if each.tls is tls and each.port
        )
        if ports and usual not in ports:
            table[key] = ports.most_common(1)[0][0]
    return table, sources


def _outcome(line: Line, table: dict[str, object]) -> Outcome:
    value = line.args[0] if line.args else ""
    match line.name:
        case "user":
            return done(_USER)
        case "worker_processes":
            return _set(
                table, "workers", None if value == "auto" else whole_number(value), _MAX_WORKERS
            )
        case "worker_connections":
            number = whole_number(value) or 0
            return _set(table, "worker_connections", number if number > _CONNECTIONS else None)
        case "worker_shutdown_timeout":
            text = duration(value) or ""
            return _set(table, "shutdown_timeout", whole_number(text.removesuffix("s")))
        case "load_module":
            return lost(_MODULE)
        case _:
            found = outcome_of(line, Part((), Definitions()))
            return lost(found.why) if found.can_be_kept else found


def _set(
    table: dict[str, object], key: str, value: int | None, highest: int = 1_000_000
) -> Outcome:
    if value is None or not 0 < value <= highest:
        return DONE_OUTCOME
    table[key] = value
    return CARRIED_OUTCOME

"""All rules over one stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from portico.stack.doctor.rule import SEVERITIES, Facts, Finding, Rule
from portico.stack.doctor.rules import (
    access,
    balancing,
    caddyfiles,
    certificates,
    containers,
    headers,
    keepalive,
    limits,
    logs,
    names,
    passing,
    patterns,
    processes,
    renewals,
    security,
    tls,
    units,
)

FAMILIES: Final = {
    "balancing": ("Balancing", balancing),
    "keepalive": ("Connections to programs", keepalive),
    "passing": ("Where requests are passed to", passing),
    "headers": ("Headers", headers),
    "names": ("Names of servers", names),
    "tls": ("Listeners and TLS", tls),
    "certificates": ("Certificates", certificates),
    "renewals": ("Renewals", renewals),
    "security": ("Security", security),
    "access": ("Access", access),
    "patterns": ("Patterns and variables", patterns),
    "processes": ("Processes", processes),
    "units": ("Units of systemd", units),
    "containers": ("Compose files", containers),
    "caddyfiles": ("Caddyfiles", caddyfiles),
    "limits": ("Limits of nginx", limits),
    "logs": ("Logs", logs),
}
"""By the name of the module: the heading of the index, and the module."""


def _rules() -> Iterator[Rule]:
    for _, module in FAMILIES.values():
        yield from (each for each in vars(module).values() if isinstance(each, Rule))


RULES: Final = tuple(_rules())


def diagnose(facts: Facts) -> list[Finding]:
    """What is wrong, the most severe first, then by file and line; the same is said once."""
    found = {
        (each.code, place, what): Finding(each, place, what)
        for each in RULES
        for place, what in each.find(facts)
    }
    return sorted(found.values(), key=_order)


def _order(finding: Finding) -> tuple[int, str, int, str]:
    severity = SEVERITIES.index(finding.rule.severity)
    return severity, finding.place.file, finding.place.line, finding.rule.code

"""Servers elsewhere with a health check: from probes to what discovery hands out.

A server fails after `fall` failed probes in a row, and is back after `rise` good ones. As long as
none passes, all are handed out: nginx without any peer answers 502 for sure, where a failing
server perhaps answers something.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from portico.core.model.check import ServerCheck
from portico.core.model.names import InstanceId, url_host
from portico.core.model.upstream import Server
from portico.core.model.world import Endpoint

_SLOTS: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class CheckedServer:
    """One address of a server."""

    server: Server
    host: str
    address: str
    """An IPv4 or IPv6 address."""
    port: int
    is_well: bool = True
    against: int = 0
    """How many probes in a row have spoken against `is_well`."""
    reason: str = ""
    """What the last probe found wrong; empty if it passed."""

    @property
    def name(self) -> str:
        """`10.0.0.5:3000`, `[2001:db8::1]:443`."""
        return f"{url_host(self.address)}:{self.port}"


def server_after(server: CheckedServer, trouble: str | None, check: ServerCheck) -> CheckedServer:
    """The server after one probe; `trouble` is what was wrong, None if nothing was."""
    if server.is_well is (trouble is None):
        return replace(server, against=0, reason=trouble or "")
    if server.against + 1 < (check.fall if trouble else check.rise):
        return replace(server, against=server.against + 1, reason=trouble or server.reason)
    return replace(server, is_well=trouble is None, against=0, reason=trouble or "")


def server_endpoints(servers: Sequence[CheckedServer], *, scale: int = 1) -> tuple[Endpoint, ...]:
    """What discovery hands out; a slot is made of the address, so that it stays the same."""
    usable = [each for each in servers if not each.server.down]
    well = [each for each in usable if each.is_well]
    return tuple(_endpoint(each, scale) for each in well or usable)


def host_and_port(server: Server) -> tuple[str, int]:
    host, _, port = server.address.rpartition(":")
    return host.strip("[]"), int(port)


def with_verdicts(
    found: Iterable[CheckedServer], known: Iterable[CheckedServer]
) -> list[CheckedServer]:
    """Those found, each with what its probes have shown before, and no address twice."""
    before = {each.name: each for each in known}
    servers: dict[str, CheckedServer] = {}
    for server in found:
        if old := before.get(server.name):
            servers.setdefault(
                server.name,
                replace(server, is_well=old.is_well, against=old.against, reason=old.reason),
            )
        servers.setdefault(server.name, server)
    return list(servers.values())


def _endpoint(each: CheckedServer, scale: int) -> Endpoint:
    slot = int.from_bytes(sha256(each.name.encode()).digest()[:8], "big") % _SLOTS
    return Endpoint(
        slot,
        InstanceId(each.name),
        each.port,
        weight=each.server.weight * scale,
        backup=each.server.backup,
        address=each.address,
    )

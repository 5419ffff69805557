"""Servers elsewhere: their addresses, and whether they are well."""

from __future__ import annotations

from typing import Protocol

from portico.core.model.check import Check, TlsToServer


class Servers(Protocol):
    async def addresses(self, host: str) -> tuple[str, ...]:
        """IPv4 and IPv6 addresses of a host, in an order that does not change; an address has
        itself. Raises Failed where there is none, or no answer in time.
        """

    async def probe(
        self, check: Check, address: str, port: int, tls: TlsToServer | None
    ) -> str | None:
        """Ask a server once; None when it is well, else what was wrong in a few words."""

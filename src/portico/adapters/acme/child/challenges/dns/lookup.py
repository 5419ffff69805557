"""Where in DNS a record belongs, and who serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
from dns.rdata import Rdata
from dns.rdatatype import CNAME, NS, RdataType
from dns.rdtypes.ANY.CAA import CAA

from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import AcmeFailure, setup_failure
from portico.adapters.acme.methods import Lookups

PORT: Final = 53
LOOKUP_TIMEOUT: Final = 10.0  # seconds
MAX_CNAME_CHAIN: Final = 8  # of CNAMEs; authorities follow about as many


@dataclass(frozen=True, slots=True)
class AuthoritativeServer:
    """One address of a name server."""

    name: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


class Lookup:
    """Asks the resolvers; AcmeFailure when none of them answers."""

    def __init__(self, lookups: Lookups, context: RunContext) -> None:
        self._port, self._context = lookups.port, context
        self._resolver = resolver(lookups.resolvers)

    def target(self, name: str) -> str:
        """Where CNAMEs lead, so that a zone of its own can be used for proofs."""
        seen = [name]
        while found := self._ask(seen[-1], CNAME):
            if found[0] in seen or len(seen) > MAX_CNAME_CHAIN:
                raise setup_failure(f"cannot validate {name}: its CNAME records form a loop")
            seen.append(found[0])
        return seen[-1]

    def zone(self, name: str) -> str:
        """The zone that holds the name."""
        try:
            limit = self._context.timeout(LOOKUP_TIMEOUT, f"looking for the zone of {name}")
            found = dns.resolver.zone_for_name(name, resolver=self._resolver, lifetime=limit)
        except (dns.exception.DNSException, OSError) as error:
            raise self._lookup_failure(f"find the zone of {name}", error) from error
        return _plain(found)

    def addresses(self, name: str) -> list[str]:
        """IPv4 first."""
        kinds = (RdataType.A, RdataType.AAAA)
        return [each for kind in kinds for each in sorted(self._ask(name, kind))]

    def caa(self, name: str) -> tuple[str, list[CAA]]:
        """The records that hold for a name, and whose they are: its own, or those of the nearest
        name above it that has any. RFC 8659 3.
        """
        labels = name.removeprefix("*.").split(".")
        for n in range(len(labels)):
            owner = ".".join(labels[n:])
            if found := [r for r in self._records(owner, RdataType.CAA) if isinstance(r, CAA)]:
                return owner, found
        return "", []

    def servers(self, zone: str) -> list[AuthoritativeServer]:
        """Every address of every authoritative server."""
        found = [
            AuthoritativeServer(name, address, self._port)
            for name in sorted(self._ask(zone, NS))
            for kind in (RdataType.A, RdataType.AAAA)
            for address in self._ask(name, kind)
        ]
        if not found:
            raise setup_failure(
                f"cannot find the name servers of {zone}: it has no usable NS record"
            )
        return found

    def _ask(self, name: str, kind: RdataType) -> list[str]:
        return [each.to_text().rstrip(".").lower() for each in self._records(name, kind)]

    def _records(self, name: str, kind: RdataType) -> list[Rdata]:
        limit = self._context.timeout(LOOKUP_TIMEOUT, f"looking up {name}")
        try:
            found = self._resolver.resolve(name, kind, lifetime=limit, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise self._lookup_failure(f"look up {name}", error) from error
        return list(found)

    def _lookup_failure(self, what: str, error: Exception) -> AcmeFailure:
        asked = ", ".join(map(str, self._resolver.nameservers))
        return setup_failure(
            f"cannot {what} in DNS: {_reason(error)} (asked {asked}); see resolvers"
        )


def resolver(addresses: Sequence[str]) -> dns.resolver.Resolver:
    """One that asks these (`192.0.2.1:53`), or the system's."""
    try:
        found = dns.resolver.Resolver(configure=not addresses)
    except dns.resolver.NoResolverConfiguration as error:
        raise setup_failure(
            "no DNS resolver is configured on this system; set resolvers"
        ) from error
    if addresses:
        pairs = [split_address(each) for each in addresses]
        found.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in pairs]
    return found


def split_address(text: str) -> tuple[str, int]:
    """`192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53` as address and port."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or (":" in host and not host.endswith("]")):
        host, port = text, str(PORT)
    try:
        return str(ip_address(host.strip("[]"))), int(port)
    except ValueError:
        raise setup_failure(
            f"cannot use resolver {text}: not an address such as 192.0.2.1:53"
        ) from None


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _reason(error: Exception) -> str:
    if isinstance(error, dns.resolver.NoRootSOA):
        return "it is in no zone"
    if isinstance(error, dns.exception.Timeout):
        return "timed out"
    return " ".join(str(error).split())

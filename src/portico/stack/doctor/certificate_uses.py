"""Where files of certificates are used, and for which names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from portico.importers.sites import tables
from portico.stack.doctor.own_lines import line_of
from portico.stack.doctor.rule import Facts, place_of
from portico.stack.model import Place


@dataclass(frozen=True, slots=True)
class CertificateUse:
    place: Place
    chain: str
    key: str
    names: tuple[str, ...]
    """Those that can be compared: no pattern, no variable."""


def uses(facts: Facts) -> Iterator[CertificateUse]:
    for server in facts.nginx.servers:
        chains = server.inherited_lines("ssl_certificate")
        keys = server.inherited_lines("ssl_certificate_key")
        names = tuple(name.lower() for name in server.names if _is_plain(name))
        if len(chains) != 1 or not server.tls or server.rejects:
            continue  # with two, of RSA and of ECDSA, either serves
        key = " ".join(keys[0].args) if len(keys) == 1 else ""
        named = server.all("server_name")
        place = place_of(named[0] if named else chains[0])
        yield CertificateUse(place, " ".join(chains[0].args), key, names)
    yield from _own_uses(facts)


def _own_uses(facts: Facts) -> Iterator[CertificateUse]:
    for own in facts.own:
        folder = Path(own.path).parent
        for name, site in tables(own.table.get("sites")).items():
            tls = site.get("tls")
            if not isinstance(tls, Mapping) or "certificate" not in tls:
                continue
            aliases = site.get("aliases", [])
            given = [name, *(aliases if isinstance(aliases, list) else [])]
            names = tuple(str(each).lower() for each in given if _is_plain(str(each)))
            chain = str(folder / str(tls["certificate"]))
            key = str(folder / str(tls["key"])) if "key" in tls else ""
            yield CertificateUse(line_of(own, "sites", name), chain, key, names)


def _is_plain(name: str) -> bool:
    is_pattern = name.startswith(("~", ".", "*")) or name.endswith("*")
    return "." in name and "$" not in name and not is_pattern


def covers(names: Iterable[str], name: str) -> bool:
    """With a wildcard for one label (RFC 9525 6.3)."""
    return any(
        name == each or (each.startswith("*.") and name.partition(".")[2] == each[2:])
        for each in names
    )

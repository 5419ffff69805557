"""What would make an order fail, from what was seen before it is sent.

An authority counts what fails with it: five validations of a name within an hour lock it out. So
everything that can be seen from here is looked at first, and said with what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from portico.core.model.certificate import Challenge, Issuer, Lineage
from portico.core.model.names import is_ip, is_local_name
from portico.core.model.preflight import Caa, Name, PreflightFacts

MAX_CLOCK_SKEW: Final = 600.0
"""Seconds. Authorities date certificates back by an hour, and limits are a matter of days."""
MIN_ROOM: Final = 1 << 20
"""Bytes for a key, a chain, the record of an order, and the one before."""
MIN_FILES: Final = 32
_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_RESERVED_DOMAINS: Final = (
    frozenset(  # RFC 2606, 6761, 7686, 8375, and what ICANN will not delegate
        {
            *("alt", "arpa", "corp", "example", "home", "internal", "invalid", "lan", "local"),
            *("localhost", "mail", "onion", "test"),
        }
    )
)
_KNOWN_TAGS: Final = frozenset(
    {"issue", "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone"}
)
_CRITICAL_FLAG: Final = 128  # RFC 8659 4.1.1


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    do: str
    name: str = ""
    """The one name that it is about; empty if nothing at all can be ordered."""

    def __str__(self) -> str:
        return f"{self.what}: {self.do}" if self.do else self.what


def name_findings(lineage: Lineage, issuer: Issuer) -> Iterator[Finding]:
    """What is wrong with the names themselves, whatever the world is like."""
    private = issuer.ca_bundle is not None  # such an authority may sign for what it likes
    for name in lineage.names:
        if is_ip(name):
            if not private and not ip_address(name).is_global:
                yield Finding(f"{name} is not a public address", _NO_AUTHORITY_ADVICE, name)
        elif malformed := _syntax_error(name.removeprefix("*.")):
            what = f"{name} is not a valid domain name: {malformed}"
            yield Finding(what, "correct it in the file", name)
        elif not private and (why := _not_public(name)):
            yield Finding(f"{name} is not a public name: {why}", _NO_AUTHORITY_ADVICE, name)


def findings(lineage: Lineage, issuer: Issuer, seen: PreflightFacts) -> Iterator[Finding]:
    """Everything that would make the order fail; nothing where it may be sent."""
    yield from _machine(seen)
    if seen.unprovable:
        yield Finding(seen.unprovable, "")
    for name in seen.names:
        if name.trouble:
            yield Finding(name.trouble, "", name.name)
            continue
        found = (
            *_caa_findings(name, seen, challenge_of(name.name, lineage.challenges)),
            *_address_findings(name, private=issuer.ca_bundle is not None),
        )
        yield from (replace(each, name=name.name) for each in found)


def challenge_of(name: str, challenges: Sequence[Challenge]) -> Challenge | None:
    """The first that can prove it: wildcards in DNS only, addresses never there."""
    for each in challenges:
        in_dns = each.kind in {"dns-01", "manual"}
        if in_dns if name.startswith("*.") else not (each.kind == "dns-01" and is_ip(name)):
            return each
    return None


_NO_AUTHORITY_ADVICE: Final = (
    'no authority issues certificates for it; for a local one, set issuer = "local"'
)


def _syntax_error(name: str) -> str:
    for label in name.split("."):
        if not _LABEL.fullmatch(label):
            return f"{label!r} is not a valid label"
        if label[2:4] == "--" and not label.startswith("xn"):
            return f"{label!r} is reserved (RFC 5890)"
    return ""


def _not_public(name: str) -> str:
    plain = name.removeprefix("*.")
    last = plain.rpartition(".")[2]
    if is_local_name(plain) or last in _RESERVED_DOMAINS:
        return f".{last} is not a public suffix"
    if "." not in plain:
        return "it has only one label"
    return "its last label is a number" if last.isdigit() else ""


def _machine(seen: PreflightFacts) -> Iterator[Finding]:
    ahead = seen.clock_ahead
    if ahead is not None and abs(ahead) > MAX_CLOCK_SKEW:
        way = "ahead of" if ahead > 0 else "behind"
        yield Finding(
            f"this machine's clock is {abs(ahead) / 60:.0f} minutes {way} the authority's",
            "set it, and synchronize it (chrony, systemd-timesyncd)",
        )
    for each in seen.unwritable:
        what = f"a new certificate could not be stored: cannot write to {each}"
        yield Finding(what, "give the daemon's user write permission there, or free disk space")
    if seen.room is not None and seen.room < MIN_ROOM:
        left = f"only {seen.room >> 10} KiB are free on the disk of the certificates"
        yield Finding(left, "free disk space")
    if seen.files is not None and seen.files < MIN_FILES:
        left = f"only {seen.files} inodes are free on the disk of the certificates"
        yield Finding(left, "remove files there")


def _caa_findings(
    name: Name, seen: PreflightFacts, challenge: Challenge | None
) -> Iterator[Finding]:
    """RFC 8659 4 and RFC 8657."""
    if not seen.identities or is_ip(name.name):
        return
    wanted = " or ".join(seen.identities)
    if unknown := next((each for each in name.caa if _is_unknown(each)), None):
        what = f'the CAA record of {name.caa_of} has the critical property "{unknown.tag}"'
        yield Finding(f"{what}, which authorities do not know", "remove it")
        return
    records = _relevant(name)
    if records and not any(_permits(each.value, seen, challenge) for each in records):
        tags = "; ".join(f'{each.tag} "{each.value}"' for each in records)
        yield Finding(
            f"CAA records of {name.caa_of} forbid the authority to issue for {name.name} ({tags})",
            f'add one: {name.caa_of} CAA 0 {records[0].tag} "{wanted}"',
        )


def _is_unknown(record: Caa) -> bool:
    return bool(record.flags & _CRITICAL_FLAG) and record.tag.lower() not in _KNOWN_TAGS


def _relevant(name: Name) -> list[Caa]:
    tagged = {
        tag: [each for each in name.caa if each.tag.lower() == tag]
        for tag in ("issue", "issuewild")
    }
    if name.name.startswith("*.") and tagged["issuewild"]:
        return tagged["issuewild"]
    return tagged["issue"]


def _permits(value: str, seen: PreflightFacts, challenge: Challenge | None) -> bool:
    domain, *rest = (part.strip() for part in value.split(";"))
    if domain.lower().rstrip(".") not in {each.lower() for each in seen.identities}:
        return False
    options = dict(part.partition("=")[::2] for part in rest)
    account = options.get("accounturi")
    if account is not None and seen.account and account.strip() != seen.account:
        return False
    methods = options.get("validationmethods")
    if methods is None or challenge is None or challenge.kind == "manual":
        return True
    proof = "http-01" if challenge.kind == "standalone" else challenge.kind
    return proof in re.split(r"\s*,\s*", methods.strip())


def _address_findings(name: Name, *, private: bool) -> Iterator[Finding]:
    """Every address has to be ours: authorities ask any of them, and IPv6 first."""
    if not name.addresses and name.by_address:
        what = f"{name.name} does not resolve: it has neither an A nor an AAAA record"
        yield Finding(what, "create one with this machine's public address")
    known_good = any(not each.wrong and not each.unasked for each in name.addresses)
    for each in name.addresses:
        kind = "AAAA" if ":" in each.address else "A"
        record = f"the {kind} record of {name.name}" if each.address != name.name else "it"
        if not private and not ip_address(each.address).is_global:
            what = f"{name.name} resolves to {each.address}, a private address"
            yield Finding(what, f"set {record} to this machine's public address")
        elif each.unasked and known_good:
            continue  # what no other machine of ours can tell; the authority will
        elif each.wrong:
            yield Finding(
                f"{name.name} at {each.address} does not reach this machine: {each.wrong}",
                f"set {record} to this machine or remove it, and open port 80; if only this "
                "machine cannot reach itself there (NAT), set preflight = false",
            )

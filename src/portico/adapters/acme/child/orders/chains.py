"""A new certificate: which of its chains to take, what it says, and whether that is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from cryptography import x509

from portico.adapters.acme.child.failures import unavailable
from portico.adapters.acme.child.protocol.keys import Key
from portico.adapters.acme.wire import Checks
from portico.core.model.moments import moment
from portico.system.x509 import UNREADABLE, Chain, common_name, names_of, plain, signed
from portico.system.x509 import read_chain as load_chain

MAX_CLOCK_SKEW: Final = timedelta(minutes=5)  # by which two good clocks may differ


@dataclass(frozen=True, slots=True)
class ChainChoice:
    pem: str
    note: str = ""


def choose(chains: Sequence[str], preferred: str | None) -> ChainChoice:
    """The chain whose topmost issuer has this common name, else one that has it anywhere, else
    the authority's default one, with a note.
    """
    if not preferred:
        return ChainChoice(chains[0])
    names = [issuers(read_chain(each)) for each in chains]
    for fits in (lambda chain: chain[-1] == preferred, lambda chain: preferred in chain):
        for pem, found in zip(chains, names, strict=True):
            if fits(found):
                return ChainChoice(pem)
    offered = ", ".join(dict.fromkeys(found[-1] for found in names))
    return ChainChoice(chains[0], f"no chain was issued by {preferred}; available: {offered}")


def read_chain(pem: str) -> Chain:
    """Certificates of which all that is looked at here can be read. Raises AcmeFailure."""
    try:
        return load_chain(pem.encode())
    except UNREADABLE as error:
        raise unavailable(f"cannot read the certificate that it sent: {error}") from error


def issuers(chain: Chain) -> list[str]:
    return [common_name(each.issuer) for each in chain]


def check(chain: Chain, key: Key, names: Sequence[str], now: float) -> Checks:
    return Checks(
        pair=_pair(chain[0], key),
        names=_names(chain[0], names),
        chain="; ".join(_links(chain)),
        dates="; ".join(_dates(chain, datetime.fromtimestamp(now, UTC))),
    )


def is_for(certificate: x509.Certificate, key: Key) -> bool:
    return certificate.public_key() == key.public_key()


def _pair(leaf: x509.Certificate, key: Key) -> str:
    return "" if is_for(leaf, key) else "the certificate is for another key"


def _names(leaf: x509.Certificate, names: Sequence[str]) -> str:
    wanted, held = set(map(plain, names)), names_of(leaf)
    problems = [f"lacks {', '.join(sorted(wanted - held))}"] if wanted - held else []
    if held - wanted:
        problems.append(f"also has {', '.join(sorted(held - wanted))}")
    return f"the certificate {' and '.join(problems)}" if problems else ""


def _links(chain: Chain) -> Iterator[str]:
    if len(chain) == 1 and chain[0].issuer != chain[0].subject:
        yield "its issuer's certificate is missing"
    for number, (one, following) in enumerate(pairwise(chain), 1):
        if not signed(one, following):
            yield f"certificate {number} was not signed by certificate {number + 1}"
        if not _may_sign(following):
            yield f"certificate {number + 1} may not sign certificates"


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _dates(chain: Chain, now: datetime) -> Iterator[str]:
    leaf = chain[0]
    if leaf.not_valid_after_utc <= leaf.not_valid_before_utc:
        yield "the certificate expires before it becomes valid"
    for number, each in enumerate(chain, 1):
        begin, end = each.not_valid_before_utc, each.not_valid_after_utc
        if now + MAX_CLOCK_SKEW < begin:
            yield f"certificate {number} is not valid before {moment(begin.timestamp())}"
        if now > end:
            yield f"certificate {number} expired on {moment(end.timestamp())}"

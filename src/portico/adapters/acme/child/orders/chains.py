"""Which of a new certificate's chains to take. Whether it is right is seen when it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from portico.adapters.acme.child.failures import unavailable_failure
from portico.adapters.acme.child.protocol.keys import Key
from portico.system.x509 import PARSE_ERRORS, Chain, common_name
from portico.system.x509 import read_chain as load_chain


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
    except PARSE_ERRORS as error:
        raise unavailable_failure(f"cannot read the certificate that it sent: {error}") from error


def issuers(chain: Chain) -> list[str]:
    return [common_name(each.issuer) for each in chain]


def is_for(certificate: x509.Certificate, key: Key) -> bool:
    return certificate.public_key() == key.public_key()

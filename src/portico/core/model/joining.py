"""How a machine joins a cluster that has a store: by a token, a question and an answer.

    token       ID.SECRET.FINGERPRINT, in hexadecimal. The store has a digest of the secret; the
                fingerprint is the SHA-256 of the authority's certificate, so that the new machine
                knows whom it asks before it sends the secret
    GET /join   a JoinOffer, which is public
    POST /join  a JoinRequest with a signing request: the key is made on the new machine and never
                leaves it. A JoinAnswer, or an object with `error`

Both are sent to the port at which a member's nginx takes requests of other machines. JSON.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from portico.core.model.moments import moment
from portico.errors import Refused

SCHEMA: Final = 1
"""Of the question and its answers."""
JOIN_PATH: Final = "/join"
MAX_JOIN_SIZE: Final = 16 << 10
"""Bytes of a question or an answer."""
TOKEN_LIFETIME: Final = 900.0
MAX_CLOCK_DIFFERENCE: Final = 600.0
"""Seconds between the clocks of the two machines; certificates are valid from an hour before."""
_TOKEN: Final = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{32})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    secret: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}.{self.fingerprint}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Raises Refused."""
        if not (match := _TOKEN.fullmatch(text.strip())):
            raise Refused(
                "cannot join: --token is not a whole token; nothing was changed. `portico cluster "
                "token` on a machine of the cluster creates one"
            )
        return cls(*match.groups())


class JoinOffer(msgspec.Struct, frozen=True, kw_only=True):
    v: int = SCHEMA
    cluster: str
    authority: bytes
    """Certificate of the authority of the machines, DER: there is one way to read it."""
    version: str
    """Of Portico there."""
    now: float
    """Unix time there."""


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    v: int = SCHEMA
    id: str
    secret: str
    name: str
    address: str
    port: int
    labels: tuple[str, ...] = ()
    store_schema: int = 1
    """The newest schema of the store that it knows."""
    request: str
    """PKCS #10 (RFC 2986), PEM. Only its key counts."""


class StoreAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How the machine reaches the store."""

    endpoints: tuple[str, ...]
    user: str = ""
    password: str = ""
    plain: bool = False
    authority: str = ""
    """Certificates (PEM) of the authority of etcd, where it has one of its own."""


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    v: int = SCHEMA
    certificate: str
    """PEM."""
    cluster_key: bytes
    store: StoreAccess


def offer_problem(offer: JoinOffer, version: str, now: float) -> str:
    """Why a machine with this version and clock cannot join; empty if it can."""
    if offer.v != SCHEMA:
        return (
            f"Portico there is version {offer.version}, and here {version}: install the same "
            "version on both machines"
        )
    if abs(offer.now - now) > MAX_CLOCK_DIFFERENCE:
        return (
            f"the clock there says {moment(offer.now)}, and the clock of this machine "
            f"{moment(now)}: set the one that is wrong"
        )
    return ""

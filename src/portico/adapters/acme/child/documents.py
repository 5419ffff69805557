"""The documents of an authority, as far as they are read. RFC 8555 7.1."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

from msgspec import Struct, field
from msgspec.json import Decoder

from portico.core.model.json_text import DECODE_ERRORS
from portico.system.base64url import base64url


@dataclass(frozen=True, slots=True)
class Identifier:
    type: str
    """`dns` or `ip`."""
    value: str

    @classmethod
    def of(cls, name: str) -> Identifier:
        try:
            return cls("ip", str(ip_address(name)))
        except ValueError:
            return cls("dns", name)


@dataclass(frozen=True, slots=True)
class Problem:
    type: str = "about:blank"
    detail: str = ""
    status: int | None = None
    identifier: Identifier | None = None
    subproblems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Challenge:
    type: str
    url: str
    token: str = ""
    status: Literal["pending", "processing", "valid", "invalid"] = "pending"
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    identifier: Identifier
    status: Literal["pending", "valid", "invalid", "deactivated", "expired", "revoked"]
    challenges: tuple[Challenge, ...]
    wildcard: bool = False

    @property
    def name(self) -> str:
        return f"*.{self.identifier.value}" if self.wildcard else self.identifier.value


@dataclass(frozen=True, slots=True)
class Order:
    status: Literal["pending", "ready", "processing", "valid", "invalid"]
    identifiers: tuple[Identifier, ...]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str | None = None
    error: Problem | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class AccountDocument:
    status: str
    contact: tuple[str, ...] | None = None
    orders: str | None = None
    """URL of the list of its orders; many authorities have none."""


@dataclass(frozen=True, slots=True)
class OrderList:
    orders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    start: str
    end: str


class RenewalDocument(Struct, frozen=True):
    """RFC 9773 4.2."""

    window: Window = field(name="suggestedWindow")
    explanation: str = field(default="", name="explanationURL")


class Meta(Struct, frozen=True):
    caa: tuple[str, ...] = field(default=(), name="caaIdentities")
    binding_required: bool = field(default=False, name="externalAccountRequired")
    profiles: Mapping[str, str] | None = None


class DirectoryDocument(Struct, frozen=True):
    """Where an authority takes which request."""

    new_nonce: str = field(name="newNonce")
    new_account: str = field(name="newAccount")
    new_order: str = field(name="newOrder")
    revoke: str = field(default="", name="revokeCert")
    key_change: str = field(default="", name="keyChange")
    renewal_info: str = field(default="", name="renewalInfo")
    meta: Meta = Meta()


PROBLEM: Final = Decoder(Problem, strict=False)
AUTHORIZATION: Final = Decoder(Authorization, strict=False)
ORDER: Final = Decoder(Order, strict=False)
ACCOUNT: Final = Decoder(AccountDocument, strict=False)
ORDERS: Final = Decoder(OrderList, strict=False)
DIRECTORY: Final = Decoder(DirectoryDocument, strict=False)
RENEWAL: Final = Decoder(RenewalDocument, strict=False)


def problem_of(body: bytes, status: int) -> Problem:
    """The problem document of an answer; what was answered instead, if there is none."""
    try:
        return PROBLEM.decode(body)
    except DECODE_ERRORS:
        text = body[:200].decode("utf-8", "replace")
        return Problem(detail=f"status {status} without a problem document: {text}", status=status)


def key_authorization(token: str, thumbprint: str) -> str:
    """RFC 8555 8.1."""
    return f"{token}.{thumbprint}"


def txt_value(authorization: str) -> str:
    """What the TXT record of a DNS-01 challenge holds. RFC 8555 8.4."""
    return base64url(hashlib.sha256(authorization.encode()).digest())

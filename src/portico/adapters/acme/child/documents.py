"""The documents of an authority, as far as they are read. RFC 8555 7.1."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

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

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(each.removeprefix("mailto:") for each in self.contact or ())


@dataclass(frozen=True, slots=True)
class OrderList:
    orders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class RenewalDocument:
    """RFC 9773 4.2."""

    window: Annotated[Window, Field(alias="suggestedWindow")]
    explanation: Annotated[str, Field(alias="explanationURL")] = ""


@dataclass(frozen=True, slots=True)
class Meta:
    caa: Annotated[tuple[str, ...], Field(alias="caaIdentities")] = ()
    binding_required: Annotated[bool, Field(alias="externalAccountRequired")] = False
    profiles: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class DirectoryDocument:
    """Where an authority takes which request."""

    new_nonce: Annotated[str, Field(alias="newNonce")]
    new_account: Annotated[str, Field(alias="newAccount")]
    new_order: Annotated[str, Field(alias="newOrder")]
    revoke: Annotated[str, Field(alias="revokeCert")] = ""
    key_change: Annotated[str, Field(alias="keyChange")] = ""
    renewal_info: Annotated[str, Field(alias="renewalInfo")] = ""
    meta: Meta = Meta()


PROBLEM: Final = TypeAdapter(Problem)
AUTHORIZATION: Final = TypeAdapter(Authorization)
ORDER: Final = TypeAdapter(Order)
ACCOUNT: Final = TypeAdapter(AccountDocument)
ORDERS: Final = TypeAdapter(OrderList)
DIRECTORY: Final = TypeAdapter(DirectoryDocument)
RENEWAL: Final = TypeAdapter(RenewalDocument)


def problem_of(body: bytes, status: int) -> Problem:
    """The problem document of an answer; what was answered instead, if there is none."""
    try:
        return PROBLEM.validate_json(body)
    except ValidationError:
        text = body[:200].decode("utf-8", "replace")
        return Problem(detail=f"status {status} without a problem document: {text}", status=status)


def key_authorization(token: str, thumbprint: str) -> str:
    """RFC 8555 8.1."""
    return f"{token}.{thumbprint}"


def txt_value(authorization: str) -> str:
    """What the TXT record of a DNS-01 challenge holds. RFC 8555 8.4."""
    return base64url(hashlib.sha256(authorization.encode()).digest())

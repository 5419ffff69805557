"""How control over names is shown to an authority: one settings object for each kind of challenge,
and for each way to publish a TXT record. They are a part of the requests of `wire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field


@dataclass(frozen=True, slots=True)
class Http:
    """nginx answers on port 80 with `<token>.<thumbprint>`; all there is to do is wait."""

    tokens: str = ""
    """Folder where nginx sees by an empty file of its name that a token is waited for, before a
    program of the site is asked. None needs to be seen if empty.
    """
    kind: Literal["http-01"] = "http-01"


@dataclass(frozen=True, slots=True)
class Standalone:
    """The child answers on port 80 itself."""

    port: int = 80
    address: str = ""
    """All addresses of the machine if empty."""
    kind: Literal["standalone"] = "standalone"


@dataclass(frozen=True, slots=True)
class TlsAlpn:
    """The child serves the validation certificate; nginx passes ALPN `acme-tls/1` on to it."""

    port: int = 0
    address: str = "127.0.0.1"
    socket: str = ""
    """Path of a unix socket to listen on instead; there nginx says first whom it speaks for (PROXY
    protocol, version 1)."""
    kind: Literal["tls-alpn-01"] = "tls-alpn-01"


@dataclass(frozen=True, slots=True)
class Rfc2136:
    """Dynamic updates of a name server, which BIND, Knot, PowerDNS and others take."""

    server: str
    """`192.0.2.1:53`, `[2001:db8::1]:53`"""
    key_name: str
    secret: str = field(repr=False)
    """Base64, as in BIND's `key` clause."""
    algorithm: str = "hmac-sha256"
    zone: str | None = None
    """The zone to update; found in DNS if unset."""
    kind: Literal["rfc2136"] = "rfc2136"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """A provider of dns-lexicon."""

    provider: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The provider's own, as dns-lexicon names them: `{"auth_token": "…"}`."""
    deadline: float = 60.0
    """Seconds for each change of a record."""
    kind: Literal["lexicon"] = "lexicon"


@dataclass(frozen=True, slots=True)
class Command:
    """Programs of the operator, told what to do in certbot's variables: `CERTBOT_DOMAIN`,
    `CERTBOT_VALIDATION`, `CERTBOT_ALL_DOMAINS`, `CERTBOT_REMAINING_CHALLENGES`,
    `CERTBOT_IDENTIFIER`, and for `cleanup` also `CERTBOT_AUTH_OUTPUT`.
    """

    auth: tuple[str, ...]
    cleanup: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The rest of their environment, with PATH to find them."""
    deadline: float = 60.0
    """Seconds for each run."""
    kind: Literal["command"] = "command"


Publisher = Annotated[Rfc2136 | Lexicon | Command, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Lookups:
    """How names are looked up in DNS."""

    resolvers: tuple[str, ...] = ()
    """`192.0.2.1:53`, `[2001:db8::1]:53`; the system's if empty."""
    port: int = 53
    """Where authoritative servers listen."""
    patience: float = 300.0
    """Seconds until every authoritative server of a zone must serve what was published."""


@dataclass(frozen=True, slots=True)
class Dns:
    """TXT records, the only proof for wildcards."""

    publisher: Publisher
    lookups: Lookups = Lookups()
    kind: Literal["dns-01"] = "dns-01"


@dataclass(frozen=True, slots=True)
class Manual:
    """A person does it. The first request answers ManualSteps, a second one of the same order,
    with `done`, goes on.
    """

    proof: Literal["http-01", "dns-01"] = "dns-01"
    done: bool = False
    look: bool = False
    """Look whether it is done, for TXT records; every request goes on once all are there."""
    lookups: Lookups = Lookups()
    kind: Literal["manual"] = "manual"


Method = Annotated[Http | Standalone | TlsAlpn | Dns | Manual, Field(discriminator="kind")]

"""How control over names is shown to an authority: one settings object for each kind of challenge,
and for each way to publish a TXT record. They are a part of the requests of `wire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec


class ChallengeSettings(msgspec.Struct, frozen=True, tag_field="kind"):
    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class Http(ChallengeSettings, frozen=True, tag="http-01"):
    """nginx answers on port 80 with `<token>.<thumbprint>`; all there is to do is wait."""

    tokens: str = ""
    """Folder where nginx sees by an empty file of its name that a token is waited for, before a
    program of the site is asked. None needs to be seen if empty.
    """


class Standalone(ChallengeSettings, frozen=True, tag="standalone"):
    """The child answers on port 80 itself."""

    port: int = 80
    address: str = ""
    """All addresses of the machine if empty."""


class TlsAlpn(ChallengeSettings, frozen=True, tag="tls-alpn-01"):
    """The child serves the validation certificate; nginx passes ALPN `acme-tls/1` on to it."""

    port: int = 0
    address: str = "127.0.0.1"
    socket: str = ""
    """Path of a unix socket to listen on instead; there nginx says first whom it speaks for (PROXY
    protocol, version 1)."""


class PublisherSettings(msgspec.Struct, frozen=True, tag_field="kind"):
    def __repr__(self) -> str:
        """Without what is secret in them."""
        return type(self).__name__


class Rfc2136(PublisherSettings, frozen=True, tag="rfc2136"):
    """Dynamic updates of a name server, which BIND, Knot, PowerDNS and others take."""

    server: str
    """`192.0.2.1:53`, `[2001:db8::1]:53`"""
    key_name: str
    secret: str
    """Base64, as in BIND's `key` clause."""
    algorithm: str = "hmac-sha256"
    zone: str | None = None
    """The zone to update; found in DNS if unset."""


class Lexicon(PublisherSettings, frozen=True, tag="lexicon"):
    """A provider of dns-lexicon."""

    provider: str
    options: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The provider's own, as dns-lexicon names them: `{"auth_token": "…"}`."""
    deadline: float = 60.0
    """Seconds for each change of a record."""


class Command(PublisherSettings, frozen=True, tag="command"):
    """Programs of the operator, told what to do in certbot's variables: `CERTBOT_DOMAIN`,
    `CERTBOT_VALIDATION`, `CERTBOT_ALL_DOMAINS`, `CERTBOT_REMAINING_CHALLENGES`,
    `CERTBOT_IDENTIFIER`, and for `cleanup` also `CERTBOT_AUTH_OUTPUT`.
    """

    auth: tuple[str, ...]
    cleanup: tuple[str, ...] = ()
    environ: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The rest of their environment, with PATH to find them."""
    deadline: float = 60.0
    """Seconds for each run."""


Publisher = Rfc2136 | Lexicon | Command


@dataclass(frozen=True, slots=True)
class Lookups:
    """How names are looked up in DNS."""

    resolvers: tuple[str, ...] = ()
    """`192.0.2.1:53`, `[2001:db8::1]:53`; the system's if empty."""
    port: int = 53
    """Where authoritative servers listen."""
    timeout: float = 300.0
    """Seconds until every authoritative server of a zone must serve what was published."""


class Dns(ChallengeSettings, frozen=True, tag="dns-01"):
    """TXT records, the only proof for wildcards."""

    publisher: Publisher
    lookups: Lookups = Lookups()


class Manual(ChallengeSettings, frozen=True, tag="manual"):
    """A person publishes TXT records. Each request answers ManualSteps until all are there."""

    lookups: Lookups = Lookups()


Method = Http | Standalone | TlsAlpn | Dns | Manual

"""Certificates: what is wanted, what is held, and what is remembered of getting them.

Moments are seconds since 1970. An issuer is known by the URL of its directory (RFC 8555 7.1.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

from portico.core.model.names import is_ip
from portico.core.model.place import CertificateFiles

if TYPE_CHECKING:  # it would bring pydantic along, and children start often
    from portico.core.model.pem_file import PemFile

KeyType = Literal["ecdsa-p256", "ecdsa-p384", "rsa2048", "rsa4096"]

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
ISSUE_COUNT_PERIOD: Final = 30 * DAY
"""How far back the ledger is read, and so the longest span of a limit."""


def is_rsa(key_type: KeyType) -> bool:
    return key_type.startswith("rsa")


@dataclass(frozen=True, slots=True)
class Limit:
    most: int
    within: float
    """Seconds: never more than `most` in any span of them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an authority is known to let one account do; None where nothing is known."""

    same_names: Limit | None = None
    """Certificates for exactly the same set of names."""
    failed_validations: Limit | None = None
    """For each name."""
    domain: Limit | None = None
    """Certificates for each registered domain."""
    orders: Limit | None = None
    accounts: Limit | None = None


LETS_ENCRYPT_LIMITS: Final = Limits(
    same_names=Limit(5, WEEK),
    failed_validations=Limit(5, HOUR),
    domain=Limit(50, WEEK),
    orders=Limit(300, 3 * HOUR),
    accounts=Limit(10, 3 * HOUR),
)
STAGING_LIMITS: Final = Limits(
    same_names=Limit(30_000, WEEK),
    failed_validations=Limit(200, HOUR),
    domain=Limit(30_000, WEEK),
    orders=Limit(1500, 3 * HOUR),
    accounts=Limit(50, 3 * HOUR),
)


@dataclass(frozen=True, slots=True)
class Binding:
    """What an authority gave out of band, to bind an account to a customer. RFC 8555 7.3.4."""

    key_id: str
    hmac_key: str = field(repr=False)
    """Base64url."""
    algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority to ask, with what it needs of us."""

    directory: str
    contact: tuple[str, ...] = ()
    """E-mail addresses."""
    ca_bundle: str | None = None
    """PEM file of whom to trust when speaking to it; the system's authorities if unset."""
    binding: Binding | None = None
    staging: str | None = None
    """Directory of the same authority for trying things, where it has one."""
    limits: Limits = Limits()
    staging_limits: Limits = Limits()
    """Of the staging directory."""
    profile_for_addresses: str | None = None
    """The only profile in which it signs for IP addresses, where it has such a rule."""
    is_staging: bool = False
    """What it signs is trusted by nobody, and never takes the place of what is."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """How names are proven."""

    kind: Literal["http-01", "dns-01", "tls-alpn-01", "standalone", "manual"] = "http-01"
    provider: str = ""
    """For dns-01: `rfc2136`, `command`, or the name that dns-lexicon has for it."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The provider's own settings."""
    auth: tuple[str, ...] = ()
    """For `command`: what publishes a record, told so in certbot's variables."""
    cleanup: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    """DNS servers to ask, `192.0.2.1:53`; the system's if empty."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is wanted: one certificate after another for one set of names."""

    name: str
    """Of the site that it is for; `NAME+rsa` where there is one of each key type."""
    names: tuple[str, ...]
    """Domain names, `*.` too, and IP addresses. Their order means nothing."""
    issuers: tuple[Issuer, ...]
    """The first one is asked, the others where it cannot be had."""
    key_type: KeyType = "ecdsa-p256"
    has_other_key_type: bool = False
    """There is another one for the same names, whose key is of the other kind."""
    profile: str | None = None
    preferred_chain: str | None = None
    challenges: tuple[Challenge, ...] = (Challenge(),)
    """For each name the first one that can prove it."""
    preflight: bool = True
    """Whether to look first at what would make an order fail."""
    behind_nginx: bool = True
    """Whether nginx serves it; else other programs find it in its folder."""
    files: tuple[PemFile, ...] = ()
    """Where other programs find it, beside its own folder."""
    hooks: tuple[tuple[str, ...], ...] = ()
    """The operator's commands to run one by one when a new one is served."""
    problem: str = ""
    """Why nothing can be ordered for it now: a secret file that cannot be read."""

    @property
    def settings(self) -> str:
        """Another one where anything differs that decides how an order ends, secrets too."""
        decisive = replace(self, files=(), hooks=(), problem="")
        return sha256(repr(astuple(decisive)).encode()).hexdigest()[:16]

    def profile_at(self, issuer: Issuer) -> str | None:
        """The one to ask for, also where the file says nothing."""
        return self.profile or (
            issuer.profile_for_addresses if any(map(is_ip, self.names)) else None
        )


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a certificate was obtained with, and cannot tell by itself."""

    issuer: str
    """Directory URL; empty where that is not known."""
    profile: str | None = None
    staging: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is held: one complete generation on disk, which never changes."""

    lineage: str
    generation: int
    """From 1, one more with each certificate."""
    files: CertificateFiles
    """`certificate` is the one with its chain."""
    cert: str
    """PEM file of the certificate alone."""
    chain: str
    """PEM file of the rest of its chain; an empty file if there is none."""
    issuer: str
    """Directory URL; empty where that is not known."""
    serial: str
    """Hexadecimal, lower case."""
    not_before: float
    not_after: float
    names: tuple[str, ...]
    key_type: KeyType | None
    """None for a key that Portico would not make."""
    stored: float
    """When it was put on disk."""
    ari_id: str = ""
    """By which RFC 9773 4.1 knows it; empty if it does not name its issuer's key."""
    profile: str | None = None
    staging: bool = False

    @property
    def lifetime(self) -> float:
        return self.not_after - self.not_before


@dataclass(frozen=True, slots=True)
class Trouble:
    """What failed at one issuer, and how often in a row."""

    failures: int
    error: str
    at: float
    retry_at: float
    settings: str = ""
    """Those of the lineage then; empty where they are not known."""

    def is_of(self, lineage: Lineage) -> bool:
        """Whether nothing was changed since that may have been the cause."""
        return not self.settings or self.settings == lineage.settings


@dataclass(frozen=True, slots=True)
class Window:
    """When the authority would have a certificate renewed, and our draw from it. RFC 9773 4.2."""

    ari_id: str
    start: float
    end: float
    renew_at: float
    """Drawn once for this certificate, and again only where the window has moved off it."""
    explanation: str = ""
    """A page on which the authority tells people about it."""


@dataclass(frozen=True, slots=True)
class RenewalState:
    """What must survive a restart, for one lineage."""

    lineage: str
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    """By the issuer's directory; gone with the next success."""
    left_out: Mapping[str, Trouble] = field(default_factory=dict)
    """By name: why it could not be validated, while others of the lineage could."""
    window: Window | None = None
    asked_ari: float | None = None
    ask_ari_at: float | None = None
    """Not before this; None as long as it was never asked about the certificate held."""
    ari_trouble: str = ""
    """Why there is no window, or why the last answer was not used."""
    served: str = ""
    """Serial of the certificate that was last proven to be what nginx serves."""
    served_at: float | None = None
    """Since when; None of what an earlier version has recorded."""
    deploy_trouble: Trouble | None = None
    hook_trouble: Trouble | None = None
    """Of files for other programs, or of hooks."""
    hooks_left: tuple[tuple[str, ...], ...] = ()
    """Hooks that are to run again."""
    staged: tuple[str, ...] = ()
    """Sorted names of the last set that staging has signed."""
    revoked: str = ""
    """Serial of the certificate that was last revoked: it may still be served, for want of one."""
    forced: float | None = None
    """When somebody asked for a new one that is not due: each issuer may be asked once for it."""

    @property
    def last_trouble(self) -> Trouble | None:
        return max(self.troubles.values(), key=lambda trouble: trouble.at, default=None)


EntryKind = Literal["order", "certificate", "abandoned", "failed_validation", "account", "limited"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: something that an authority counts.

    * order              one is about to be sent; written before it is
    * certificate        that order has led to a certificate
    * abandoned          that order will lead to none
    * failed_validation  of `names`, by that order
    * account            one was made
    * limited            the authority said no until `until`: for `names`, or for all if empty
    """

    at: float
    issuer: str
    """Directory URL."""
    kind: EntryKind
    names: tuple[str, ...] = ()
    order: str = ""
    """What the order is called here, such as `example.com.7`."""
    exempt: bool = False
    """It renews another certificate by RFC 9773 5, and the authority does not count it."""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an authority would not issue now, and until when (Unix time)."""

    why: str
    until: float

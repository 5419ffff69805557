"""How certificates are obtained from an authority. Tables `[tls]` and `[sites."NAME".tls]`."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, WithJsonSchema

from portico.core.model.certificate import DAY, ISSUE_COUNT_PERIOD, KeyType, Limit
from portico.core.model.names import is_local_name, is_loopback_name
from portico.core.model.pem_file import CertificateCopies
from portico.core.model.units import Kind, Table, parse_duration
from portico.core.model.value_text import value_text

T = TypeVar("T", bound=Table)
MAX_NAMES: Final = 100
"""Names in one certificate at Let's Encrypt, ZeroSSL and Google."""

ISSUERS: Final = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
    "zerossl": "https://acme.zerossl.com/v2/DV90",
    "google": "https://dv.acme-v02.api.pki.goog/directory",
}
LOCAL_ISSUER: Final = "local"
"""The issuer that stands for the local authority alone."""
KEY_TYPE: Final[KeyType] = "ecdsa-p256"
"""Where the file says nothing of it."""
STAGING_ISSUERS: Final = {ISSUERS["letsencrypt"]: ISSUERS["letsencrypt-staging"]}
"""Where an authority lets one try first: its directory and that of its staging."""


def parse_issuer(text: str) -> str:
    """A known name as its directory URL; a URL, or `local`, as it is."""
    if text == LOCAL_ISSUER or text.startswith("https://"):
        return text
    if text not in ISSUERS:
        known = ", ".join((*ISSUERS, LOCAL_ISSUER))
        raise ValueError(f"{text!r} is neither a directory URL nor one of {known}")
    return ISSUERS[text]


Issuer = Annotated[
    str,
    AfterValidator(parse_issuer),
    WithJsonSchema({"type": "string", "examples": [*ISSUERS, LOCAL_ISSUER]}),
]
Challenge = Literal["http-01", "dns-01", "tls-alpn-01", "manual"]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
Argv = tuple[Annotated[str, Field(min_length=1)], ...]


class Eab(Table):
    """External account binding of an authority (RFC 8555 7.3.4)."""

    kid: str = Field(min_length=1, description="The key's id.")
    hmac_key_file: str = Field(description="File that holds the key, base64url.")
    algorithm: Literal["HS256", "HS384", "HS512"] = Field("HS256", description="Of the key.")
    issuer: Issuer | None = Field(
        None, description="The issuer that gave it; default: used for every issuer."
    )


def parse_limit(text: str) -> Limit:
    """`300/3h`: never more than 300 in any three hours."""
    most, slash, within = text.replace(" ", "").partition("/")
    if not slash or not most.isdecimal() or not 0 < int(most) < 10**9 or not within:
        raise ValueError(f"must be {_LIMIT.text}, not {value_text(text)}")
    limit = Limit(int(most), parse_duration(within))
    if not 0 < limit.within <= ISSUE_COUNT_PERIOD:
        days = f"{ISSUE_COUNT_PERIOD / DAY:g} days"
        raise ValueError(
            f"must be within {days}, the longest time counted, not {value_text(text)}"
        )
    return limit


def _checked_limit(text: str) -> str:
    parse_limit(text)
    return text


_LIMIT: Final = Kind('a number per duration, such as "300/3h"')
LimitText = Annotated[
    str,
    AfterValidator(_checked_limit),
    _LIMIT,
    WithJsonSchema({"type": "string", "pattern": "^ *[0-9]+ */ *[0-9].*$"}),
]


class AuthorityLimits(Table):
    """Rate limits of an authority. Those of Let's Encrypt are known; another has none that is not
    set here.
    """

    same_names: LimitText | None = Field(
        None, description='Certificates for the same set of names; Let\'s Encrypt: "5/7d".'
    )
    failed_validations: LimitText | None = Field(
        None, description='Per name; Let\'s Encrypt: "5/1h".'
    )
    domain: LimitText | None = Field(
        None, description='Certificates of a registered domain; Let\'s Encrypt: "50/7d".'
    )
    orders: LimitText | None = Field(None, description='Let\'s Encrypt: "300/3h".')
    accounts: LimitText | None = Field(None, description='New accounts; Let\'s Encrypt: "10/3h".')
    issuer: Issuer | None = Field(
        None, description="The issuer that these limits are for; default: every issuer."
    )


class DnsProvider(Table):
    """How TXT records for dns-01 are published. Table `[tls.dns]`."""

    provider: Annotated[str, Field(pattern=r"^(rfc2136|command|lexicon:[a-z0-9_-]+)$")] = Field(
        description='"rfc2136", "command", or "lexicon:NAME" for a provider of dns-lexicon.'
    )
    server: str | None = Field(None, description='rfc2136: "192.0.2.1:53".')
    key_name: str | None = Field(None, description="rfc2136: name of the TSIG key.")
    secret_file: str | None = Field(
        None, description="rfc2136: file with the TSIG secret, base64."
    )
    algorithm: str = Field("hmac-sha256", description="rfc2136: of the TSIG key.")
    zone: str | None = Field(
        None, description="rfc2136: the zone to update; default: found in DNS."
    )
    auth: Argv = Field(
        (), description="command: program that publishes a record, with certbot's variables."
    )
    cleanup: Argv = Field((), description="command: program that removes it.")
    credentials: str | None = Field(
        None, description="lexicon: file of NAME=value lines, the provider's own options."
    )
    env: dict[str, str] = Field(default_factory=dict, description="command: its environment.")


class IssuanceSettings(Table):
    """Where certificates come from and how names are validated. Keys that a site does not set are
    as in `[tls]`.
    """

    issuer: Issuer | tuple[Issuer, ...] | None = Field(
        None,
        description="Known name or directory URL of the authority; several are tried in turn. "
        "Default: letsencrypt.",
    )
    staging: Issuer | None = Field(
        None,
        description="Staging directory of the first issuer, for `certs renew --dry-run` and for "
        "new names. Let's Encrypt's is known.",
    )
    email: Email | None = Field(None, description="Contact address of the account.")
    ca_bundle: str | None = Field(
        None,
        description="PEM file of certificates to trust for a private authority. With issuer and "
        "ca_bundle, that authority also issues for .internal, .test and .local.",
    )
    challenge: Challenge | None = Field(
        None,
        description="How names are validated; default: http-01, and dns-01 for wildcards. "
        "tls-alpn-01 needs port 443 alone, and an nginx with stream and ssl_preread; "
        "manual: TXT records that you publish yourself.",
    )
    dns: DnsProvider | None = Field(None, description="How records for dns-01 are published.")
    key_type: KeyType | tuple[KeyType, ...] | None = Field(
        None,
        description="Default: ecdsa-p256. One ECDSA and one RSA type make two certificates; each "
        "client gets the one it supports.",
    )
    profile: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = Field(
        None, description="The authority's profile: shortlived, tlsserver, ..."
    )
    preferred_chain: str | None = Field(
        None, description="Common name of an issuer that the chain should have."
    )
    resolvers: tuple[str, ...] | None = Field(
        None, description='DNS servers to ask, "address:port"; default: the system\'s.'
    )
    preflight: bool | None = Field(
        None,
        description="Whether to check before an order what would make it fail: DNS, port 80, CAA, "
        "the clock, the disk. Default: true.",
    )
    eab: Eab | tuple[Eab, ...] | None = Field(
        None, description="External account binding; a list if several issuers require one."
    )
    limits: AuthorityLimits | tuple[AuthorityLimits, ...] | None = Field(
        None,
        description="Rate limits of an authority; a list if several issuers differ. An order over "
        "a limit is not sent; `certs show` shows it.",
    )
    files: tuple[CertificateCopies, ...] | None = Field(
        None, description="Copies for other programs, such as a mail server."
    )
    deploy_hook: Argv | tuple[Argv, ...] | None = Field(
        None,
        description="Program to run when a new certificate is served, with certbot's variables; "
        "or several, which run one by one. One that fails is repeated.",
    )

    def merged_over(self, general: IssuanceSettings) -> IssuanceSettings:
        """These settings where they are given, the general ones elsewhere."""
        given = {key: getattr(self, key) for key in IssuanceSettings.model_fields}
        wanted = {
            key: value if value is not None else getattr(general, key)
            for key, value in given.items()
        }
        return IssuanceSettings.model_construct(**wanted)

    def asks_authority(self, name: str) -> bool:
        """Whether a name gets its certificate from the issuers. One of a private network does so
        only where the file names an authority of that network: `issuer` and `ca_bundle`.
        """
        plain = name.removeprefix("*.")
        if is_loopback_name(plain) or not self.issuers:
            return False
        is_private = self.issuer is not None and self.ca_bundle is not None
        return is_private or not is_local_name(plain)

    @property
    def key_types(self) -> tuple[KeyType, ...]:
        match self.key_type:
            case None:
                return (KEY_TYPE,)
            case str(one):
                return (one,)
            case several:
                return several

    @property
    def hooks(self) -> tuple[Argv, ...]:
        """The programs of `deploy_hook`."""
        match self.deploy_hook:
            case None | ():
                return ()
            case (str(), *_) as one:
                return (tuple(map(str, one)),)
            case several:
                return tuple(tuple(each) for each in several)

    @property
    def bindings(self) -> tuple[Eab, ...]:
        return _as_tuple(self.eab)

    def limits_at(self, issuer: str) -> dict[str, Limit]:
        """Those that are set for the authority with this directory."""
        return {
            key: parse_limit(text)
            for table in _as_tuple(self.limits)
            if table.issuer in {None, issuer}
            for key, text in table.model_dump(exclude={"issuer"}, exclude_none=True).items()
        }

    @property
    def issuers(self) -> tuple[str, ...]:
        """Directory URLs to try, in this order; empty where only the local authority signs."""
        match self.issuer:
            case None:
                return (ISSUERS["letsencrypt"],)
            case str(one):
                return () if one == LOCAL_ISSUER else (one,)
            case several:
                return tuple(each for each in several if each != LOCAL_ISSUER)


def _as_tuple(tables: T | tuple[T, ...] | None) -> tuple[T, ...]:
    """Of a key that takes none, one table or several."""
    if tables is None:
        return ()
    return tables if isinstance(tables, tuple) else (tables,)

"""What a child is asked and what it answers.

It reads one request as JSON on its standard input and writes lines of JSON on its standard
output: `{"progress": Progress}` any number of times, then `{"answer": …}` or
`{"failure": Failure}`. Moments are seconds since 1970; files are absolute paths. `methods` has
how control over the names is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from portico.adapters.acme.methods import Lookups, Method
from portico.core.model.certificate import Binding, KeyType
from portico.core.planning.preflight import PreflightFacts


@dataclass(frozen=True, slots=True)
class Server:
    """A certificate authority that speaks RFC 8555."""

    directory: str
    """Its URL, such as `https://acme-v02.api.letsencrypt.org/directory`."""
    ca_bundle: str | None = None
    """PEM file of whom to trust when speaking to it, instead of the system's authorities."""


@dataclass(frozen=True, slots=True)
class NoAccount:
    """Why none may be made now: the authority's limit is used up."""

    why: str
    until: float


@dataclass(frozen=True, slots=True)
class Account:
    """An account at an authority. Whoever uses one agrees to the authority's terms."""

    server: Server
    key: str
    """PEM file of its private key, made if it is not there. Beside it lie `<stem>.json`, the
    account's URL by that of the directory, `<stem>.deactivated.json`, those that are so for ever,
    `<stem>.contact.json`, the addresses that each was sent last, and `<name>.new` while the key is
    being replaced.
    Accounts at several authorities may have the same key."""
    contact: tuple[str, ...] = ()
    """E-mail addresses. Where they are others than before, the account is given them."""
    binding: Binding | None = None
    none_now: NoAccount | None = None
    """One that is there is used all the same."""


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """Answers AccountAnswer.

    `key`: have a key, and ask nobody; `have`: find the account, or make it; `rollover`: replace
    its key; `deactivate`: for ever. None but `have` makes an account.
    """

    account: Account
    do: Literal["key", "have", "rollover", "deactivate"] = "have"
    also: tuple[Server, ...] = ()
    """For a rollover: all other authorities at which accounts have this key."""
    deadline: float = 60.0
    """Seconds for the whole request, as everywhere here; a few more for clearing up."""
    act: Literal["account"] = "account"


@dataclass(frozen=True, slots=True)
class IssueRequest:
    """Answers Issued, ManualSteps, or BegunOrder with `until`. The same request goes on where an
    earlier one was interrupted, and answers the same certificate again until `forget`.
    """

    account: Account
    order: str
    """Names the certificate wanted, such as `example.com.7` for the lineage's generation 7."""
    folder: str
    """Where all orders are kept, each in a folder of its own."""
    names: tuple[str, ...]
    """Domain names, `*.` too, and IP addresses."""
    methods: tuple[Method, ...]
    """For each name the first one that can prove it is taken."""
    key_type: KeyType = "ecdsa-p256"
    profile: str | None = None
    preferred_chain: str | None = None
    """Common name of an issuer that the chain should have."""
    replaces: str | None = None
    """The renewal id of the certificate that this one follows. RFC 9773 5."""
    until: Literal["", "key", "order"] = ""
    """Where to stop: when the new certificate's key is on disk, and nobody was asked; or when the
    order is known there too, and nothing was proven. Empty for not before the certificate."""
    deadline: float = 600.0
    act: Literal["issue"] = "issue"


@dataclass(frozen=True, slots=True)
class RenewalInfoRequest:
    """Answers RenewalInfo."""

    server: Server
    certificate: str
    """PEM file; its first certificate is meant."""
    deadline: float = 60.0
    act: Literal["renewal_info"] = "renewal_info"


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """Answers Revoked, where it was revoked before too."""

    account: Account
    certificate: str
    """PEM file; its first certificate is meant."""
    reason: int = 0
    """RFC 5280 5.3.1: 0 unspecified, 1 key compromise, 4 superseded, 5 no longer in use."""
    deadline: float = 60.0
    act: Literal["revoke"] = "revoke"


@dataclass(frozen=True, slots=True)
class PreflightRequest:
    """Answers Seen: what can be seen before the order is sent. Nothing is ordered, made or kept,
    but for the account's key.
    """

    issue: IssueRequest
    folders: tuple[str, ...] = ()
    """What will be written to; each, or else the nearest folder above it that there is."""
    lookups: Lookups = field(default_factory=Lookups)
    port: int = 80
    """Where the authority looks for HTTP-01."""
    deadline: float = 60.0
    act: Literal["preflight"] = "preflight"


Request = Annotated[
    AccountRequest | IssueRequest | RenewalInfoRequest | RevokeRequest | PreflightRequest,
    Field(discriminator="act"),
]


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    thumbprint: str
    """Of the account's key, as HTTP-01 answers need it. RFC 7638."""
    url: str = ""
    status: str = ""
    """`valid`, `deactivated`; empty if nobody was asked."""
    created: bool = False
    """A new account was made, which counts towards the authority's limits."""
    contact: tuple[str, ...] = ()
    accounts: Mapping[str, str] = field(default_factory=dict)
    """URLs of all accounts of this key by those of directories, as far as they can be used; this
    and what follows is not said by `have`."""
    deactivated: Mapping[str, str] = field(default_factory=dict)
    halfway: bool = False
    """A replacement of the key was begun and has not ended."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    chain: str
    """PEM, the certificate first, exactly as the authority sent it."""
    key: str
    """PEM file of its private key; it stays until `forget`."""
    replaced: bool = False
    """The authority has taken the order as a replacement, which is exempt from its limits."""


@dataclass(frozen=True, slots=True)
class ManualStep:
    """One thing for a person to do."""

    name: str
    kind: Literal["http-01", "dns-01"]
    where: str
    """A URL, or the name of a TXT record beside which others may be needed."""
    value: str


@dataclass(frozen=True, slots=True)
class ManualSteps:
    steps: tuple[ManualStep, ...]


@dataclass(frozen=True, slots=True)
class BegunOrder:
    """It is on disk as far as was asked for."""

    url: str
    """Of the order; empty while it was not sent."""


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """RFC 9773 4.2. Without a window, `why` says so."""

    id: str
    ask_again: float
    start: float | None = None
    end: float | None = None
    explanation: str = ""
    """A page on which the authority tells people about it."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class RevokedAnswer:
    """Nothing else is to be said of it."""


Step = Literal[
    "account",  # an account was made, which counts towards the authority's limits
    "key",  # its private key is on disk
    "order",  # an order was sent
    "found",  # an order of an earlier run was found again
    "published",  # a TXT record was published
    "served",  # every authoritative server has all of them
    "answered",  # the authority was told to look
    "proven",  # all names are
    "finalized",  # the signing request was sent
    "issued",  # the certificate is on disk
    "cleaned",  # a TXT record was taken away
    "note",
]


@dataclass(frozen=True, slots=True)
class Progress:
    step: Step
    text: str
    at: float


Kind = Literal[
    "limited",  # by the authority's limits; retry_at says until when, if it said so
    "unavailable",  # it could not be reached, or has a problem of its own
    "refused",  # it said no
    "unproven",  # it looked, and did not find what it expected
    "unready",  # something on our side; the authority was asked to look at nothing
    "late",  # the deadline passed
]
Limit = Literal[
    "same_names", "domain", "failed_validations", "orders", "accounts", "paused", "unknown", ""
]


@dataclass(frozen=True, slots=True)
class Failure:
    kind: Kind
    text: str
    names: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with single names."""
    limit: Limit = ""
    retry_at: float | None = None


Answer = (
    AccountAnswer
    | BegunOrder
    | IssuedCertificate
    | ManualSteps
    | RenewalInfo
    | RevokedAnswer
    | PreflightFacts
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a child's output; exactly one of these is set."""

    progress: Progress | None = None
    failure: Failure | None = None
    answer: object = None
    """An Answer; which one it is to be is known to whoever asked."""


REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Request)
LINE: Final = TypeAdapter(Line)

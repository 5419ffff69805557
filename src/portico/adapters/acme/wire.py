"""What a child is asked and what it answers.

It reads one request as JSON on its standard input and writes lines of JSON on its standard
output: `{"progress": Progress}` any number of times, then `{"answer": …}` or
`{"failure": Failure}`. Moments are seconds since 1970; files are absolute paths. `methods` has
how control over the names is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from portico.adapters.acme.methods import Lookups, Method
from portico.core.model.certificate import Binding, KeyType
from portico.core.model.preflight import PreflightFacts


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
    `<stem>.contact.json`, the addresses that each was sent last, `<stem>.owner.json`, which key
    they are of, and `<name>.new` while the key is being replaced.
    Accounts at several authorities may have the same key."""
    contact: tuple[str, ...] = ()
    """E-mail addresses. Where they are others than before, the account is given them."""
    binding: Binding | None = None
    none_now: NoAccount | None = None
    """One that is there is used all the same."""


class ChildRequest(msgspec.Struct, frozen=True, tag_field="act"):
    @property
    def act(self) -> str:
        return str(self.__struct_config__.tag)


class AccountRequest(ChildRequest, frozen=True, tag="account"):
    """Answers AccountAnswer.

    `key`: have a key, and ask nobody; `prepare`: make the key that is to replace it, which no
    authority is told; `rollover`: replace it; `deactivate`: for ever. None makes an account.
    """

    account: Account
    do: Literal["key", "prepare", "rollover", "deactivate"]
    also: tuple[Server, ...] = ()
    """For a rollover, and before: all other authorities at which accounts have this key."""
    deadline: float = 60.0
    """Seconds for the whole request, as everywhere here; a few more for clearing up."""


class IssueRequest(ChildRequest, frozen=True, tag="issue"):
    """Answers IssuedCertificate, ManualSteps, or BegunOrder with `until`. The same request
    continues where an earlier one was interrupted, and answers the same certificate again until
    `forget`.
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
    foreseen: bool = False
    """Whether a preflight has just found nothing that would prevent it."""
    until: Literal["", "key", "order"] = ""
    """Where to stop: when the new certificate's key is on disk, and nobody was asked; or when the
    order is known there too, and nothing was proven. Empty for not before the certificate."""
    deadline: float = 600.0


class RenewalInfoRequest(ChildRequest, frozen=True, tag="renewal_info"):
    """Answers RenewalInfo."""

    server: Server
    certificate: str
    """PEM file; its first certificate is meant."""
    deadline: float = 60.0


class RevokeRequest(ChildRequest, frozen=True, tag="revoke"):
    """Answers RevokedAnswer, where it was revoked before too."""

    account: Account
    certificate: str
    """PEM file; its first certificate is meant."""
    reason: int = 0
    """RFC 5280 5.3.1: 0 unspecified, 1 key compromise, 4 superseded, 5 no longer in use."""
    deadline: float = 60.0


class PreflightRequest(ChildRequest, frozen=True, tag="preflight"):
    """Answers PreflightFacts: what can be seen before the order is sent. Nothing is ordered, made
    or kept, but for the account's key.
    """

    issue: IssueRequest
    folders: tuple[str, ...] = ()
    """What will be written to; each, or else the nearest folder above it that there is."""
    lookups: Lookups = Lookups()
    port: int = 80
    """Where the authority looks for HTTP-01."""
    deadline: float = 60.0


Request = AccountRequest | IssueRequest | RenewalInfoRequest | RevokeRequest | PreflightRequest


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    thumbprint: str
    """Of the account's key, as HTTP-01 answers need it. RFC 7638."""
    accounts: Mapping[str, str] = field(default_factory=dict)
    """URLs of all accounts of this key by those of directories, as far as they can be used."""
    deactivated: Mapping[str, str] = field(default_factory=dict)
    halfway: bool = False
    """A replacement of the key was begun and has not ended."""


class IssuedCertificate(msgspec.Struct, frozen=True, tag=True):
    chain: str
    """PEM, the certificate first, exactly as the authority sent it."""
    key: str
    """PEM file of its private key; it stays until `forget`."""
    replaced: bool = False
    """The authority has taken the order as a replacement, which is exempt from its limits."""


@dataclass(frozen=True, slots=True)
class ManualStep:
    """A TXT record for a person to publish."""

    where: str
    """Its name, which may need several."""
    value: str


class ManualSteps(msgspec.Struct, frozen=True, tag=True):
    steps: tuple[ManualStep, ...]


class BegunOrder(msgspec.Struct, frozen=True, tag=True):
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
    "wait",  # the authority asked to come again
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


@dataclass(frozen=True, slots=True)
class Failure:
    kind: Kind
    text: str
    names: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with single names."""
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


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a child's output; exactly one of these is set."""

    progress: Progress | None = None
    failure: Failure | None = None
    answer: msgspec.Raw = msgspec.Raw()
    """JSON of an Answer; which one it is to be is known to whoever asked."""


REQUEST: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
LINE: Final = msgspec.json.Decoder(Line)
ISSUE_ANSWER: Final[msgspec.json.Decoder[IssuedCertificate | ManualSteps | BegunOrder]] = (
    msgspec.json.Decoder(IssuedCertificate | ManualSteps | BegunOrder)
)

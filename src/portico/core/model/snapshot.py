"""What the machines of a cluster share, as a store has it: values by key, numbered by change.

A revision is a number that the store counts up with every transaction that changed something, over
all of its keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import SplitResult, urlsplit

from portico.errors import Refused

ABSENT: Final = 0
"""The revision of a key that does not exist."""
MAX_WRITES: Final = 100
"""In one transaction; etcd takes 128 unless it is told otherwise."""
_LOOPBACK: Final = frozenset({"localhost", "::1"})
_LOOPBACK_V4: Final = re.compile(r"127(\.\d+){3}")


@dataclass(frozen=True, slots=True)
class StoredItem:
    value: bytes
    revision: int
    """Of the last change of its value."""
    created: int
    """The revision at which the key came to exist; another one when it was deleted between."""
    session: int = 0
    """The session that it ends with; 0 if it does not end by itself."""


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes of one or more revisions, up to `revision`; None is a key that was deleted."""

    revision: int
    items: Mapping[str, StoredItem | None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys with one prefix as they were at one revision."""

    revision: int
    items: Mapping[str, StoredItem] = field(default_factory=dict)

    def with_changes(self, changes: Changes) -> Snapshot:
        items = {**self.items, **changes.items}
        kept = {key: item for key, item in items.items() if item is not None}
        return replace(self, revision=changes.revision, items=kept)


@dataclass(frozen=True, slots=True)
class MemberHealth:
    """Of a member of the store."""

    endpoint: str
    problem: str = ""
    """Why it is not healthy; empty if it is."""
    size: int | None = None
    """Bytes of its database on disk; None if it does not say, as the one below."""
    quota: int | None = None
    """Bytes from which on it takes no changes."""
    leads: bool = False


@dataclass(frozen=True, slots=True)
class StoreMember:
    """As the members of the store know one of them."""

    id: int
    name: str
    """Empty before it has started."""
    peers: Sequence[str]
    """URLs at which the other members reach it."""
    clients: Sequence[str]
    is_learner: bool = False
    """Whether it only takes part once it is promoted."""


@dataclass(frozen=True, slots=True)
class Compare:
    """True if the key was last changed at `revision`, and came to exist at `created` if given.

    `Compare(key, ABSENT)` is true where the key does not exist.
    """

    key: str
    revision: int | None = None
    created: int | None = None


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    session: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


Write = Put | Delete


@dataclass(frozen=True, slots=True)
class Permission:
    """What a user may do with a range of keys: read them, or read and write them."""

    first: str
    end: str = ""
    """The first key after the range; empty for a range of one key."""
    writes: bool = False


@dataclass(frozen=True, slots=True)
class StoreUser:
    name: str
    password: str


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """How a store is reached. Files are paths of PEM files."""

    endpoints: Sequence[str]
    """URLs, `https://10.0.0.1:2379`, as `endpoint` returns them."""
    authority: str = ""
    """Certificates of the authorities that the store's certificate may be of."""
    certificate: str = ""
    """This machine's own, which the store may ask for; empty for none."""
    key: str = ""
    user: str = ""
    password: str = ""
    more_authorities: str = ""
    """Certificates (PEM, not a path) of others that the store's certificate may be of."""


def endpoint(text: str, *, plain: bool = False) -> str:
    """The URL of a member of the store, in one form.

    Raises Refused for what is none, and for `http` to an address that is not loopback, where
    secrets would be sent unencrypted, unless `plain`.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise Refused(f"{text!r} cannot be used as the address of etcd: {error}") from None
    if url.scheme not in {"http", "https"} or not url.hostname or _has_more(url):
        raise Refused(
            f"{text!r} cannot be used as the address of etcd: it must be written as "
            "https://HOST:PORT"
        )
    if url.scheme == "http" and not plain and not is_loopback(url.hostname):
        raise Refused(
            f"{text} is not encrypted and not on this machine: passwords and keys would be sent "
            "in clear text; use https, or --plain in a network that others cannot read"
        )
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}:{port or 2379}"


def _has_more(url: SplitResult) -> bool:
    return bool(url.username or url.query or url.fragment or url.path.strip("/"))


def is_loopback(host: str) -> bool:
    return host in _LOOPBACK or bool(_LOOPBACK_V4.fullmatch(host))

"""What etcd's JSON gateway answers (rpc.proto of etcd 3.4): numbers as text, bytes as base64."""

from __future__ import annotations

import base64
from typing import Annotated, Final

import msgspec

INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED = 3, 5, 7
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, OUT_OF_RANGE = 8, 9, 11
UNAUTHENTICATED = 16
"""Codes of gRPC that are distinguished here."""
REFUSALS: Final = frozenset(
    {
        INVALID_ARGUMENT,
        NOT_FOUND,
        PERMISSION_DENIED,
        RESOURCE_EXHAUSTED,
        FAILED_PRECONDITION,
        OUT_OF_RANGE,
        UNAUTHENTICATED,
    }
)
"""With these nothing was done; with any other one that is unknown."""
NO_LEADER = "etcdserver: no leader"
TOO_FEW_MEMBERS = "etcdserver: unhealthy cluster"
"""A member is not added while that could take the majority away."""
NOT_IN_SYNC = "etcdserver: can only promote a learner member which is in sync with leader"
NO_SPACE = "etcdserver: mvcc: database space exceeded"
NO_LEASE = "etcdserver: requested lease not found"
OLD_REVISION = "etcdserver: revision of auth store is old"
"""Users were changed at the same moment, and nothing was done."""
NO_AUTHENTICATION = "etcdserver: authentication is not enabled"
DATABASE_IS_FULL: Final = (
    "its database is full: compact and defragment it, then run `etcdctl alarm disarm`"
)


Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""An int64 of etcd that is not negative."""
PositiveNumber = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]


class Header(msgspec.Struct):
    revision: Number = 0
    member_id: int = 0
    """Of the member that answered."""


class KeyValue(msgspec.Struct):
    key: bytes
    value: bytes = b""
    create_revision: Number = 0
    mod_revision: Number = 0
    lease: Number = 0


class KeysHeader(msgspec.Struct):
    revision: PositiveNumber
    """Without it an answer is that of another program."""


class KeysAnswer(msgspec.Struct):
    """To a range or a transaction."""

    header: KeysHeader
    kvs: list[KeyValue] = []
    succeeded: bool = False


class GrantedLease(msgspec.Struct):
    id: PositiveNumber = msgspec.field(name="ID")


class Answer(msgspec.Struct):
    """To a call that changes something else, or to `authenticate`."""

    token: str = ""


class LeaseState(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    left: int = msgspec.field(name="TTL", default=0)
    """Seconds; 0 if the lease does not exist."""


class KeptLease(msgspec.Struct):
    """A stream, of which there is one message."""

    result: LeaseState


class MemberStatus(msgspec.Struct):
    """Of the member that was asked."""

    header: Header = msgspec.field(default_factory=Header)
    size: int = msgspec.field(name="dbSize", default=0)
    leader: int = 0
    errors: list[str] = []
    """Alarms above all: NOSPACE, CORRUPT."""


class ListedMember(msgspec.Struct):
    id: int = msgspec.field(name="ID", default=0)
    name: str = ""
    peers: list[str] = msgspec.field(name="peerURLs", default_factory=list)
    clients: list[str] = msgspec.field(name="clientURLs", default_factory=list)
    is_learner: bool = msgspec.field(name="isLearner", default=False)


class MemberList(msgspec.Struct):
    members: list[ListedMember] = []


class Event(msgspec.Struct):
    kv: KeyValue
    type: str = "PUT"


class WatchAnswer(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    events: list[Event] = []


class Refusal(msgspec.Struct):
    message: str = ""
    code: int = 0
    grpc_code: int = 0
    """In an answer of a stream, in place of `code`."""


class StreamLine(msgspec.Struct):
    """A line of a stream."""

    result: msgspec.Raw = msgspec.Raw(b"{}")
    error: Refusal | None = None


def encode(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def decode(key: bytes) -> str:
    """Those of other programs may have any bytes, which are then shown in another way."""
    return key.decode(errors="backslashreplace")


def keys_from(prefix: str) -> dict[str, str]:
    """The range of all keys with a prefix (rpc.proto: RangeRequest.range_end)."""
    first = prefix.encode()
    return {"key": encode(first), "range_end": encode(first[:-1] + bytes([first[-1] + 1]))}

"""What the machines of a cluster share of certificates: values of its store (keys: `shared`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

import msgspec

from portico.core.model.certificate import Entry, RenewalState
from portico.core.model.json_text import DECODE_ERRORS
from portico.core.model.shared import Record, ledger_key


class SharedLineage(Record, frozen=True):
    """`lineages/L/N`, sealed: a certificate with its key."""

    names: tuple[str, ...]
    chain: str
    """PEM, the certificate first."""
    key: str
    """PEM."""
    issuer: str
    """As in `Provenance`, and the two below."""
    profile: str | None = None
    staging: bool = False


class CurrentLineage(Record, frozen=True):
    """`current/L`: the number of the certificate that all machines are to serve."""

    number: int
    """From 1, one more with each certificate of the cluster."""
    serial: str
    """Hexadecimal, lower case."""
    not_before: float
    not_after: float


class SharedOrder(Record, frozen=True):
    """`orders/L`, sealed: what is known of an order that is under way."""

    order: str
    """What it is called, as in `Entry`."""
    files: Mapping[str, str]
    """Of its folder, by name."""


class SharedAccount(Record, frozen=True):
    """`account`, sealed: the key of the accounts, and their URLs."""

    files: Mapping[str, str]
    """Of its folder, by name."""


class AccountThumbprint(Record, frozen=True):
    """`thumbprint`: what is known of the account without opening it."""

    thumbprint: str
    """RFC 7638."""
    digest: str
    """Of the files of `account`."""
    halfway: bool = False
    """Whether these have a key, too, that is to replace it: an authority may know that one."""


T = TypeVar("T")


def digest_of(files: Mapping[str, str]) -> str:
    """The same for the same files."""
    return sha256(msgspec.json.encode(dict(sorted(files.items())))).hexdigest()


def ledger_item(entry: Entry) -> tuple[str, bytes]:
    """Key and value of a line of the ledger: the same for whoever writes it."""
    value = msgspec.json.encode(entry)
    return ledger_key(entry.at, sha256(value).hexdigest()[:16]), value


def ledger_entry(value: bytes) -> Entry | None:
    """None where it cannot be read."""
    return _decode(value, Entry)


def failures_value(renewal: RenewalState) -> bytes:
    """What the next machine that obtains certificates has to know of a lineage: all but what is
    done with a certificate on each machine.
    """
    return msgspec.json.encode(_with_deployment_of(renewal, RenewalState(renewal.lineage)))


def with_failures(renewal: RenewalState, value: bytes) -> RenewalState:
    """What is remembered here, with what is shared; nothing changes where that is unreadable."""
    shared = _decode(value, RenewalState)
    if shared is None or shared.lineage != renewal.lineage:
        return renewal
    return _with_deployment_of(shared, renewal)


def _with_deployment_of(renewal: RenewalState, own: RenewalState) -> RenewalState:
    return replace(
        renewal,
        served=own.served,
        served_at=own.served_at,
        deploy_trouble=own.deploy_trouble,
        hook_trouble=own.hook_trouble,
        hooks_left=own.hooks_left,
    )


def _decode(value: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(value, type=kind)
    except DECODE_ERRORS:
        return None

"""What is known of an order, on disk before it matters: `<folder>/<order>/`.

`order.json` is this record, `privkey.pem` the new certificate's key and `fullchain.pem` the
chain once it was fetched. A run that finds a record goes on with it, whatever ended the last one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from portico.adapters.acme.child.failures import setup_failure
from portico.adapters.acme.child.files import remove_unused
from portico.adapters.acme.wire import IssueRequest
from portico.core.model.certificate import KeyType
from portico.core.model.json_text import DECODE_ERRORS
from portico.system.files import write

RECORD: Final = "order.json"
KEY: Final = "privkey.pem"
CHAIN: Final = "fullchain.pem"


@dataclass(frozen=True, slots=True)
class OrderIdentity:
    """What makes it this certificate and no other."""

    directory: str
    account_key: str
    names: tuple[str, ...]
    key_type: KeyType
    profile: str | None

    @classmethod
    def of(cls, request: IssueRequest) -> OrderIdentity:
        return cls(
            request.account.server.directory,
            request.account.key,
            names_of(request),
            request.key_type,
            request.profile,
        )


@dataclass(frozen=True, slots=True)
class PublishedRecord:
    """A TXT record that has to be taken away again."""

    by: str
    """Who published it: another publisher cannot take it away."""
    domain: str
    """The domain whose proof it is, without `*.`."""
    name: str
    """Of the record itself, where CNAMEs have led."""
    zone: str
    value: str
    output: str = ""
    """What an operator's program has said, for its clean-up."""


@dataclass(frozen=True, slots=True)
class Record:
    asked: OrderIdentity
    sending: bool = False
    """The order was about to be sent: it may have been."""
    order: str = ""
    """The order's URL."""
    account: str = ""
    """URL of the account that it belongs to."""
    replaced: bool = False
    published: tuple[PublishedRecord, ...] = ()


_RECORD: Final = msgspec.json.Decoder(Record)


class OrderFolder:
    """One order's folder; whoever changes anything in it holds its lock."""

    def __init__(self, folder: str, order: str) -> None:
        self.path = order_path(folder, order)
        self.key, self.chain = self.path / KEY, self.path / CHAIN

    @property
    def record(self) -> Record | None:
        """None too if it is damaged, or is worth nothing because its key is lost."""
        try:
            record = _RECORD.decode((self.path / RECORD).read_bytes())
        except (FileNotFoundError, *DECODE_ERRORS):
            return None
        return record if self.key.exists() else None

    def write(self, record: Record) -> Record:
        write(self.path / RECORD, msgspec.json.encode(record))
        return record

    def clear(self) -> None:
        """For a new beginning, with another key. The record goes first: without it the rest
        counts for nothing.
        """
        (self.path / RECORD).unlink(missing_ok=True)
        for each in self.path.iterdir():
            each.unlink()

    def other_orders(self) -> set[str]:
        """URLs of the orders in all other folders."""
        folders = (each.parent for each in self.path.parent.glob(f"*/{RECORD}"))
        others = [
            OrderFolder(str(each.parent), each.name) for each in folders if each != self.path
        ]
        return {record.order for each in others if (record := each.record)}


def order_path(folder: str, order: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,220}", order):
        raise setup_failure(
            f"cannot use {order!r} as an order's name; use only letters, digits and -"
        )
    return Path(folder) / order


def forget(folder: str, order: str) -> bool:
    """Remove what is known of an order, its key too; False when a run works on it."""
    return remove_unused(order_path(folder, order))


def names_of(request: IssueRequest) -> tuple[str, ...]:
    """Each once, in the order they were given."""
    return tuple(dict.fromkeys(name.lower() for name in request.names))

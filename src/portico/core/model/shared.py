"""What the machines of a cluster share: the keys of the store, and their values as JSON.

Keys are written here without what all keys of the cluster begin with (`mirroring.prefix_of`). A
field that this version of Portico does not know is ignored; what an older one would get wrong is
another schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeVar

import msgspec

from portico.core.model.cluster import CROSSING_PORT
from portico.core.model.json_text import DECODE_ERRORS

SCHEMA: Final = 1
"""The newest one that this version of Portico knows. It writes what `least` in the record of the
cluster says, until `portico cluster upgrade` raises that (`core/planning/schema_gate.py`).
"""

CLUSTER_KEY: Final = "cluster"
MACHINES: Final = "machines/"
TOKENS: Final = "tokens/"
PRESENCES: Final = "present/"
REVISIONS: Final = "revisions/"
HEADS: Final = "head/"
CHANGE_KEY: Final = "change"
PROGRESS: Final = "progress/"
TURN_KEY: Final = "turn"
ISSUER_KEY: Final = "issuer"
ISSUER_CLAIM_KEY: Final = "issuer-claim"
"""The machine that is to hold `issuer` next."""
LINEAGES: Final = "lineages/"
ORDERS: Final = "orders/"
CURRENT_LINEAGES: Final = "current/"
ACCOUNT_KEY: Final = "account"
THUMBPRINT_KEY: Final = "thumbprint"
LEDGER: Final = "ledger/"
FAILURES: Final = "failures/"
RUNS: Final = "runs/"
ENDPOINTS_KEY: Final = "endpoints"
RUNNING_APPS: Final = "running/"
SWITCHES_KEY: Final = "switches"
KEEPER_KEY: Final = "keeper"
"""Sealed: the user of the store that creates and removes those of the machines."""
RESTORE_KEY: Final = "restore"
"""Of the `portico cluster restore` that writes: of two at a time the later one goes on alone. Not
there once the store is whole.
"""
RESTORED_KEY: Final = "restored"
"""Digest of the copy that the last `portico cluster restore` has written: machines with that copy
follow the store, whatever was changed in it since.
"""
_NUMBER: Final = re.compile("[0-9]{1,15}")


def machine_key(name: str) -> str:
    return f"{MACHINES}{name}"


def token_key(token: str) -> str:
    """`token` is its public id."""
    return f"{TOKENS}{token}"


def present_key(machine: str) -> str:
    return f"{PRESENCES}{machine}"


def revision_key(project: str, number: int) -> str:
    """`project` is its name: its key may be another one on each machine."""
    return f"{REVISIONS}{project}/{number}"


def head_key(project: str) -> str:
    return f"{HEADS}{project}"


def progress_key(machine: str) -> str:
    return f"{PROGRESS}{machine}"


def lineage_key(lineage: str, number: int) -> str:
    return f"{LINEAGES}{lineage}/{number}"


def current_key(lineage: str) -> str:
    return f"{CURRENT_LINEAGES}{lineage}"


def order_key(lineage: str) -> str:
    return f"{ORDERS}{lineage}"


def ledger_key(at: float, entry: str) -> str:
    """In the order of time: whole seconds, so that what is old can be told by the key."""
    return f"{LEDGER}{int(at):010d}-{entry}"


def failures_key(lineage: str) -> str:
    return f"{FAILURES}{lineage}"


def run_key(app: str, minute: int) -> str:
    """`app` is its name among those of all projects; `minute` counts from 1970."""
    return f"{RUNS}{app}/{minute}"


def requested_run_key(app: str, change: str) -> str:
    """Of a run that a change of all machines asked for, by its id."""
    return f"{RUNS}{app}/change-{change}"


def running_key(app: str) -> str:
    """`app` is its name among those of all projects."""
    return f"{RUNNING_APPS}{app}"


def is_number(text: str) -> bool:
    """Whether a part of a key, in which any text may be, is one that Portico writes."""
    return _NUMBER.fullmatch(text) is not None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A value. `v` says how it is written, and is 1."""

    v: int = 1


class ClusterRecord(Record, frozen=True):
    """`cluster`."""

    least: int
    """The schema in use, which a program must know to take part."""


class SharedMachine(Record, frozen=True):
    """`machines/NAME`."""

    address: str
    port: int = CROSSING_PORT
    labels: tuple[str, ...] = ()
    serial: str = ""
    """Of its certificate, as the folder of its files is called."""
    state: Literal["in", "leaving"] = "in"


class JoinToken(Record, frozen=True):
    """`tokens/ID`."""

    digest: str
    """SHA-256 of the secret, in hexadecimal."""
    until: float
    """Unix time, seconds."""
    replaces: str = ""
    """Name of the machine that it may replace."""
    used: str = ""
    """Name of the machine that has joined with it."""


class Presence(Record, frozen=True):
    """`present/NAME`, which ends with the session of the machine."""

    version: str
    """Of Portico."""
    schema: int = 1
    """The newest one that it knows."""
    in_force: Mapping[str, int] = {}
    """By name of a project, the number of the shared revision that the machine has in force."""
    thumbprint: str = ""
    """Of the account by which it answers authorities; empty if by none."""
    troubles: tuple[str, ...] = ()


class Head(Record, frozen=True):
    """`head/PROJECT`: numbers of its revisions."""

    number: int
    """In force."""
    served: int = 0
    """The last one that all machines have served; 0 for none."""


class StoreEndpoints(Record, frozen=True):
    """`endpoints`, once a member of etcd was added or removed: what each machine uses."""

    urls: tuple[str, ...]


class Keeper(Record, frozen=True):
    """`keeper`, once it is decrypted."""

    user: str
    password: str


class Holder(Record, frozen=True):
    """`turn`, `issuer`, `issuer-claim` and `running/APP`, which end with the session of the
    machine, and `runs/APP/MINUTE`.
    """

    machine: str


R = TypeVar("R", bound=Record)


def encode(record: Record) -> bytes:
    return msgspec.json.encode(record)


def decode(kind: type[R], value: bytes) -> R | None:
    """None where it is not readable as one: a wrong value of one key must not hold up others."""
    try:
        record = msgspec.json.decode(value, type=kind)
    except DECODE_ERRORS:
        return None
    return record if record.v == 1 else None

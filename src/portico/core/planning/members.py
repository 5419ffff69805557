"""The machines of a cluster as its store has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from pydantic import TypeAdapter, ValidationError

from portico.core.model.cluster import Machine, MachineName, MemberList
from portico.core.model.shared import SharedMachine, decode
from portico.core.model.snapshot import StoredItem

_KEYS: Final = frozenset({"address", "port", "labels"})
_SERIAL: Final = re.compile(r"[0-9a-f]{1,40}")
_NAME: Final = TypeAdapter(MachineName)


def member_list(cluster: str, items: Mapping[str, StoredItem]) -> MemberList:
    """From the keys below `machines/`, in the order of names. What cannot be read is not in it:
    nginx's files are made of what is.
    """
    records = {name: decode(SharedMachine, items[name].value) for name in sorted(items)}
    read = {name: each and _machine(name, each) for name, each in records.items()}
    serials = {name: each.serial for name, each in records.items() if each and read[name]}
    return MemberList(
        cluster,
        {name: machine for name, machine in read.items() if machine},
        {name: serial for name, serial in serials.items() if _SERIAL.fullmatch(serial)},
    )


def has_certificate(item: StoredItem | None, serial: str) -> bool:
    """Whether the record of a machine is still that of its certificate with this serial: another
    machine that replaced it has the record of the same name. An older Portico wrote no serial.
    """
    record = decode(SharedMachine, item.value) if item else None
    return item is not None and (not serial or not record or record.serial in {"", serial})


def _machine(name: str, record: SharedMachine) -> Machine | None:
    table = {key: each for key, each in msgspec.structs.asdict(record).items() if key in _KEYS}
    try:
        _NAME.validate_python(name)
        return Machine.model_validate(table)
    except ValidationError:
        return None

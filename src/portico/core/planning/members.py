"""The machines of a cluster as its store has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from pydantic import TypeAdapter, ValidationError

from portico.core.model.cluster import Machine, MachineName
from portico.core.model.shared import SharedMachine, decoded
from portico.core.model.stored import StoredItem

_KEYS: Final = frozenset({"address", "port", "labels"})
_NAME: Final = TypeAdapter(MachineName)


def machines_in(items: Mapping[str, StoredItem]) -> dict[str, Machine]:
    """By name, from the keys below `machines/`, in the order of names. One that cannot be read is
    not among them: nginx's files are made of what is.
    """
    read = {name: _machine(name, items[name].value) for name in sorted(items)}
    return {name: machine for name, machine in read.items() if machine}


def _machine(name: str, value: bytes) -> Machine | None:
    record = decoded(SharedMachine, value)
    if record is None:
        return None
    table = {key: each for key, each in msgspec.structs.asdict(record).items() if key in _KEYS}
    try:
        _NAME.validate_python(name)
        return Machine.model_validate(table)
    except ValidationError:
        return None

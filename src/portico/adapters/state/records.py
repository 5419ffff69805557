"""The records of the database as JSON text, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from portico.core.model.certificate import Entry, RenewalState
from portico.core.model.desired import Spec
from portico.core.model.instance import Instance
from portico.core.model.records import AppRecord, Revision
from portico.errors import Failed

SPEC: Final = TypeAdapter(Spec)
INSTANCE: Final = TypeAdapter(Instance)
REVISION: Final = TypeAdapter(Revision)
MEMORY: Final = TypeAdapter(RenewalState)
ENTRY: Final = TypeAdapter(Entry)
_APP: Final = TypeAdapter(AppRecord)
_SPEC_FIELDS: Final = {field.name for field in fields(Spec)} - {"id"}
Record = TypeVar("Record")


def to_json(kind: TypeAdapter[Record], record: Record) -> str:
    return kind.dump_json(record).decode()


def from_json(kind: TypeAdapter[Record], text: str) -> Record:
    """Raises Failed for a text that this version of Portico cannot read."""
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        raise _unreadable(error) from error


def app_to_json(record: AppRecord) -> str:
    """Specs are kept once, in their own table; an app names its own by their ids."""
    return _APP.dump_json(record, exclude={"target": _SPEC_FIELDS, "good": _SPEC_FIELDS}).decode()


def app_from_json(text: str, specs: Mapping[str, Spec]) -> AppRecord:
    """Raises Failed, as from_json does."""
    try:
        record = json.loads(text)
        good = record["good"] and specs[record["good"]["id"]]
        return _APP.validate_python(
            record | {"target": specs[record["target"]["id"]], "good": good}
        )
    except ValidationError as error:
        raise _unreadable(error) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _shape_error(f"an app: {error!r}") from error


def _unreadable(error: ValidationError) -> Failed:
    first = error.errors(include_url=False)[0]
    return _shape_error(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _shape_error(what: str) -> Failed:
    return Failed(
        f"cannot read the records of an earlier Portico: {what}; nothing was changed. Run that "
        "version again, or move portico.db aside and run `portico up`"
    )

"""What is in force and what runs, beside the database in plain JSON, should that be lost.

A database that cannot be read any more must not become an outage: without the instances'
pids they could not be adopted, and without the file in force they would not be wanted. So these
rows are written once more after each change, and a database that begins anew starts from them.
History and events are only in the database.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from portico.adapters.state.migrations import IN_FORCE_NUMBERS, MIGRATIONS
from portico.adapters.state.records import INSTANCE, REVISION, SPEC, app_from_json, from_json
from portico.errors import Failed
from portico.system.files import write

SideFile = Literal["in-force.json", "instances.json"]
IN_FORCE: Final = "in-force.json"
INSTANCES: Final = "instances.json"

_TABLES: Final[dict[SideFile, dict[str, tuple[str, str]]]] = {
    IN_FORCE: {
        "revision": ("number, record", f"revision WHERE number IN ({IN_FORCE_NUMBERS})"),
        "spec": ("id, record", "spec"),
        "app": ("name, target, good, record", "app"),
        "setting": ("name, value", "setting"),
    },
    INSTANCES: {"instance": ("id, spec, record", "instance"), "serial": ("app, last", "serial")},
}
"""Of each table in a file its columns, in their order, and the rows."""


class _SavedTables(BaseModel):
    model_config = ConfigDict(strict=True)

    version: int
    tables: dict[str, list[list[str | int | None]]]


def save(db: sqlite3.Connection, folder: Path, name: SideFile) -> None:
    """Replace the file. Where that fails (a full disk) the old one is worth more than none.

    Instances end with a power cut, so only what outlives one is worth the wait for the disk.
    """
    with contextlib.suppress(OSError, sqlite3.Error):
        write(folder / name, _text(db, name), durable=name == IN_FORCE)


def _text(db: sqlite3.Connection, name: SideFile) -> str:
    """SQLite writes the rows: a thousand instances change with every start of one of them."""
    tables = []
    for table, (columns, rows) in _TABLES[name].items():
        query = f"SELECT json_group_array(json_array({columns})) FROM {rows}"  # noqa: S608 - ours
        [(text,)] = db.execute(query)
        tables.append(f"{json.dumps(table)}: {text}")
    return f'{{"version": {len(MIGRATIONS)}, "tables": {{{", ".join(tables)}}}}}'


def restore(db: sqlite3.Connection, folder: Path) -> list[SideFile]:
    """Fill an empty database; returns the files that could be used."""
    return [name for name in _TABLES if _restore(db, folder / name, tuple(_TABLES[name]))]


def _restore(db: sqlite3.Connection, path: Path, tables: tuple[str, ...]) -> bool:
    try:
        saved = _SavedTables.model_validate_json(path.read_bytes())
        if saved.version > len(MIGRATIONS):
            return False  # one of an earlier version fits as long as its tables are the same
        with db:
            db.execute("BEGIN")
            for table in tables:
                for row in saved.tables.get(table, []):
                    marks = ",".join("?" * len(row))
                    db.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608 - our names
            _read_all(db)
    except (OSError, ValidationError, sqlite3.Error, OverflowError, Failed):
        return False
    return True


def _read_all(db: sqlite3.Connection) -> None:
    """Raises Failed where a record cannot be read: no daemon would start with it."""
    specs = {
        number: from_json(SPEC, text) for number, text in db.execute("SELECT id, record FROM spec")
    }
    for (text,) in db.execute("SELECT record FROM app"):
        app_from_json(text, specs)
    for (text,) in db.execute("SELECT record FROM revision"):
        from_json(REVISION, text)
    for (text,) in db.execute("SELECT record FROM instance"):
        from_json(INSTANCE, text)

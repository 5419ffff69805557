"""Opens the SQLite file: makes it, brings it up to date, puts a damaged one aside."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from portico.adapters.state.migrations import MIGRATIONS
from portico.adapters.state.side_copy import IN_FORCE, INSTANCES, SideFile, restore, save
from portico.errors import Failed

BUSY_SECONDS: Final = 2.0  # somebody may look at the file with the sqlite3 program
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def open_database(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """The database, ready to use, and what an operator should know of how it was found.

    Raises Failed when the file cannot be opened or is of a newer Portico; it is then untouched.
    """
    found = path.exists() and path.stat().st_size > 0
    try:
        db = _open(path)
    except _DamagedDatabase as damage:
        aside = _put_aside(path)
        db = _open(path)
        return db, [
            f"{path} was damaged ({damage}) and was renamed to {aside.name}; {_begin(db, path)}"
        ]
    if found or not any((path.parent / name).exists() for name in (IN_FORCE, INSTANCES)):
        return db, []
    return db, [f"{path} was missing or empty; {_begin(db, path)}"]


def assert_usable(path: Path) -> None:
    """Raises Failed where the file is of a newer Portico; reads it and changes nothing."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            _assert_known(db, path)
    except sqlite3.Error as error:
        if not is_damage(error):  # a damaged one is put aside by whoever opens it to use it
            raise Failed(f"cannot open {path}: {error}; nothing was changed") from error


class _DamagedDatabase(Exception):
    pass


def _open(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        try:
            return _connect(path)
        except sqlite3.OperationalError as error:
            if not _lacks_room(error):
                raise
        return _connect(path, alone=True)
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise _DamagedDatabase(str(error)) from error
        raise Failed(f"cannot use {path}: {error}; nothing was changed") from error


def _connect(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    """`alone` keeps others from looking at it. What is shared with them needs room on the disk
    (32 KiB in PATH-shm), and on a full one a daemon has to read it all the same.
    """
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        if alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _lacks_room(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


def is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise _DamagedDatabase(" ".join(found.split()))
    version = _assert_known(db, path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA secure_delete = ON")  # there may be secrets in what is deleted
    if version < len(MIGRATIONS):
        scripts = "; ".join((*MIGRATIONS[version:], f"PRAGMA user_version = {len(MIGRATIONS)}"))
        db.executescript(f"BEGIN IMMEDIATE; {scripts}; COMMIT;")
    if 0 < version < len(MIGRATIONS):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        save(db, path.parent, IN_FORCE)


def _assert_known(db: sqlite3.Connection, path: Path) -> int:
    """The version of its tables."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise Failed(
            f"cannot use {path}: it was written by a newer Portico (tables of version {version}, "
            f"this one knows {len(MIGRATIONS)}); nothing was changed; install that version"
        )
    return version


def _put_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for ending in ("-wal", "-shm"):  # they belong to the old file and would spoil the new one
        companion = path.with_name(path.name + ending)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + ending))
    return aside


def _begin(db: sqlite3.Connection, path: Path) -> str:
    """Fill the new database from the side files; says what goes on and what is lost."""
    restored: list[SideFile] = restore(db, path.parent)
    sentences = ["starting with an empty database"]
    if IN_FORCE in restored:
        sentences.append("the file in force was restored from in-force.json")
        sentences.append("older revisions and events are lost")
    else:
        sentences.append("the file in force was lost: run `portico up` again")
    if INSTANCES in restored:
        sentences.append("running instances were restored from instances.json")
    else:
        sentences.append("instances that still run are unknown; stop them by hand")
    return "; ".join(sentences)

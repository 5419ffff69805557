"""What portico remembers, in one SQLite file (ports.State)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from portico.adapters.state import side_copy
from portico.adapters.state.database import is_damage, open_database
from portico.adapters.state.migrations import IN_FORCE_NUMBERS
from portico.adapters.state.records import (
    ENTRY,
    INSTANCE,
    MEMORY,
    REVISION,
    SPEC,
    app_from_json,
    app_to_json,
    from_json,
    to_json,
)
from portico.core.model.certificate import Entry, RenewalState
from portico.core.model.desired import Spec
from portico.core.model.event import Event, EventFilter
from portico.core.model.instance import Instance
from portico.core.model.names import InstanceId
from portico.core.model.records import AppRecord, Revision
from portico.core.model.snapshot import Changes, Snapshot, StoredItem
from portico.errors import Failed

log = logging.getLogger(__name__)

REVISIONS_KEPT: Final = 50
EVENTS_KEPT: Final = 20_000
EVENTS_OF_ANY_AGE: Final = 1_000
"""Of the newest ones: a clock that jumps ahead must not remove all."""
_EVENT_COLUMNS: Final = ("at", "kind", "subject", "text", "project", "uid", "command")
_ADD_EVENT: Final = (
    f"INSERT INTO event ({', '.join(_EVENT_COLUMNS)}) "  # noqa: S608 - our names
    f"VALUES ({', '.join('?' * len(_EVENT_COLUMNS))})"
)
_DROP_OLD_REVISIONS: Final = (
    f"DELETE FROM revision WHERE number <= ? AND number NOT IN ({IN_FORCE_NUMBERS})"  # noqa: S608 - ours
)
LEDGER_KEPT: Final = 100_000  # by count: a clock that jumps ahead must not empty it


class SqliteState:
    """Raises Failed when it cannot read or write; what was recorded before then still is.

    Writes of what an operator said wait for the disk (`synchronous = FULL`). All others do not
    (`NORMAL`): with a write-ahead log the death of this process loses nothing then, only a
    power cut may, and no instance outlives one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db, self.troubles = open_database(path)
        self._stale: set[side_copy.SideFile] = set()
        self._specs_unused = False
        """Whether some may be: looked for once in a transaction, at its end."""
        self._ledger: dict[int, Entry] = {}
        """What was read of it last: reading JSON is most of what thousands of entries cost."""
        self._report: Callable[[str], None] = self.troubles.append

    def report_to(self, listener: Callable[[str], None]) -> None:
        """Say what an operator should know of how the file was found, now and whenever."""
        for sentence in self.troubles:
            listener(sentence)
        self._report = listener

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self, *, durable: bool = True, more: bool = False) -> Iterator[None]:
        with self._write("several changes", durable=durable, more=more):
            yield

    def revisions(self) -> list[Revision]:
        rows = self._rows("SELECT number, record FROM revision ORDER BY number DESC")
        return [replace(from_json(REVISION, text), number=number) for number, text in rows]

    def add_revision(self, revision: Revision) -> Revision:
        with self._write("a revision", durable=True, stale=side_copy.IN_FORCE) as db:
            text = to_json(REVISION, revision)
            number = db.execute("INSERT INTO revision (record) VALUES (?)", (text,)).lastrowid or 0
            db.execute(_DROP_OLD_REVISIONS, (number - REVISIONS_KEPT,))
        return replace(revision, number=number)

    def put_revision(self, revision: Revision) -> None:
        with self._write("a revision", durable=True, stale=side_copy.IN_FORCE) as db:
            row = (to_json(REVISION, revision), revision.number)
            db.execute("UPDATE revision SET record = ? WHERE number = ?", row)

    def apps(self) -> list[AppRecord]:
        specs = self.specs()
        rows = self._rows("SELECT record FROM app ORDER BY name")
        return [app_from_json(text, specs) for (text,) in rows]

    def put_app(self, record: AppRecord) -> None:
        specs = [record.target, *([record.good] if record.good else [])]
        good = record.good and record.good.id
        with self._write(f"app {record.name}", durable=True, stale=side_copy.IN_FORCE) as db:
            for spec in specs:
                db.execute("REPLACE INTO spec VALUES (?, ?)", (spec.id, to_json(SPEC, spec)))
            row = (record.name, record.target.id, good, app_to_json(record))
            db.execute("REPLACE INTO app VALUES (?, ?, ?, ?)", row)
            self._specs_unused = True

    def drop_app(self, name: str) -> None:
        with self._write(
            f"the removal of app {name}", durable=True, stale=side_copy.IN_FORCE
        ) as db:
            db.execute("DELETE FROM app WHERE name = ?", (name,))
            self._specs_unused = True

    def instances(self) -> list[Instance]:
        rows = self._rows("SELECT record FROM instance ORDER BY id")
        return [from_json(INSTANCE, text) for (text,) in rows]

    def put_instance(self, instance: Instance) -> None:
        with self._write(f"instance {instance.id}", stale=side_copy.INSTANCES) as db:
            row = (instance.id, instance.spec, to_json(INSTANCE, instance))
            db.execute("REPLACE INTO instance VALUES (?, ?, ?)", row)

    def drop_instance(self, instance: InstanceId) -> None:
        with self._write(f"the removal of instance {instance}", stale=side_copy.INSTANCES) as db:
            db.execute("DELETE FROM instance WHERE id = ?", (instance,))
            self._specs_unused = True

    def specs(self) -> Mapping[str, Spec]:
        rows = self._rows("SELECT id, record FROM spec")
        return {number: from_json(SPEC, text) for number, text in rows}

    def next_serial(self, app: str) -> int:
        with self._write(f"a number for an instance of {app}") as db:
            db.execute("INSERT OR IGNORE INTO serial VALUES (?, 0)", (app,))
            db.execute("UPDATE serial SET last = last + 1 WHERE app = ?", (app,))
            found = db.execute("SELECT last FROM serial WHERE app = ?", (app,)).fetchone()
        return int(found[0])

    def setting(self, name: str) -> str | None:
        rows = self._rows("SELECT value FROM setting WHERE name = ?", name)
        return rows[0][0] if rows else None

    def put_setting(self, name: str, value: str) -> None:
        with self._write(f"setting {name}", durable=True, stale=side_copy.IN_FORCE) as db:
            db.execute("REPLACE INTO setting VALUES (?, ?)", (name, value))

    def renewal_states(self) -> Mapping[str, RenewalState]:
        rows = self._rows("SELECT lineage, record FROM memory")
        return {lineage: from_json(MEMORY, text) for lineage, text in rows}

    def renewal_state(self, lineage: str) -> RenewalState:
        rows = self._rows("SELECT record FROM memory WHERE lineage = ?", lineage)
        return from_json(MEMORY, rows[0][0]) if rows else RenewalState(lineage)

    def put_renewal_state(self, renewal: RenewalState) -> None:
        with self._write(f"the renewal state of {renewal.lineage}", durable=True) as db:
            row = (renewal.lineage, to_json(MEMORY, renewal))
            db.execute("REPLACE INTO memory VALUES (?, ?)", row)

    def drop_renewal_state(self, lineage: str) -> None:
        with self._write(f"the removal of certificate {lineage}", durable=True) as db:
            db.execute("DELETE FROM memory WHERE lineage = ?", (lineage,))

    def ledger_since(self, at: float) -> list[Entry]:
        query = "SELECT number, at, record FROM ledger WHERE at >= ? ORDER BY number"
        known, self._ledger = self._ledger, {}
        for number, moment, text in self._rows(query, at):
            entry = known.get(number) or from_json(ENTRY, text)
            self._ledger[number] = entry if entry.at == moment else replace(entry, at=moment)
        return list(self._ledger.values())

    def last_entry(self) -> int:
        [(number,)] = self._rows("SELECT coalesce(max(number), 0) FROM ledger")
        return int(number)

    def add_ledger(self, entries: Sequence[Entry]) -> None:
        with self._write("an entry for an authority's limits", durable=True) as db:
            for entry in entries:
                row = (entry.at, to_json(ENTRY, entry))
                added = db.execute("INSERT INTO ledger (at, record) VALUES (?, ?)", row)
                oldest = (added.lastrowid or 0) - LEDGER_KEPT
                db.execute("DELETE FROM ledger WHERE number <= ?", (oldest,))

    def no_ledger_after(self, now: float) -> None:
        if not self._rows("SELECT 1 FROM ledger WHERE at > ? LIMIT 1", now):
            return
        with self._write("an entry for an authority's limits", durable=True) as db:
            db.execute("UPDATE ledger SET at = ? WHERE at > ?", (now, now))

    def add_event(self, event: Event) -> None:
        row = tuple(getattr(event, name) for name in _EVENT_COLUMNS)
        try:
            with self._write("an event") as db:
                last = db.execute(_ADD_EVENT, row).lastrowid or 0
                db.execute("DELETE FROM event WHERE number <= ?", (last - EVENTS_KEPT,))
        except Failed as error:
            log.warning("%s of %s: %s (%s)", event.kind, event.subject, event.text, error)

    def drop_events(self, before: float) -> None:
        newest = self.last_event() - EVENTS_OF_ANY_AGE
        if self._rows("SELECT 1 FROM event WHERE number <= ? AND at < ? LIMIT 1", newest, before):
            with self._write("the removal of old events") as db:
                db.execute("DELETE FROM event WHERE number <= ? AND at < ?", (newest, before))

    def last_event(self) -> int:
        [(number,)] = self._rows("SELECT coalesce(max(number), 0) FROM event")
        return int(number)

    def events(self, wanted: EventFilter, limit: int, *, after: int | None = None) -> list[Event]:
        where, values = _event_conditions(wanted)
        order = "DESC" if after is None else "ASC"
        query = (
            f"SELECT {', '.join(_EVENT_COLUMNS)}, number FROM event "  # noqa: S608 - our names
            f"WHERE number > ? {where} ORDER BY number {order} LIMIT ?"
        )
        found = [Event(*row) for row in self._rows(query, after or 0, *values, limit)]
        return found[::-1] if after is None else found

    def count_events(self, wanted: EventFilter, after: int) -> int:
        where, values = _event_conditions(wanted)
        query = f"SELECT count(*) FROM event WHERE number > ? {where}"  # noqa: S608 - our names
        [(count,)] = self._rows(query, after, *values)
        return int(count)

    def last_notified(self) -> Mapping[str, int]:
        return dict(self._rows("SELECT target, number FROM notified"))

    def put_notified(self, target: str, number: int | None) -> None:
        with self._write(f"what was sent to {target}") as db:
            if number is None:
                db.execute("DELETE FROM notified WHERE target = ?", (target,))
            else:
                db.execute("REPLACE INTO notified VALUES (?, ?)", (target, number))

    def mirror(self, cluster: str) -> Snapshot | None:
        revisions = self._rows("SELECT revision FROM cluster WHERE uuid = ?", cluster)
        if not revisions:
            return None
        rows = self._rows("SELECT key, value, revision, created FROM mirror")
        return Snapshot(revisions[0][0], {key: StoredItem(*item) for key, *item in rows})

    def put_mirror(self, cluster: str, changes: Changes) -> None:
        with self._write("what the machines of the cluster share", durable=True) as db:
            if db.execute("DELETE FROM cluster WHERE uuid != ?", (cluster,)).rowcount:
                db.execute("DELETE FROM mirror")
            db.execute("REPLACE INTO cluster VALUES (?, ?)", (cluster, changes.revision))
            for key, item in changes.items.items():
                if item is None:
                    db.execute("DELETE FROM mirror WHERE key = ?", (key,))
                else:
                    row = (key, item.value, item.revision, item.created)
                    db.execute("REPLACE INTO mirror VALUES (?, ?, ?, ?)", row)

    # one transaction -------------------------------------------------------------------------

    @contextmanager
    def _write(
        self,
        what: str,
        *,
        durable: bool = False,
        more: bool = False,
        stale: side_copy.SideFile | None = None,
    ) -> Iterator[sqlite3.Connection]:
        """A transaction, or a part of the one that is open; then the side files it made old,
        unless there is more to come.
        """
        if stale:
            self._stale.add(stale)
        if self._db.in_transaction:
            yield self._db
            return
        try:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            if self._specs_unused:
                _drop_unused_specs(self._db)
                self._specs_unused = False
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failure(f"record {what}", error) from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        for name in () if more else tuple(self._stale):
            side_copy.save(self._db, self._path.parent, name)
            self._stale.discard(name)

    # Any: a row's columns have the types of the query that names them
    def _rows(self, query: str, *values: str | float) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            failure = self._failure("read records", error)
            if not is_damage(error):
                raise failure from error
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failure("read records", error) from error

    def _failure(self, what: str, error: sqlite3.Error) -> Failed:
        """Of a damaged file too, which is then put aside as the next start would do."""
        holds = "nothing was written; running apps are unaffected"
        if is_damage(error):
            self._db.close()
            self._db, troubles = open_database(self._path)
            self._ledger = {}
            for sentence in troubles:
                self._report(sentence)
            holds = "starting with a new file; running apps are unaffected, so try again"
        return Failed(f"cannot {what} in {self._path}: {error}; {holds}")


def _drop_unused_specs(db: sqlite3.Connection) -> None:
    db.execute(
        "DELETE FROM spec WHERE id NOT IN (SELECT target FROM app UNION SELECT spec FROM instance "
        "UNION SELECT good FROM app WHERE good IS NOT NULL)"
    )


def _event_conditions(wanted: EventFilter) -> tuple[str, list[str | float]]:
    """What follows `WHERE number > ?`, with its values."""
    found, values = list[str](), list[str | float]()
    if wanted.subject:
        own = "subject = ? OR substr(subject, 1, length(?) + 1) = ? || '.'"
        found.append(f"({own} OR (project != '' AND project = ?))")
        values += [wanted.subject] * 3 + [wanted.project]
    elif wanted.project:
        found.append("project = ?")
        values.append(wanted.project)
    if wanted.kinds:
        found.append(f"kind IN ({', '.join('?' * len(wanted.kinds))})")
        values += wanted.kinds
    limits = (("at >=", wanted.since), ("at <", wanted.until), ("number <", wanted.before))
    for condition, limit in limits:
        if limit is not None:
            found.append(f"{condition} ?")
            values.append(limit)
    return "".join(f" AND {each}" for each in found), values

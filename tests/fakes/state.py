"""What Portico remembers, in memory: ports.State as far as the engine's own tests ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

from portico.core.model.certificate import Entry, RenewalState
from portico.core.model.desired import Spec
from portico.core.model.event import Event, EventFilter
from portico.core.model.instance import Instance
from portico.core.model.names import InstanceId
from portico.core.model.records import AppRecord, Revision
from portico.core.model.snapshot import Changes, Snapshot
from portico.engine.events import Events
from portico.errors import Failed
from portico.ports.clock import Clock


class MemoryState:
    def __init__(self) -> None:
        self._revisions: list[Revision] = []
        self._apps: dict[str, AppRecord] = {}
        self._instances: dict[InstanceId, Instance] = {}
        self._settings: dict[str, str] = {}
        self._serials: dict[str, int] = {}
        self._specs: dict[str, Spec] = {}
        self._notified: dict[str, int] = {}
        self._mirrors: dict[str, Snapshot] = {}
        self._renewals: dict[str, RenewalState] = {}
        self._ledger: list[Entry] = []
        self.full = False
        """Nothing more can be written; found out at the end of a transaction."""
        self.recorded: list[Event] = []

    @contextmanager
    def transaction(self, *, durable: bool = True, more: bool = False) -> Iterator[None]:
        tables = {name: table for name, table in vars(self).items() if name.startswith("_")}
        before = {name: copy(table) for name, table in tables.items()}
        try:
            yield
            self.commit()
        except BaseException:
            vars(self).update(before)
            raise

    def commit(self) -> None:
        if self.full:
            raise Failed("cannot record several changes: database or disk is full")

    def mirror(self, cluster: str) -> Snapshot | None:
        return self._mirrors.get(cluster)

    def put_mirror(self, cluster: str, changes: Changes) -> None:
        self.commit()
        self._mirrors = {cluster: self._mirrors.get(cluster, Snapshot(0)).with_changes(changes)}

    def renewal_states(self) -> Mapping[str, RenewalState]:
        return dict(self._renewals)

    def renewal_state(self, lineage: str) -> RenewalState:
        return self._renewals.get(lineage) or RenewalState(lineage)

    def put_renewal_state(self, renewal: RenewalState) -> None:
        self.commit()
        self._renewals[renewal.lineage] = renewal

    def ledger_since(self, at: float) -> list[Entry]:
        return sorted((each for each in self._ledger if each.at >= at), key=lambda each: each.at)

    def last_entry(self) -> int:
        return len(self._ledger)

    def add_ledger(self, entries: Sequence[Entry]) -> None:
        self.commit()
        self._ledger += entries

    def no_ledger_after(self, now: float) -> None:
        self._ledger = [replace(each, at=min(each.at, now)) for each in self._ledger]

    def revisions(self) -> list[Revision]:
        return self._revisions[::-1]

    def add_revision(self, revision: Revision) -> Revision:
        self._revisions.append(replace(revision, number=len(self._revisions) + 1))
        return self._revisions[-1]

    def put_revision(self, revision: Revision) -> None:
        known = [each for each in self._revisions if each.number != revision.number]
        self._revisions = sorted([*known, revision], key=lambda each: each.number)

    def apps(self) -> list[AppRecord]:
        return list(self._apps.values())

    def put_app(self, record: AppRecord) -> None:
        self._apps[record.name] = record
        self._specs |= {spec.id: spec for spec in (record.target, record.good) if spec}

    def drop_app(self, name: str) -> None:
        self._apps.pop(name, None)

    def instances(self) -> list[Instance]:
        return list(self._instances.values())

    def put_instance(self, instance: Instance) -> None:
        self._instances[instance.id] = instance

    def drop_instance(self, instance: InstanceId) -> None:
        self._instances.pop(instance, None)

    def specs(self) -> Mapping[str, Spec]:
        return dict(self._specs)

    def next_serial(self, app: str) -> int:
        self._serials[app] = self._serials.get(app, 0) + 1
        return self._serials[app]

    def setting(self, name: str) -> str | None:
        return self._settings.get(name)

    def put_setting(self, name: str, value: str) -> None:
        self._settings[name] = value

    def add_event(self, event: Event) -> None:
        self.recorded.append(replace(event, number=len(self.recorded) + 1))

    def drop_events(self, before: float) -> None:
        self.recorded = [each for each in self.recorded if each.at >= before]

    def last_event(self) -> int:
        return max((each.number for each in self.recorded), default=0)

    def events(self, wanted: EventFilter, limit: int, *, after: int | None = None) -> list[Event]:
        """The filter is SQLite's to apply, but for the kinds."""
        found = [
            each
            for each in self.recorded
            if each.number > (after or 0) and (not wanted.kinds or each.kind in wanted.kinds)
        ]
        return found[-limit:] if after is None else found[:limit]

    def count_events(self, wanted: EventFilter, after: int) -> int:
        return len(self.events(wanted, 1_000_000, after=after))

    def last_notified(self) -> Mapping[str, int]:
        return dict(self._notified)

    def put_notified(self, target: str, number: int | None) -> None:
        self._notified.pop(target, None)
        if number is not None:
            self._notified[target] = number


def events_of(state: MemoryState, clock: Clock) -> Events:
    """Of no project."""
    return Events(state, clock, lambda _: "")  # type: ignore[arg-type]  # as much of it as is used

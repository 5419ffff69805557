"""What Portico remembers, in memory: ports.State as far as the engine's own tests ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

from portico.core.model.desired import Spec
from portico.core.model.instance import Instance
from portico.core.model.names import InstanceId
from portico.core.model.records import AppRecord, Revision
from portico.errors import Failed


class MemoryState:
    def __init__(self) -> None:
        self._revisions: list[Revision] = []
        self._apps: dict[str, AppRecord] = {}
        self._instances: dict[InstanceId, Instance] = {}
        self._settings: dict[str, str] = {}
        self._serials: dict[str, int] = {}
        self._specs: dict[str, Spec] = {}
        self.full = False
        """Nothing more can be written; found out at the end of a transaction."""
        self.noted: list[tuple[float, str, str, str]] = []

    @contextmanager
    def together(self, *, durable: bool = True) -> Iterator[None]:
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

    def add_event(self, at: float, kind: str, subject: str, text: str) -> None:
        self.noted.append((at, kind, subject, text))

"""The versions of apps: the one that is wanted, the last one that was ready, those that run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from portico.core.config.desired import version_in_file, version_of
from portico.core.model.desired import DesiredApp, Spec
from portico.core.model.names import InstanceId
from portico.core.model.records import AppRecord
from portico.errors import Failed
from portico.ports.state import State


class AppVersions:
    def __init__(self, state: State) -> None:
        self._state = state
        self._records = {record.name: record for record in state.apps()}
        self._specs: dict[str, Spec] = dict(state.specs())

    @property
    def records(self) -> Mapping[str, AppRecord]:
        """By app."""
        return self._records

    @property
    def targets(self) -> dict[str, str]:
        """By app, the id of the version that is wanted."""
        return {name: record.target.id for name, record in self._records.items()}

    @property
    def reload_counts(self) -> dict[str, int]:
        """By app, as `Spec.asked`."""
        return {name: record.target.asked for name, record in self._records.items()}

    def spec(self, spec_id: str) -> Spec:
        return self._specs[spec_id]

    def target(self, app: str) -> Spec:
        """After a rollback it is another one than the file's."""
        return self._records[app].target

    def resolve(self, app: DesiredApp, replaced: frozenset[InstanceId]) -> DesiredApp:
        """An app of a file in the version that is wanted."""
        record = self._records[app.name]
        return replace(
            app,
            spec=version_in_file(record.target, app.spec),
            good=record.good.id if record.good else None,
            stopped=record.stopped,
            abrupt=record.abrupt,
            replace_instances=replaced,
        )

    def file_record(self, app: DesiredApp) -> AppRecord:
        """What is to be remembered of an app of a file that is put in force."""
        record = self._records.get(app.name)
        if record is None:
            return AppRecord(app.name, app.spec, None, stopped=not app.app.autostart)
        again = record.target.id == app.spec.id
        runs = again and record.good is not None and not (record.stopped or app.app.schedule)
        # What crashes is started as it was; a reload takes what the shell has by now.
        target = app.spec
        if runs:
            target = replace(target, environ=record.target.environ)
        elif not again and target.asked < record.asked:
            target = version_of(target, asked=record.asked, links=target.links)
        return replace(record, target=target, abrupt=record.abrupt and again, reverted="")

    def reload_record(
        self, app: DesiredApp, links: Mapping[str, str] | None, *, abrupt: bool
    ) -> AppRecord:
        """The same for a new version of the file's program, where `links` lead.

        What has a schedule keeps its version, which runs once more.
        """
        record, file = self._records[app.name], app.spec
        if app.app.schedule:
            return replace(record, stopped=False)
        asked = max(record.target.asked + 1, file.asked + 1, record.asked)
        target = version_of(file, asked=asked, links=file.links if links is None else links)
        return replace(record, target=target, abrupt=abrupt, stopped=False, reverted="")

    def rollback_record(self, app: str, why: str) -> AppRecord:
        """The same for the last version that was ready. Raises Failed if none ever was."""
        record = self._records[app]
        if record.good is None:
            raise Failed(f"cannot roll back {app}: no version of it was ever ready")
        asked = max(record.asked, record.target.asked + 1)
        return replace(record, target=record.good, abrupt=False, reverted=why, asked=asked)

    def writes(self, records: Iterable[AppRecord]) -> dict[str, Callable[[], object]]:
        """What writes them to disk, as `PendingWrites.store` takes it."""
        return {f"app {record.name}": partial(self._state.put_app, record) for record in records}

    def remember(self, records: Iterable[AppRecord]) -> None:
        for record in records:
            self._records[record.name] = record
            for spec in (record.target, record.good):
                if spec is not None:
                    self._specs[spec.id] = spec

    def forget(self, app: str) -> None:
        self._records.pop(app, None)

    def keep(self, in_use: Iterable[str]) -> None:
        """Forget the versions that no instance runs and no app wants any more."""
        wanted = {r.target.id for r in self._records.values()}
        wanted |= {r.good.id for r in self._records.values() if r.good}
        wanted |= set(in_use)
        self._specs = {name: spec for name, spec in self._specs.items() if name in wanted}

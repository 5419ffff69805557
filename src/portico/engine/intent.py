"""What is wanted now: the file in force, and for each app the version that is.

An app's version follows the file, except while a rollout of it was given up: then the version
before stays wanted until the next `up` or `reload`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import Instance
from portico.core.model.names import InstanceId
from portico.core.model.place import Build
from portico.core.model.world import NginxSeen
from portico.engine.prepare import Candidate
from portico.errors import Failed
from portico.ports import AppRecord, Clock, Nginx, Revision, State, Tested


@dataclass(frozen=True, slots=True)
class Reverted:
    """A rollout that was given up."""

    app: str
    why: str


PAUSED: Final = "paused"
"""Name of the setting that lists the sites closed by hand, a JSON array."""
IN_FORCE: Final = "in_force"
"""Name of the setting that holds the number of the revision in force."""


VERSION: Final = "version"
"""Name of the setting that holds which version of Portico ran here last."""


class Intent:
    def __init__(self, state: State, clock: Clock, nginx: Nginx) -> None:
        self._state, self._clock, self._nginx = state, clock, nginx
        self._records: dict[str, AppRecord] = {record.name: record for record in state.apps()}
        self._specs: dict[str, Spec] = dict(state.specs())
        self._files: Mapping[str, str] = {}
        self._document = self.desired = Desired()
        self.revision: Revision | None = None
        self.tested: Tested | None = None
        self.build: Build | None = None
        """The nginx that the files in force were rendered for."""
        self.fingerprint = ""
        """Of the nginx files that belong to what is wanted; empty when no site is."""
        self.reverted: dict[str, Reverted] = {}
        self._replace: frozenset[InstanceId] = frozenset()
        self._runs: set[str] = set()
        self.upgrade: Build | None = None
        """The nginx that is to take the place of the one that runs."""
        self.upgrade_trouble = ""
        """Why the last one could not."""
        self._resolve()

    def wanted(self) -> tuple[Desired, str]:
        return self.desired, self.fingerprint

    # What the file says

    def accept(self, candidate: Candidate, revision: Revision) -> Revision:
        """Put a checked file in force: remembered first, then wanted. Returns its revision."""
        with self._state.together():
            accepted = self._state.add_revision(revision)
            self._state.put_setting(IN_FORCE, str(accepted.number))
            for name, app in candidate.desired.apps.items():
                self._put(self._accepted(name, app))
        for name in candidate.desired.apps:
            self.reverted.pop(name, None)
        self.revision = accepted
        self._hold(candidate)
        self._resolve()
        return accepted

    def _accepted(self, name: str, app: DesiredApp) -> AppRecord:
        record = self._records.get(name)
        if record is None:
            return AppRecord(name, app.spec, None, stopped=not app.app.autostart)
        again = record.target.id == app.spec.id
        return replace(record, target=app.spec, abrupt=record.abrupt and again)

    def resume(self, candidate: Candidate, revision: Revision) -> None:
        """The same at the start of a daemon: the file is in force already."""
        self.revision = revision
        self._hold(candidate)
        for name, app in candidate.desired.apps.items():
            if name not in self._records:
                self._put(AppRecord(name, app.spec, None))
        self._resolve()

    def _hold(self, candidate: Candidate) -> None:
        self._document, self._files = candidate.desired, candidate.files
        self.tested, self.build = candidate.tested, candidate.build
        self.fingerprint = candidate.fingerprint if candidate.desired.sites else ""

    def served(self, revision: Revision) -> None:
        """Every app of this revision was ready, and every site answered."""
        if self.revision is not None and self.revision.number == revision.number:
            self.revision = replace(self.revision, served=True)
            self._state.put_revision(self.revision)

    def clear(self, *, hurry: bool) -> None:
        """Nothing is wanted any more: every app is to be drained, stopped and forgotten."""
        self._state.put_setting(IN_FORCE, "")
        self._document, self.fingerprint, self.tested = Desired(hurry=hurry), "", None
        self.revision = None
        self._resolve()

    def in_force(self) -> Revision | None:
        """The file that an earlier daemon had in force."""
        number = self._state.setting(IN_FORCE)
        return next((r for r in self._state.revisions() if str(r.number) == number), None)

    def touched(self, candidate: Candidate) -> list[str]:
        """The apps of which a file changes the program or the number, or that come or go."""
        new, now = candidate.desired.apps, self.desired.apps
        return [
            name
            for name in sorted(new.keys() | now.keys())
            if name not in new
            or name not in now
            or new[name].spec.id != self._records[name].target.id
            or new[name].instances != now[name].instances
        ]

    def preview(self, candidate: Candidate) -> Desired:
        """What would be wanted if the file were put in force."""
        apps = {
            name: replace(self._resolved(app), spec=app.spec) if name in self._records else app
            for name, app in candidate.desired.apps.items()
        }
        return replace(candidate.desired, apps=apps)

    # What is asked of single sites and apps

    def paused(self) -> frozenset[str]:
        return frozenset(json.loads(self._state.setting(PAUSED) or "[]"))

    def set_paused(self, sites: frozenset[str]) -> None:
        self._state.put_setting(PAUSED, json.dumps(sorted(sites)))

    def render_again(self, candidate: Candidate) -> None:
        """The file in force, rendered anew."""
        self._hold(candidate)
        self._resolve()

    def ask_again(self, app: str, *, abrupt: bool) -> None:
        """Want new instances of the same program (`reload`, `restart`).

        What has a schedule runs once more, now.
        """
        if self._document.apps[app].app.schedule is not None:
            self.ask_run(app)
            return
        record = self._records[app]
        document = self._document.apps[app].spec
        asked = max(record.target.asked, document.asked) + 1
        target = replace(document, asked=asked, id=f"{document.id.split('+')[0]}+{asked}")
        self._put(replace(record, target=target, abrupt=abrupt, stopped=False))
        self.reverted.pop(app, None)
        self._resolve()

    def ask_to_replace(self, instances: frozenset[InstanceId]) -> None:
        """Want new ones of the same version in the place of these."""
        self._replace |= instances
        self._resolve()

    def heard_to_replace(self, instance: InstanceId) -> None:
        """It is marked, or gone: no more has to be said of it."""
        if instance in self._replace:
            self._replace -= {instance}
            self._resolve()

    def is_in_force(self, seen: NginxSeen) -> bool:
        """Whether nginx serves the files that are wanted, so that no switch brings another one."""
        return self.fingerprint != "" and seen.live == self.fingerprint

    def ask_run(self, app: str) -> None:
        """Want a run of an app with a schedule now; it is not stopped any more."""
        self._put(replace(self._records[app], stopped=False))
        self._runs.add(app)
        self._resolve()

    def take_runs(self) -> frozenset[str]:
        """The runs asked for since this was called last."""
        runs, self._runs = frozenset(self._runs), set()
        return runs

    def is_first_of(self, version: str) -> bool:
        """Whether another version of Portico ran here before this daemon; from now on it did."""
        before = self._state.setting(VERSION)
        if before != version:
            self._state.put_setting(VERSION, version)
        return before not in {None, version}

    def ask_upgrade(self, build: Build) -> None:
        """Want this build in place of the nginx that runs; it is tried once."""
        self.upgrade, self.upgrade_trouble = build, ""
        self._resolve()

    def upgraded(self, build: Build | None, trouble: str = "") -> None:
        if build is self.upgrade:
            self.upgrade, self.upgrade_trouble = None, trouble
            self._resolve()

    def set_stopped(self, app: str, *, stopped: bool) -> None:
        self._put(replace(self._records[app], stopped=stopped))
        self._resolve()

    def revert(self, app: str, why: str) -> None:
        record = self._records[app]
        if record.good is None:
            raise Failed(f"cannot revert {app}: no version of it was ever ready")
        self._put(replace(record, target=record.good, abrupt=False))
        self.reverted[app] = Reverted(app, why)
        self._resolve()

    def complete(self, app: str) -> None:
        record = self._records[app]
        self._put(replace(record, good=record.target, abrupt=False))
        self._resolve()

    def drop(self, app: str) -> None:
        self._state.drop_app(app)
        self._records.pop(app, None)
        self._resolve()

    # What others ask

    def spec(self, spec_id: str) -> Spec:
        return self._specs[spec_id]

    def spec_wanted(self, app: str) -> Spec:
        return self._records[app].target

    def target_id(self, app: str) -> str:
        return self._records[app].target.id

    def asked(self) -> dict[str, int]:
        return {name: record.target.asked for name, record in self._records.items()}

    def app_of(self, instance: Instance) -> App:
        """Its app as the file says now, or as it said when the instance was started."""
        wanted = self.desired.apps.get(instance.app)
        return wanted.app if wanted else self._specs[instance.spec].app

    def keep_specs(self, in_use: Iterable[str]) -> None:
        """Let go of the versions that no instance runs and no app wants any more."""
        wanted = {r.target.id for r in self._records.values()}
        wanted |= {r.good.id for r in self._records.values() if r.good}
        wanted |= set(in_use)
        self._specs = {name: spec for name, spec in self._specs.items() if name in wanted}

    def pinned_ports(self) -> frozenset[int]:
        return frozenset(
            app.app.port + slot
            for app in self.desired.apps.values()
            if app.app.port
            for slot in range(app.instances)
        )

    async def install_again(self) -> Tested:
        """The tested generation is not at hand: a daemon before this one switched to it."""
        self.tested = await self._nginx.install(self._files, self.fingerprint, self.build)
        return self.tested

    def _put(self, record: AppRecord) -> None:
        self._state.put_app(record)
        self._records[record.name] = record
        for spec in (record.target, record.good):
            if spec is not None:
                self._specs[spec.id] = spec

    def _resolve(self) -> None:
        apps = self._document.apps
        self.desired = replace(
            self._document,
            apps={name: self._resolved(app) for name, app in apps.items()},
            former={
                name: self._former(record)
                for name, record in self._records.items()
                if name not in apps
            },
            upgrade=self.upgrade is not None,
        )

    def _former(self, record: AppRecord) -> DesiredApp:
        """As it was wanted last; after a restart of the daemon, as far as that is on record."""
        known = self.desired.apps.get(record.name) or self.desired.former.get(record.name)
        return known or DesiredApp(record.name, record.target.app, 0, record.target)

    def _resolved(self, app: DesiredApp) -> DesiredApp:
        record = self._records[app.name]
        return replace(
            app,
            spec=record.target,
            good=record.good.id if record.good else None,
            stopped=record.stopped,
            abrupt=record.abrupt,
            replace=self._replace,
        )

"""What is wanted now: the files in force, and for each app the version that is.

An app's version follows its file, except while a rollout of it was given up: then the version
before stays wanted until the next `up` or `reload`.

Everything goes to disk first and counts from then on. Only what makes things smaller (`stop`,
`down`, fewer instances) counts where the disk is full, too: it is written as soon as it can be.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from portico.core.model.app import App
from portico.core.model.cluster import MemberList
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.generation import TestedGeneration
from portico.core.model.instance import Instance
from portico.core.model.names import PROJECT, InstanceId, qualified_name, split_name
from portico.core.model.place import Build
from portico.core.model.records import AppRecord, Revision
from portico.core.model.world import NginxSeen
from portico.core.planning.teardown import without_waiting
from portico.engine import settings
from portico.engine.app_versions import AppVersions
from portico.engine.inputs import Inputs, request_of
from portico.engine.pending_writes import PendingWrites
from portico.engine.prepare import NO_BUILD, Candidate
from portico.engine.requested_runs import RequestedRuns
from portico.ports.nginx import Nginx
from portico.ports.state import State

log = logging.getLogger(__name__)

SITES: Final = "the sites"
"""What a change holds, beside apps, that changes nginx's files: no app can have this name."""


class Intent:
    def __init__(self, state: State, nginx: Nginx) -> None:
        self._state, self._nginx = state, nginx
        self.versions = AppVersions(state)
        self._paused = settings.paused_sites(state)
        self._holds = settings.holds(state)
        self.drained_apps = settings.drained_apps(state)
        """The apps that this machine leaves to others, being drained; None if it is not."""
        self._edge = settings.edge(state)
        self.members = settings.members(state)
        """The machines of the cluster's store that are in force; None where it has none."""
        self.drained_machines = settings.drained_machines(state)
        """Those whose part of each `total` others run, as what is in force has it."""
        self.writes = PendingWrites(state)
        self._file = Candidate(Desired(), {}, "", NO_BUILD, ())
        """The files in force, rendered: every app of it in the version of its file."""
        self.desired = Desired()
        """The same, with every app in the version that is wanted."""
        self.revisions: Mapping[str, Revision] = {}
        """By project."""
        self._replace: frozenset[InstanceId] = frozenset()
        self.runs = RequestedRuns()
        self.upgrade: Build | None = None
        """The nginx that is to take the place of the one that runs."""
        self.upgrade_trouble = ""
        """Why the last one could not."""
        self._resolve()

    @property
    def fingerprint(self) -> str:
        """Of the nginx files that belong to what is wanted; empty when no site is."""
        return self._file.fingerprint

    @property
    def tested_generation(self) -> TestedGeneration | None:
        return self._file.tested

    @property
    def build(self) -> Build | None:
        """The nginx that the files in force were rendered for; None if it is unknown."""
        return self._file.build if self._file.build.program else None

    # What the files say; only `InForce` asks for these

    def inputs(
        self,
        revision: Revision | None = None,
        *,
        paused: frozenset[str] | None = None,
        holds: Mapping[str, float] | None = None,
    ) -> Inputs:
        """What is in force, with this revision in place of its project's, or these sites paused
        or held instead, as it is to be rendered.
        """
        revisions = {**self.revisions, revision.project: revision} if revision else self.revisions
        links = revision.links if revision else {}
        project = revision.project if revision else PROJECT
        return replace(
            self.inputs_of(revisions),
            paused=self._paused if paused is None else paused,
            holds=self._holds if holds is None else holds,
            links={qualified_name(project, name): each for name, each in links.items()},
            project=revision.project if revision else None,
        )

    def inputs_of(self, revisions: Mapping[str, Revision]) -> Inputs:
        """The same with these files in force, by project."""
        records = self.versions.records
        return Inputs(
            {project: request_of(each) for project, each in revisions.items()},
            self.versions.reload_counts,
            self._paused,
            targets={name: record.target for name, record in records.items()},
            unfinished=frozenset(n for n, record in records.items() if record.good is None),
            edge=self._edge,
            members=self.members,
            holds=self._holds,
            drained_machines=self.drained_machines,
            known={each: self._file.desired.of(each) for each in self.revisions},
        )

    def accept(self, candidate: Candidate, revision: Revision, *, smaller: bool) -> Revision:
        """Put a checked file in force. Returns its revision, with its number.

        Raises Failed where it cannot be written, and has changed nothing; if it makes things
        `smaller` it is in force all the same.
        """
        added: list[Revision] = []
        apps = candidate.desired.of(revision.project).apps.values()
        records = [self.versions.file_record(app) for app in apps]
        writes = self.versions.writes(records)
        adding = partial(settings.add_revision, self._state, revision, added)
        writes[f"project {revision.project}"] = adding
        if candidate.edge != self._edge:
            edge = candidate.edge.model_dump() if candidate.edge else None
            writes |= settings.writes(self._state, {settings.EDGE: edge})
        written = self.writes.store(writes, must=not smaller)
        accepted = added[-1] if written else settings.with_next_number(self._state, revision)
        self.versions.remember(records)
        self.revisions = {**self.revisions, accepted.project: accepted}
        self._edge = candidate.edge
        self.render_again(candidate)
        return accepted

    def remove(self, project: str, candidate: Candidate) -> None:
        """Nothing of a project is wanted any more; the candidate is of all others."""
        left = {key: each for key, each in self.revisions.items() if key != project}
        numbers = {key: each.number for key, each in left.items()}
        self.writes.store(settings.writes(self._state, {settings.IN_FORCE: numbers}), must=False)
        self.revisions = left
        self.render_again(candidate)

    def resume(self, candidate: Candidate, revisions: Mapping[str, Revision]) -> None:
        """The same at the start of a daemon: the files are in force already."""
        known, apps = self.versions.records, candidate.desired.apps.items()
        new = [AppRecord(name, app.spec, None) for name, app in apps if name not in known]
        self.writes.store(self.versions.writes(new), must=False)
        self.versions.remember(new)
        self.revisions = revisions
        self.render_again(candidate)

    def render_again(self, candidate: Candidate) -> None:
        """Replace the files in force by the same ones, rendered again."""
        self._file = candidate
        self._resolve()

    def set_paused(
        self, sites: frozenset[str], candidate: Candidate, holds: Mapping[str, float] = {}
    ) -> None:
        values = {settings.PAUSED_SITES: sorted(sites), settings.HELD_SITES: dict(holds)}
        self.writes.store(settings.writes(self._state, values))
        self._paused, self._holds = sites, dict(holds)
        self.render_again(candidate)

    def set_members(
        self, members: MemberList, drained: frozenset[str], candidate: Candidate | None
    ) -> None:
        """The candidate is of the files in force with these machines, of which these are drained;
        None if there are none.
        """
        text = settings.members_text(members)
        writes = settings.writes(self._state, {settings.DRAINED_MACHINES: sorted(drained)})
        writes[settings.MEMBERS] = partial(self._state.put_setting, settings.MEMBERS, text)
        self.writes.store(writes)
        self.members, self.drained_machines = members, drained
        if candidate:
            self.render_again(candidate)

    def set_drained_machines(self, machines: frozenset[str], candidate: Candidate | None) -> None:
        """The candidate is of the files in force with these; None if there are none."""
        values = {settings.DRAINED_MACHINES: sorted(machines)}
        self.writes.store(settings.writes(self._state, values), must=False)
        self.drained_machines = machines
        if candidate:
            self.render_again(candidate)

    def leave_to_others(self, apps: frozenset[str] | None) -> None:
        """The machine is drained, and these run on others; None: it is drained no more."""
        if apps != self.drained_apps:
            names = None if apps is None else sorted(apps)
            writes = settings.writes(self._state, {settings.DRAINED_APPS: names})
            self.writes.store(writes, must=apps is None)
            self.drained_apps = apps
            self._resolve()

    def clear(self, *, at_once: bool) -> None:
        """Nothing is wanted any more: every app is to be drained, stopped and forgotten."""
        nothing: dict[str, object] = {settings.IN_FORCE: {}, settings.DRAINED_APPS: None}
        self.writes.store(settings.writes(self._state, nothing), must=False)
        self.drained_apps = None
        self._file = Candidate(Desired(at_once=at_once), {}, "", self._file.build, ())
        self.revisions = {}
        self._resolve()

    def stop_waiting(self, project: str) -> None:
        """What is removed of a project does not wait for its open requests any more."""
        self.desired = without_waiting(self.desired, project)

    def mark_served(self, revision: Revision) -> None:
        """Every app of this revision was ready, and every site answered."""
        served = replace(revision, served=True)
        write = partial(self._state.put_revision, served)
        self.writes.store({f"revision {revision.number}": write}, must=False)
        now = self.revisions.get(revision.project)
        if now is not None and now.number == revision.number:
            self.revisions = {**self.revisions, revision.project: served}

    # What is known of them

    def on_disk(self) -> Mapping[str, Revision]:
        """The files that an earlier daemon had in force, by project."""
        return settings.revisions(self._state)

    def preview(self, candidate: Candidate) -> Desired:
        """What would be wanted if the file were put in force."""
        apps, known = dict[str, DesiredApp](), self.versions.records
        for name, app in candidate.desired.apps.items():
            as_now = self._resolved_app(app) if name in known else app
            is_new = candidate.project in {None, split_name(name)[0]}
            apps[name] = replace(as_now, spec=app.spec) if is_new else as_now
        return replace(candidate.desired, apps=apps)

    def paused_sites(self) -> frozenset[str]:
        return self._paused

    def holds(self) -> Mapping[str, float]:
        """The sites whose requests are held, and each for how many seconds."""
        return self._holds

    def is_in_force(self, seen: NginxSeen) -> bool:
        """Whether nginx serves the files that are wanted, so that no switch brings another one."""
        return self.fingerprint != "" and seen.live == self.fingerprint

    async def install_again(self) -> TestedGeneration:
        """The tested generation is not at hand: a daemon before this one switched to it."""
        file = self._file
        tested = await self._nginx.install(file.files, file.fingerprint, file.build)
        if self._file is file:
            self._file = replace(file, tested=tested)
        return tested

    # What is asked of single apps

    def new_version(
        self,
        apps: Iterable[str],
        *,
        abrupt: bool,
        links: Mapping[str, Mapping[str, str]] = {},
        revisions: Iterable[Revision] = (),
    ) -> list[Revision]:
        """Want new instances of the same program (`reload`, `restart`), where their `links` lead.

        What has a schedule runs once more, now. If they lead elsewhere, there are `revisions` too.
        """
        known, added = [self._file.desired.apps[name] for name in apps], list[Revision]()
        records = [
            self.versions.reload_record(app, links.get(app.name), abrupt=abrupt) for app in known
        ]
        adding = {
            f"project {each.project}": partial(settings.add_revision, self._state, each, added)
            for each in revisions
        }
        self.writes.store({**adding, **self.versions.writes(records)})
        self.versions.remember(records)
        self.revisions = {**self.revisions, **{each.project: each for each in added}}
        self.runs.request(app.name for app in known if app.app.schedule)
        self._resolve()
        return added

    def set_stopped(self, apps: Iterable[str], *, stopped: bool) -> None:
        records = self.versions.records
        self._put([replace(records[app], stopped=stopped) for app in apps], must=not stopped)

    def request_replacement(self, instances: frozenset[InstanceId]) -> None:
        """Want new ones of the same version in the place of these."""
        self._replace |= instances
        self._resolve()

    def acknowledge_replacement(self, instance: InstanceId) -> None:
        """The instance is marked, or gone: the request is done."""
        if instance in self._replace:
            self._replace -= {instance}
            self._resolve()

    def request_upgrade(self, build: Build) -> None:
        """Want this build in place of the nginx that runs; it is tried once."""
        self.upgrade, self.upgrade_trouble = build, ""
        self._resolve()

    def finish_upgrade(self, build: Build | None, trouble: str = "") -> None:
        if build is self.upgrade:
            self.upgrade, self.upgrade_trouble = None, trouble
            self._resolve()

    def is_first_of(self, version: str) -> bool:
        """Whether another version of Portico ran here before this daemon; from now on it did."""
        before = self._state.setting(settings.VERSION)
        if before != version:
            write = partial(self._state.put_setting, settings.VERSION, version)
            self.writes.store({settings.VERSION: write}, must=False)
        return before not in {None, version}

    # What has become of an app

    def revert(self, app: str, why: str) -> None:
        self._put([self.versions.rollback_record(app, why)], must=False)

    @property
    def revert_reasons(self) -> Mapping[str, str]:
        """Why, of each app whose rollout was given up."""
        records = ((name, self.versions.records[name]) for name in self._file.desired.apps)
        return {name: record.reverted for name, record in records if record.reverted}

    def complete(self, app: str) -> None:
        record = self.versions.records[app]
        self._put([replace(record, good=record.target, abrupt=False)], must=False)

    def drop(self, app: str) -> None:
        self.writes.store({f"app {app}": partial(self._state.drop_app, app)}, must=False)
        self.versions.forget(app)
        self._resolve()

    # What others ask

    def spec_in_file(self, app: str) -> Spec:
        """The version of an app in its file, which may not be the one that is wanted."""
        return self._file.desired.apps[app].spec

    def app_of(self, instance: Instance) -> App:
        """Its app as it is wanted now, or as it was when the instance was started."""
        wanted = self.desired.apps.get(instance.app)
        return wanted.app if wanted else self.versions.spec(instance.spec).app

    def is_reached(self, app: str) -> bool:
        """Whether a site sends requests to it."""
        wanted = self.desired.apps.get(app)
        return wanted is None or wanted.reached

    # Disk first

    def _put(self, records: Iterable[AppRecord], *, must: bool = True) -> None:
        known = list(records)
        self.writes.store(self.versions.writes(known), must=must)
        self.versions.remember(known)
        self._resolve()

    def _resolve(self) -> None:
        apps = self._file.desired.apps
        self.desired = replace(
            self._file.desired,
            apps={name: self._resolved_app(app) for name, app in apps.items()},
            removed_apps={
                name: self._removed_app(record)
                for name, record in self.versions.records.items()
                if name not in apps
            },
            upgrade=self.upgrade is not None,
            drained=self.drained_apps is not None,
        )

    def _removed_app(self, record: AppRecord) -> DesiredApp:
        """As it was wanted last; after a restart of the daemon, as far as that is on record."""
        known = self.desired.apps.get(record.name) or self.desired.removed_apps.get(record.name)
        return known or DesiredApp(record.name, 0, record.target)

    def _resolved_app(self, app: DesiredApp) -> DesiredApp:
        resolved = self.versions.resolve(app, self._replace)
        if self.drained_apps and app.name in self.drained_apps:
            return replace(resolved, stopped=True, is_left=not resolved.stopped)
        return resolved

"""What an operator can ask of a cluster with a store: a change is made on all its machines.

Stands before `Operations`, which has all that concerns one machine alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from msgspec.structs import replace

from portico.core.config.placement import vacated_machines
from portico.core.model.event import Requester
from portico.core.model.names import is_instance_name, split_name
from portico.core.model.requests import DocumentRequest, DownRequest
from portico.core.model.shared import encode, progress_key
from portico.core.model.shared_change import NamedTarget, Progress, SharedChange
from portico.core.model.snapshot import ABSENT, Compare, Delete, Put, Write
from portico.core.model.views import ChangeView, StatusView
from portico.engine.changes import Change
from portico.engine.cluster.change_report import ChangeReport, StoreWait
from portico.engine.cluster.change_state import ChangeState
from portico.engine.cluster.releases import Releases
from portico.engine.cluster.shared_changes import SharedChanges
from portico.engine.cluster.shared_files import SharedFiles
from portico.engine.cluster.store_follower import Position
from portico.engine.control.assembly import Control
from portico.engine.control.up import FileChange
from portico.engine.engine import Engine
from portico.engine.in_force import with_links, within_deadline
from portico.engine.projects import Projects, name_of
from portico.errors import Failed, Refused
from portico.ports.store import StoreUnavailable

log = logging.getLogger(__name__)


class ClusterOperations:
    def __init__(
        self, engine: Engine, control: Control, change_state: ChangeState, files: SharedFiles
    ) -> None:
        self._intent, self._clock = engine.intent, engine.clock
        self._operations, self._changes = control.operations, engine.changes
        self._preparation = control.preparation
        self._change_state = change_state
        self._shared, self._follower = change_state.shared, change_state.shared.follower
        self._shared_changes = SharedChanges(change_state, engine.clock)
        self._projects = Projects(engine.intent)
        self._releases = Releases(engine, control, self._projects, change_state, files)

    def __getattr__(self, name: str) -> object:
        """What concerns this machine alone."""
        return getattr(self._operations, name)

    # Files

    async def up(
        self, request: DocumentRequest, who: Requester, without_absent: str | None = None
    ) -> ChangeView:
        return await self._share(self._operations.file_of(request, who), who, without_absent)

    async def scale(
        self,
        app: str,
        instances: int | str,
        who: Requester,
        folder: str | None = None,
        without_absent: str | None = None,
    ) -> ChangeView:
        file = self._operations.scale_change(app, instances, who, folder)
        return await self._share(file, who, without_absent)

    async def delete(
        self,
        app: str,
        who: Requester,
        folder: str | None = None,
        without_absent: str | None = None,
    ) -> ChangeView:
        file = self._operations.delete_change(app, who, folder)
        return await self._share(file, who, without_absent)

    async def rollback(
        self,
        revision: int | None,
        who: Requester,
        project: str | None = None,
        folder: str | None = None,
        without_absent: str | None = None,
    ) -> ChangeView:
        file = self._operations.rolled_back(revision, who, project, folder)
        return await self._share(file, who, without_absent)

    async def take_shared(self, who: Requester) -> ChangeView:
        """Put in force on this machine what is in force in the cluster."""
        await self._shared_changes.wait_for_first_answer()
        self._follower.assert_current()
        if not any(self._change_state.state().heads.values()):
            raise Refused(
                "no file is in force in the cluster; run `portico up` in the folder of a program"
            )
        self._change_state.follow()
        self._shared.is_waited_for = True
        key = progress_key(self._shared.machine)
        taking = encode(Progress(change="", state="done"))
        await self._shared.transaction([Compare(key, ABSENT)], [Put(key, taking)])

        async def work(change: Change) -> None:
            store_wait = StoreWait(self._change_state, self._clock, change.say)
            while left := self._change_state.to_take():
                if failures := self._change_state.unusable.values():
                    raise Failed("\n".join(failures))
                change.say(f"waiting for {', '.join(left)}")
                await store_wait.pause(self._change_state.moved)

        log.info("%s takes what is in force in the cluster", who)
        return self._changes.begin("up", "the cluster's files", None, work)

    async def _share(
        self,
        file: FileChange,
        who: Requester,
        without_absent: str | None,
        target: NamedTarget | None = None,
    ) -> ChangeView:
        """Check it here, and let it go over the machines, with what else a reload is of."""
        await self._shared_changes.wait_for_first_answer()
        change = self._shared_changes.draft(file.kind, file.subject, who, without_absent)
        revision = file.edit()
        self._assert_edits_file_in_force(file, name_of(revision))
        candidate = await within_deadline(self._preparation.check(self._intent.inputs(revision)))
        project = name_of(revision)
        number = self._change_state.next_revision(project)
        writes = await self._releases.writes(number, with_links(revision, candidate))
        apps = _full_names(project, candidate.desired.of(revision.project).apps)
        last = vacated_machines(self._intent.desired, candidate.desired)
        change = replace(
            change,
            subject=file.subject or revision.source,
            project=project,
            revision=number,
            target=target or NamedTarget(apps=apps),
            order=tuple(sorted(change.order, key=last.__contains__)),
        )
        return await self._begin(change, writes)

    def _assert_edits_file_in_force(self, file: FileChange, project: str) -> None:
        """Raises Refused where it is made of the file of this machine, and the cluster has another
        one in force.
        """
        if file.kind != "up" and project in self._change_state.to_take():
            raise Refused(
                f"cannot {file.kind}: this machine does not have the file of {project} that is in "
                "force in the cluster; nothing was changed. Run it on another machine, or first "
                "`portico up` without a file here"
            )

    # What is in force

    async def start(
        self,
        app: str | None,
        who: Requester,
        folder: str | None = None,
        without_absent: str | None = None,
        here: str | None = None,
    ) -> ChangeView:
        if here:
            self._shared_changes.assert_none_under_way(f"start {app or 'all apps'} here")
            return await self._operations.start(app, who, folder)
        return await self._share_for_apps("start", app, who, folder, without_absent)

    async def stop(
        self,
        app: str | None,
        who: Requester,
        folder: str | None = None,
        without_absent: str | None = None,
        here: str | None = None,
    ) -> ChangeView:
        if here:
            self._shared_changes.assert_none_under_way(f"stop {app or 'all apps'} here")
            return await self._operations.stop(app, who, folder)
        return await self._share_for_apps("stop", app, who, folder, without_absent)

    async def restart(
        self,
        app: str | None,
        who: Requester,
        folder: str | None = None,
        without_absent: str | None = None,
        here: str | None = None,
    ) -> ChangeView:
        if here:
            self._shared_changes.assert_none_under_way(f"restart {app or 'all apps'} here")
        if here or is_instance_name(app):  # an instance of this machine
            return await self._operations.restart(app, who, folder)
        return await self._share_for_apps("restart", app, who, folder, without_absent)

    async def reload(
        self,
        app: str | None,
        who: Requester,
        folder: str | None = None,
        without_absent: str | None = None,
        here: str | None = None,
    ) -> ChangeView:
        if here:
            self._shared_changes.assert_none_under_way(f"reload {app or 'all apps'} here")
        if here or is_instance_name(app):
            return await self._operations.reload(app, who, folder)
        return await self._share_for_apps("reload", app, who, folder, without_absent)

    async def pause(
        self,
        site: str | None,
        who: Requester,
        hold: float = 0.0,
        folder: str | None = None,
        without_absent: str | None = None,
    ) -> ChangeView:
        sites = self._sites(site, folder)
        target = NamedTarget(site=self._site(site, folder), sites=sites, hold=hold)
        return await self._share_named("pause", target.site, target, who, without_absent)

    async def resume(
        self,
        site: str | None,
        who: Requester,
        folder: str | None = None,
        without_absent: str | None = None,
    ) -> ChangeView:
        target = NamedTarget(site=self._site(site, folder), sites=self._sites(site, folder))
        return await self._share_named("resume", target.site, target, who, without_absent)

    async def down(
        self,
        who: Requester,
        request: DownRequest,
        project: str | None = None,
        folder: str | None = None,
        without_absent: str | None = None,
    ) -> ChangeView:
        """A project, on all machines; or everything, on this one alone, which does not keep to
        what is in force any more.
        """
        if request.everything:
            await self._withdraw()
            name = None
        else:
            name = self._shared_project(project, folder, request.file)
        if name is None:
            return await self._end_here(who, request, project, folder)
        target = NamedTarget(projects=(name,), now=request.now)
        return await self._share_named("down", name, target, who, without_absent, project=name)

    async def _end_here(
        self, who: Requester, request: DownRequest, project: str | None, folder: str | None
    ) -> ChangeView:
        """What is in force on this machine alone, or no more: in the middle of a `down` of all
        machines a second one follows it, and waits here for nothing any more.
        """
        its = None if request.everything else self._shared_changes.down_under_way()
        names = self._projects.names(folder)
        if its and (names.here if project is None else project in names.projects.values()):
            self._shared_changes.assert_none_under_way("down")  # which the last end cancels
        if its and project not in {None, its.subject}:
            its = None
        is_leaving = any(each.kind == "down" and each.apps for each in self._changes.under_way())
        if its and not is_leaving:
            return self._follow(its, self._follower.position)
        view = await self._operations.down(who, request, project, folder)
        return self._follow(its, self._follower.position) if its else view

    async def drain(self, who: Requester, machine: str | None = None) -> ChangeView:
        return await self._share_for_machine("drain", who, machine)

    async def undrain(self, who: Requester, machine: str | None = None) -> ChangeView:
        return await self._share_for_machine("undrain", who, machine)

    async def _share_for_machine(
        self, verb: str, who: Requester, machine: str | None
    ) -> ChangeView:
        if machine in {None, self._shared.machine}:
            begin = self._operations.drain if verb == "drain" else self._operations.undrain
            return await begin(who)
        await self._shared_changes.wait_for_first_answer()
        self._follower.assert_current()
        self._follower.machine_record(machine)  # NotFound
        change = self._shared_changes.draft(verb, machine, who, only=machine)
        return await self._begin(replace(change, target=NamedTarget()), [])

    async def _withdraw(self) -> None:
        self._change_state.withdraw()
        self._shared.is_waited_for = False
        with suppress(StoreUnavailable):  # then it counts as absent until it is removed
            await self._shared.transaction([], [Delete(progress_key(self._shared.machine))])

    def _shared_project(self, project: str | None, folder: str | None, file: str) -> str | None:
        """The one that is to be ended, where all machines share it."""
        names = self._projects.names(folder)
        if not names.projects or (project is None and file and not names.here):
            return None  # which is refused
        if project and project not in names.projects.values():
            return None  # as above, or it has ended here
        name = names.projects[names.project(project)]
        return name if self._change_state.state().heads.get(name) else None

    async def _share_for_apps(
        self,
        verb: str,
        text: str | None,
        who: Requester,
        folder: str | None,
        without_absent: str | None,
    ) -> ChangeView:
        names = self._projects.names(folder)
        apps = names.apps_of(text)
        keys = dict.fromkeys(split_name(app)[0] for app in apps)
        if not apps:
            raise Refused("nothing is running; start with `portico up`")
        if 1 < len(keys) < len(names.projects):
            raise Refused(
                f"several projects are meant; name one: {', '.join(names.projects.values())}"
            )
        is_app = len(apps) == 1 and text is not None
        target = NamedTarget(
            projects=tuple(names.projects[key] for key in keys),
            app=split_name(apps[0])[1] if is_app else "",
            apps=tuple(map(names.full_name, apps)),
        )
        subject = apps[0] if is_app else text or "all apps"
        await self._shared_changes.wait_for_first_answer()
        file = await self._releases.file(verb, apps, who)
        if file and self._change_state.state().heads.get(name_of(file)):
            others = self._releases.others(file, apps)
            target = replace(target, apps=tuple(map(names.full_name, others)))
            change = FileChange(lambda: file, verb, subject)
            return await self._share(change, who, without_absent, target)
        return await self._share_named(verb, subject, target, who, without_absent)

    def _site(self, text: str | None, folder: str | None) -> str:
        """A site, or a project, by its name."""
        names = self._projects.names(folder)
        return text if text is not None else names.projects[names.project(None)]

    def _sites(self, text: str | None, folder: str | None) -> tuple[str, ...]:
        return tuple(sorted(self._operations.sites(text, folder)))

    async def _share_named(
        self,
        verb: str,
        subject: str,
        target: NamedTarget,
        who: Requester,
        without_absent: str | None,
        *,
        project: str = "",
    ) -> ChangeView:
        await self._shared_changes.wait_for_first_answer()
        change = self._shared_changes.draft(verb, subject, who, without_absent)
        return await self._begin(replace(change, target=target, project=project), [])

    async def _begin(self, shared: SharedChange, writes: Sequence[Write]) -> ChangeView:
        """Returns at once what shows how far all machines are."""
        return self._follow(shared, await self._shared_changes.begin(shared, writes))

    def _follow(self, shared: SharedChange, begun: Position) -> ChangeView:
        async def work(change: Change) -> None:
            wait = StoreWait(self._change_state, self._clock, change.say).pause
            while self._follower.position < begun:
                await wait(self._change_state.moved)
            await ChangeReport(self._change_state, shared.id, change.say).follow(wait)

        return self._changes.begin(shared.verb, shared.subject, None, work)

    # What is seen

    async def status(self, app: str | None = None, folder: str | None = None) -> StatusView:
        """With what was switched on this machine alone."""
        view = await self._operations.status(app, folder)
        return view.model_copy(update={"notes": (*view.notes, *self._switch_notes())})

    def _switch_notes(self) -> Iterator[str]:
        switched, names = self._change_state.switches.stopped, self._projects.names()
        records = self._intent.versions.records
        for name, app in self._intent.desired.apps.items():
            shared = switched.get(names.full_name(name), not app.app.autostart)
            if name in records and records[name].stopped is not shared:
                yield (
                    f"{name} is {'started' if shared else 'stopped'} on this machine alone; "
                    f"`portico {'stop' if shared else 'start'} {name} --here` ends that"
                )


def _full_names(project: str, apps: Iterable[str]) -> tuple[str, ...]:
    """As in `NamedTarget.apps`."""
    return tuple(f"{project}/{split_name(name)[1]}" for name in apps)

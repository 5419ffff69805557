"""The end of a project or of everything: drained, stopped and forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from portico.core.model.event import Requester
from portico.core.model.records import Revision
from portico.core.model.requests import DownRequest
from portico.core.model.views import ChangeView
from portico.core.planning.file_effects import moved_ports
from portico.engine.changes import EVERY_APP, Change
from portico.engine.control.convergence import Convergence
from portico.engine.control.kept_ports import assert_ports_kept
from portico.engine.control.members import BeforeEnd, DrainOperations
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.intent import SITES
from portico.engine.prepare import Candidate
from portico.engine.projects import Projects, keys_at, name_of
from portico.errors import Refused


@dataclass(frozen=True, slots=True)
class ProjectName:
    """Which project is meant: the one of this name, of the file, or of the folder."""

    project: str | None
    folder: str | None
    file: str


class Down:
    def __init__(self, engine: Engine, in_force: InForce, convergence: Convergence) -> None:
        self._intent, self._loop, self._events = engine.intent, engine.loop, engine.events
        self._projects, self._changes = Projects(engine.intent), engine.changes
        self._in_force, self._convergence = in_force, convergence
        self._ending: dict[str, Revision] = {}
        """By change: the project that it ends."""

    async def begin(
        self,
        who: Requester,
        named: ProjectName,
        request: DownRequest,
        drain: DrainOperations | None = None,
    ) -> ChangeView:
        """A second call, while it is under way, waits for nothing any more. `drain` is of this
        machine, in a cluster.
        """
        if going := self._under_way(named):
            going.say("second request: no longer waiting for open requests")
            self._stop_waiting(going)
            return going.view()
        in_force = self._intent.revisions
        if (in_force or named.project is not None) and not request.everything:
            key = self._key(named)
            if in_force.keys() != {key}:
                return await self._end_project(key, who, now=request.now)
        self._events.note_request("down", EVERY_APP, who)
        self._changes.cancel_all("everything is being stopped")
        before = None
        if drain and not request.now:
            before = drain.before_end(everything=request.everything)
        return self._end_everything(before, now=request.now)

    def _key(self, named: ProjectName) -> str:
        names = self._projects.names(named.folder)
        if named.project is None and named.file and not names.here:
            known = ", ".join(names.projects.values())
            raise Refused(
                f"{named.file} is not in force; to end another project, name it: {known}"
            )
        return names.project(named.project)

    def _end_everything(self, before: BeforeEnd | None, *, now: bool) -> ChangeView:
        desired = self._intent.desired
        ending = [each.app for each in (*desired.apps.values(), *desired.removed_apps.values())]
        times = (app.drain_timeout + app.stop_timeout for app in ending)
        longest = max([desired.edge.shutdown_timeout, *times])
        apps = len(desired.apps)
        if before is None:
            self._in_force.clear(at_once=now)

        async def end(change: Change) -> None:
            if before:
                try:
                    await before(change)
                finally:  # also where the daemon exits meanwhile: its successor ends the rest
                    if self._intent.revisions:  # no second call has ended the wait
                        self._in_force.clear(at_once=False)
            await self._convergence.end(change, longest)

        subject = "1 app" if apps == 1 else f"{apps} apps"
        return self._changes.begin("down", subject, [EVERY_APP], end)

    def _under_way(self, named: ProjectName) -> Change | None:
        """What ends everything; or the project that is meant, if it is not in force again."""
        names = self._projects.names(named.folder)
        for change in self._changes.under_way():
            if change.kind == "down" and EVERY_APP in change.apps:
                return change
            is_own = change.id in self._ending  # and not of all machines of a cluster
            if change.kind == "down" and is_own and change.subject not in names.projects.values():
                was = self._ending[change.id]
                is_here = not names.here and keys_at(named.folder, {was.project: was})
                if named.project == change.subject or (named.project is None and is_here):
                    return change
        return None

    def _stop_waiting(self, going: Change) -> None:
        if EVERY_APP in going.apps:
            self._in_force.clear(at_once=True)
        else:
            self._intent.stop_waiting(self._ending[going.id].project)
            self._loop.wake()

    async def _end_project(self, project: str, who: Requester, *, now: bool) -> ChangeView:
        revision, before = self._intent.revisions[project], self._intent.desired
        apps, name = before.of(project).apps, name_of(revision)
        self._changes.hold([*apps, SITES])

        def allow(candidate: Candidate) -> None:
            self._changes.hold([*apps, SITES])  # others had their turn while it was rendered
            assert_ports_kept(before, candidate.desired, f"end {name}", project)

        candidate = await self._in_force.remove(project, allow)
        if now:
            self._intent.stop_waiting(project)
        self._events.note_request("down", name, who)

        async def work(change: Change) -> None:
            if moved := moved_ports(before, candidate.desired):
                change.say(f"nginx moves {moved}: [edge] of {name} is no longer in force")
            await self._convergence.apps(change, apps)

        view = self._changes.begin("down", name, [*apps, SITES], work)
        known = {change.id for change in self._changes.under_way()}
        self._ending = {id_: each for id_, each in self._ending.items() if id_ in known}
        self._ending[view.id] = revision
        return view

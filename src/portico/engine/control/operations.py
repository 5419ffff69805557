"""What an operator can ask for: a method for every row of `core/model/verbs.py`.

Each raises a PorticoError for what an operator can act on. Those that return a ChangeView have
accepted the work and go on with it; follow it by its id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from portico.core.model.app import MAX_INSTANCES
from portico.core.model.desired import DesiredApp
from portico.core.model.event import Requester
from portico.core.model.instance import LEAVING_STATES
from portico.core.model.names import InstanceId, is_instance_name
from portico.core.model.records import Revision
from portico.core.model.requests import DocumentRequest, DownRequest
from portico.core.model.views import (
    ChangeView,
    DashboardView,
    PurgeView,
    TrustView,
    VersionView,
)
from portico.core.planning.runs import runs_before
from portico.engine.certificates.assembly import CertificateParts
from portico.engine.changes import EVERY_APP, Change
from portico.engine.control.cache_purge import CachePurge
from portico.engine.control.control_ports import ControlPorts
from portico.engine.control.convergence import Convergence
from portico.engine.control.down import Down, ProjectName
from portico.engine.control.members import MemberOperations
from portico.engine.control.nginx_programs import NginxPrograms
from portico.engine.control.read_operations import ReadOperations
from portico.engine.control.revisions import Revisions
from portico.engine.control.status import StatusReport
from portico.engine.control.up import FileChange, Up
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.inputs import request_of
from portico.engine.intent import SITES
from portico.engine.projects import name_of
from portico.errors import ConfigError, Failed, NotFound, Refused


class Operations(ReadOperations, MemberOperations):
    def __init__(
        self,
        engine: Engine,
        certificates: CertificateParts,
        in_force: InForce,
        report: StatusReport,
        convergence: Convergence,
        ports: ControlPorts,
    ) -> None:
        nginx = ports.programs.nginx
        nginx_programs = NginxPrograms(engine, in_force, convergence, nginx)
        super().__init__(engine, certificates, in_force, report, nginx_programs, ports)
        self._loop = engine.loop
        self._local, self._convergence = certificates.local, convergence
        self._cache_purge, self._dashboard = CachePurge(engine, nginx), ports.dashboard
        self._up = Up(engine, certificates.loop, in_force, convergence, report.exposure)
        self._down = Down(engine, in_force, convergence)
        self._revisions = Revisions(engine, self._projects)

    # Changing what is wanted

    async def trust(self, *, remove: bool) -> TrustView:
        trust = await (self._local.untrust() if remove else self._local.trust())
        return TrustView(root=trust.root, installed=trust.done, skipped=trust.skipped)

    async def open_dashboard(self, who: Requester) -> DashboardView:
        return DashboardView(url=await self._dashboard.link(who))

    def close_dashboard(self) -> VersionView:
        self._dashboard.close()
        return self.version()

    async def up(self, request: DocumentRequest, who: Requester) -> ChangeView:
        """Check the whole document, then apply it. ConfigError or Refused changes nothing."""
        return await self.put_in_force(self.file_of(request, who), who)

    def file_of(self, request: DocumentRequest, who: Requester) -> FileChange:
        return FileChange(lambda: self._revision(request, str(who)), holds=[SITES])

    async def put_in_force(self, file: FileChange, who: Requester) -> ChangeView:
        return await self._up.begin(file, who)

    async def down(
        self,
        who: Requester,
        request: DownRequest,
        project: str | None = None,
        folder: str | None = None,
    ) -> ChangeView:
        """End a project, or everything."""
        named = ProjectName(project, folder, request.file)
        return await self._down.begin(who, named, request, self.machine_drain)

    async def take_shared(self, who: Requester) -> ChangeView:
        raise Refused(f"cannot take a file for {who}: this machine is in no cluster with a store")

    async def use_nginx(self, program: str, who: Requester) -> ChangeView:
        return await self._nginx_programs.use(program, who)

    async def inherit(self, pid: int | None, who: Requester) -> VersionView:
        await self._nginx_programs.inherit(pid, who)
        return self.version()

    async def upgrade(self, who: Requester) -> ChangeView:
        return await self._nginx_programs.upgrade(who)

    async def start(
        self, app: str | None, who: Requester, folder: str | None = None
    ) -> ChangeView:
        """Start one app, or those of a project, or all (None)."""
        names = self._free_apps(app, folder)
        self._intent.set_stopped(names, stopped=False)
        return self._begin("start", _subject(app, names), names, who)

    async def stop(self, app: str | None, who: Requester, folder: str | None = None) -> ChangeView:
        names = self._free_apps(app, folder)
        self._intent.set_stopped(names, stopped=True)
        return self._begin("stop", _subject(app, names), names, who)

    async def restart(
        self, app: str | None, who: Requester, folder: str | None = None
    ) -> ChangeView:
        if is_instance_name(app):
            return self._replace_instance("restart", app, folder, who)
        return await self._begin_rollout("restart", app, lambda: self._free_apps(app, folder), who)

    async def reload(
        self, app: str | None, who: Requester, folder: str | None = None
    ) -> ChangeView:
        if is_instance_name(app):
            return self._replace_instance("reload", app, folder, who)
        return await self._begin_rollout("reload", app, lambda: self._free_apps(app, folder), who)

    async def reload_watched(self, app: str, who: Requester) -> ChangeView:
        """Of an app by its name among those of all projects. NotFound where it was removed."""

        def meant() -> list[str]:
            if app not in self._intent.desired.apps:
                raise NotFound(f"there is no app {app!r}")
            return self._assert_free([app])

        return await self._begin_rollout("reload", app, meant, who)

    async def _begin_rollout(
        self, kind: str, app: str | None, meant: Callable[[], list[str]], who: Requester
    ) -> ChangeView:
        notes = list[str]()
        links = {
            name: await self._links_of(kind, name, notes)
            for name in self._apps_to_replace(kind, meant())
        }
        named = meant()
        names = [
            n for n in self._apps_to_replace(kind, named) if n in links
        ]  # others had their turn
        added = self._intent.new_version(
            names,
            abrupt=kind == "restart",
            links=links,
            revisions=self._revisions.relink(links, f"{who}, {kind} {app or 'all apps'}"),
        )

        async def work(change: Change) -> None:
            for note in notes:
                change.say(note)
            await self._convergence.apps(change, names)
            for revision in added:
                self._intent.mark_served(revision)

        return self._begin_work(kind, _subject(app, named), names, who, work)

    def _apps_to_replace(self, kind: str, meant: list[str]) -> list[str]:
        """The apps meant, free for a change, and before a rollout what has to run once."""
        if kind != "reload":
            return meant
        apps = self._intent.desired.apps
        before = runs_before(apps, meant).difference(meant)
        return self._assert_free(meant + sorted(name for name in before if not apps[name].stopped))

    async def _links_of(self, kind: str, app: str, notes: list[str]) -> Mapping[str, str]:
        """Where there is no link any more, a restart starts the release that runs again, and
        `notes` has that; only a deploy needs to know what the next one is.
        """
        try:
            return await self._preparation.links_of(self._intent.spec_in_file(app))
        except Failed as error:
            runs = self._intent.desired.apps[app].spec
            if kind == "restart" and await self._preparation.is_release(runs):
                notes.append(f"{app}: {error}; it starts in {runs.working_folder}, as before")
                return runs.links
            raise Refused(f"cannot {kind} {app}: {error}; nothing was changed") from error

    def _replace_instance(
        self, kind: str, text: str, folder: str | None, who: Requester
    ) -> ChangeView:
        """A single instance, by its id or its slot: the others have nothing to do with it."""
        app, place = self._projects.names(folder).instance(text)
        self._changes.hold([app])
        name = app + place
        found = frozenset(
            i.id
            for i in self._observed.instances.values()
            if name in {i.id, f"{i.app}.{i.slot}"} and i.state not in LEAVING_STATES
        )
        if not found:
            raise NotFound(f"there is no instance {text!r}; see `portico status`")
        self._intent.request_replacement(found)
        return self._begin(kind, name, [app], who, replaced=found)

    async def scale(
        self, app: str, instances: int | str, who: Requester, folder: str | None = None
    ) -> ChangeView:
        """To so many instances, or by so many, `+2`."""
        return await self.put_in_force(self.scale_change(app, instances, who, folder), who)

    def scale_change(
        self, app: str, instances: int | str, who: Requester, folder: str | None
    ) -> FileChange:
        [app] = self._free_apps(app, folder)
        here = self._intent.desired.apps[app]
        before = _count(here)
        wanted = before + int(instances) if isinstance(instances, str) else instances
        if not 1 <= wanted <= MAX_INSTANCES:
            raise Refused(
                f"cannot scale {app} to {wanted} instances: it must have 1 to {MAX_INSTANCES}; "
                f"nothing was changed. `portico stop {app}` stops all of them"
            )
        key = "total" if here.app.total else "instances"
        edited = self._revisions.with_app(app, {key: wanted}, f"scale {app} {wanted}", who)

        def edit() -> Revision:
            revision, now = edited(), _count(self._intent.desired.apps[app])
            if isinstance(instances, str) and now != before:  # others had their turn
                raise Refused(
                    f"cannot scale {app} by {instances}: another change set it to {now} instances "
                    "meanwhile; nothing was changed"
                )
            return revision

        return FileChange(edit, "scale", f"{app} {wanted}", smaller=wanted < before)

    async def delete(self, app: str, who: Requester, folder: str | None = None) -> ChangeView:
        file = self.delete_change(app, who, folder)
        try:
            return await self.put_in_force(file, who)
        except ConfigError as error:  # most of all a site that passes requests to it
            raise ConfigError(f"the file without {file.subject}", error.problems) from None

    def delete_change(self, app: str, who: Requester, folder: str | None) -> FileChange:
        [app] = self._free_apps(app, folder)
        edit = self._revisions.with_app(app, None, f"delete {app}", who)
        return FileChange(edit, "delete", app, smaller=True)

    async def pause(
        self, site: str | None, who: Requester, hold: float = 0.0, folder: str | None = None
    ) -> ChangeView:
        """Answer with the maintenance page until `resume`, or hold requests for so many seconds;
        for a site, or all of a project.
        """
        await self._in_force.pause(lambda: self.sites(site, folder), paused=True, hold=hold)
        return self._begin("pause", site or "all sites", [], who)

    async def resume(
        self, site: str | None, who: Requester, folder: str | None = None
    ) -> ChangeView:
        await self._in_force.pause(lambda: self.sites(site, folder), paused=False)
        return self._begin("resume", site or "all sites", [], who)

    async def purge(self, site: str, path: str | None, who: Requester) -> PurgeView:
        """Remove stored answers: of a site, or all of a project."""
        names = sorted(self.sites(site, None))
        removed = await self._cache_purge.purge(names, path)
        self._events.note_request("purge", site, who, path or "everything")
        return PurgeView(removed=removed)

    def sites(self, text: str | None, folder: str | None) -> frozenset[str]:
        """A site, or those of a project; without a name of the one here, or of the only one."""
        known = self._intent.desired
        if text is None:
            keys = {self._projects.names(folder).project(None)}
        else:
            keys = {key for key, each in self._intent.revisions.items() if name_of(each) == text}
        of_project = {name for name in known.sites if known.origin(name).project in keys}
        if found := known.sites.keys() & {text} or of_project:
            return frozenset(found)
        there = ", ".join(known.sites) or "none"
        raise NotFound(f"there is no site {text!r}; known: {there}")

    async def rollback(
        self,
        revision: int | None,
        who: Requester,
        project: str | None = None,
        folder: str | None = None,
    ) -> ChangeView:
        return await self.put_in_force(self.rolled_back(revision, who, project, folder), who)

    def rolled_back(
        self, revision: int | None, who: Requester, project: str | None, folder: str | None
    ) -> FileChange:
        key = self._revisions.project_of(revision, project, folder)

        def edit() -> Revision:
            found = replace(self._revisions.earlier(revision, key), project=key)
            again = self._revision(request_of(found), f"{who}, rollback to {found.number}", found)
            return replace(again, links=found.links)

        return FileChange(edit, "rollback", holds=[SITES])

    def _begin(
        self,
        kind: str,
        app: str | None,
        names: list[str],
        who: Requester,
        replaced: frozenset[InstanceId] = frozenset(),
    ) -> ChangeView:
        async def work(change: Change) -> None:
            await self._convergence.apps(change, names, replaced)

        return self._begin_work(kind, app, names, who, work)

    def _begin_work(
        self,
        kind: str,
        app: str | None,
        names: list[str],
        who: Requester,
        work: Callable[[Change], Awaitable[None]],
    ) -> ChangeView:
        self._events.note_request(kind, app or EVERY_APP, who)
        self._loop.wake()
        return self._changes.begin(kind, app or "all apps", names, work)

    def _free_apps(self, text: str | None, folder: str | None) -> list[str]:
        """The apps meant, known and free for a change."""
        names = self._projects.names(folder).apps_of(text)
        if not names:
            raise Refused("nothing is running; start with `portico up`")
        return self._assert_free(names)

    def _assert_free(self, apps: list[str]) -> list[str]:
        """The same, free for a change."""
        self._changes.hold(apps)
        return apps


def _count(app: DesiredApp) -> int:
    """Its instances, or its `total`, by the file in force."""
    number = app.app.instances
    return app.app.total or (app.instances if number == "max" else number)


def _subject(text: str | None, apps: Sequence[str]) -> str | None:
    """The one app that a word means, or the word."""
    return apps[0] if len(apps) == 1 else text

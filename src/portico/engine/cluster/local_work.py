"""What this machine does of a change of the whole cluster, by its own operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Final

from portico import __version__
from portico.core.model.event import Requester
from portico.core.model.names import qualified_name
from portico.core.model.records import Revision
from portico.core.model.requests import DocumentRequest, DownRequest
from portico.core.model.shared_change import NamedTarget, SharedChange, SharedFile
from portico.core.model.views import ChangeView
from portico.core.planning.switches import MissedSwitches
from portico.engine.changes import EVERY_APP
from portico.engine.cluster.turns import Say
from portico.engine.control.assembly import Control
from portico.engine.control.up import FileChange
from portico.engine.engine import Engine
from portico.engine.in_force import within_deadline
from portico.engine.intent import SITES
from portico.engine.projects import Projects, name_of
from portico.errors import Failed, Refused

_REQUESTER: Final = Requester("the cluster")
FREE_TIMEOUT: Final = 180.0  # a drain waits two minutes for the others, then for open requests
FREE_INTERVAL: Final = 0.5
NAMED_VERBS: Final = frozenset(
    {"start", "stop", "restart", "reload", "pause", "resume", "down", "drain", "undrain"}
)
"""What can be made of a change that has no file."""
STARTING_VERBS: Final = frozenset({"start", "restart", "reload"})
"""They start programs of the file in force, which is checked again before."""


class OwnWork:
    """Implements LocalWork."""

    def __init__(
        self, engine: Engine, control: Control, request_run: Callable[[str, str], None]
    ) -> None:
        """`request_run` is called with an app that has a schedule and the id of a change."""
        self._request_run = request_run
        self._intent, self._clock = engine.intent, engine.clock
        self._operations, self._changes = control.operations, engine.changes
        self._preparation = control.preparation
        self._projects = Projects(engine.intent)

    async def check(self, change: SharedChange, file: SharedFile | None) -> None:
        await self._wait_until_free()
        if not file and change.verb not in NAMED_VERBS:
            raise Refused(
                f"Portico {__version__} on this machine does not know `{change.verb}`; upgrade it"
            )
        if file:
            await self._check(self._revision(file))
        elif change.target and change.target.site:
            self._operations.sites(change.target.site, None)
        elif change.target:
            for project in change.target.projects:
                revision = self._revision_in_force(project)
                if change.target.app:
                    self._app(revision, change.target.app)
                if change.verb in STARTING_VERBS:
                    await self._check(revision)
        else:
            raise Refused(f"the change {change.verb} names neither a file nor apps")

    async def _check(self, revision: Revision) -> None:
        await within_deadline(self._preparation.check(self._intent.inputs(revision)))

    async def make(
        self, change: SharedChange, file: SharedFile | None, stopped: Collection[str], say: Say
    ) -> None:
        await self._wait_until_free()
        who = Requester(f"{change.who} on {change.by}")
        if file:
            await self._put_in_force(file, who, change.verb, change.subject, stopped, say)
            if change.verb in STARTING_VERBS and change.target:
                for app in self._meant(change.target):  # the file starts no other release of it
                    name = self._projects.names().full_name(app)
                    view = await self._begin_of_apps(change.verb, name, None, who)
                    self._request_runs([app], change)
                    await self._follow(view, say)
        elif change.verb == "down" and change.target:
            for project in change.target.projects:
                await self._end_project(project, who, say, now=change.target.now)
        elif change.target:
            view = await self._begin_named(change.verb, change.target, who)
            self._request_runs(self._meant(change.target), change)
            await self._follow(view, say)

    def _meant(self, target: NamedTarget) -> list[str]:
        """The apps that it names, as this machine calls them."""
        names = self._projects.names()
        return [app for app in names.apps if names.full_name(app) in target.apps]

    def _request_runs(self, apps: Iterable[str], change: SharedChange) -> None:
        """Of what has a schedule one machine runs it."""
        for app in self._intent.runs.withdraw(apps):
            self._request_run(app, change.id)

    async def take(
        self, project: str, file: SharedFile | None, stopped: Collection[str], say: Say
    ) -> None:
        await self._wait_until_free()
        if file:
            await self._put_in_force(file, _REQUESTER, "up", "", stopped, say)
        else:
            await self._end_project(project, _REQUESTER, say)

    async def make_up(self, missed: MissedSwitches, say: Say) -> None:
        await self._wait_until_free()
        operations, names = self._operations, self._projects.names()
        known = {names.full_name(name): app for name, app in self._intent.desired.apps.items()}
        begun = [
            *(partial(operations.stop, name, _REQUESTER) for name in missed.stop if name in known),
            *(
                partial(operations.start, name, _REQUESTER)
                for name in missed.start
                if name in known
            ),
            *(
                partial(operations.reload, name, _REQUESTER)
                for name in missed.reload
                if name in known and not known[name].app.schedule  # it would run once more
            ),
            *(
                partial(operations.pause, site, _REQUESTER, hold)
                for site, hold in missed.pause.items()
                if site in self._intent.desired.sites
            ),
            *(
                partial(operations.resume, site, _REQUESTER)
                for site in missed.resume
                if site in self._intent.desired.sites
            ),
        ]
        for begin in begun:
            await self._follow(await begin(), say)

    async def _end_project(
        self, project: str, who: Requester, say: Say, *, now: bool = False
    ) -> None:
        """Nothing where it has ended already."""
        if any(name_of(each) == project for each in self._intent.revisions.values()):
            view = await self._operations.down(who, DownRequest(now=now), project)
            await self._follow(view, say)

    async def _wait_until_free(self) -> None:
        """What is of this machine alone ends first: a drain, or a reload of a watched file."""
        end = self._clock.monotonic() + FREE_TIMEOUT
        while any(change.apps for change in self._changes.under_way()):
            if self._clock.monotonic() > end:
                self._changes.hold([EVERY_APP])  # Refused, with its name
            await self._clock.sleep(FREE_INTERVAL)

    async def _put_in_force(
        self,
        file: SharedFile,
        who: Requester,
        verb: str,
        subject: str,
        stopped: Collection[str],
        say: Say,
    ) -> None:
        change = FileChange(lambda: self._revision(file), verb, subject, [SITES])
        view = await self._operations.put_in_force(change, who)
        if stopped:  # before an instance of it has begun
            key = self._revision(file).project
            names = {
                qualified_name(key, name) for name in stopped
            } & self._intent.desired.apps.keys()
            self._intent.set_stopped(names, stopped=True)
        await self._follow(view, say)

    def _revision(self, file: SharedFile) -> Revision:
        request = DocumentRequest(
            source=file.path or file.source,
            folder=file.folder,
            table=file.document,
            environ=file.environ,
        )
        return file.revision(self._clock.now(), self._projects.key_for(request))

    async def _begin_named(self, verb: str, target: NamedTarget, who: Requester) -> ChangeView:
        operations = self._operations
        if verb == "pause":
            return await operations.pause(target.site, who, target.hold)
        if verb == "drain":
            return await operations.drain(who)
        if verb == "undrain":
            return await operations.undrain(who)
        if verb == "resume":
            return await operations.resume(target.site, who)
        app, folder = self._apps(target)
        return await self._begin_of_apps(verb, app, folder, who)

    async def _begin_of_apps(
        self, verb: str, app: str | None, folder: str | None, who: Requester
    ) -> ChangeView:
        operations = self._operations
        of_apps = {
            "start": operations.start,
            "stop": operations.stop,
            "restart": operations.restart,
            "reload": operations.reload,
        }
        return await of_apps[verb](app, who, folder)

    def _apps(self, target: NamedTarget) -> tuple[str | None, str | None]:
        """As operations take them: an app, or the folder of a project, or neither for all."""
        if len(target.projects) != 1:
            return None, None
        revision = self._revision_in_force(target.projects[0])
        return (self._app(revision, target.app) if target.app else None), revision.folder

    def _revision_in_force(self, project: str) -> Revision:
        return self._intent.revisions[self._projects.names().project(project)]

    def _app(self, revision: Revision, app: str) -> str:
        names = self._projects.names()
        return names.app(names.full_name(qualified_name(revision.project, app)))

    async def _follow(self, view: ChangeView, say: Say) -> None:
        """Return at its end. Raises what it failed with."""
        shown: Sequence[str] = ()
        try:
            async for now in self._changes.follow(view.id):
                for line in now.lines[len(shown) :]:
                    say(line)
                shown, view = now.lines, now
        except asyncio.CancelledError:
            self._changes.cancel(view.id, "the turn of this machine has ended")
            raise
        if view.state == "failed":
            raise Failed(view.error or f"{view.kind} failed")

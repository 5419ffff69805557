"""What an operator can ask for: a method for every row of `core/model/verbs.py`.

Each raises a PorticoError for what an operator can act on. Those that return a ChangeView have
accepted the work and go on with it; follow it by its id.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from portico import __version__
from portico.core.model.desired import Desired
from portico.core.model.instance import LEAVING
from portico.core.model.names import InstanceId
from portico.core.model.records import Revision
from portico.core.model.units import shown
from portico.core.model.views import (
    ChangeView,
    CheckView,
    DocumentRequest,
    EventView,
    LogFileView,
    PlanView,
    RenderView,
    RevisionView,
    StatusView,
    StepView,
    TrustView,
    VersionView,
)
from portico.core.planning.preview import preview
from portico.core.planning.runs import runs_before
from portico.core.planning.unchanged import (
    relinked_text,
    running_unchanged,
    scaled,
    unchanged_text,
)
from portico.engine.certificates.assembly import CertificateParts
from portico.engine.certificates.operations import CertificateOperations
from portico.engine.changes import EVERY_APP, Change, Changes
from portico.engine.control.convergence import Convergence
from portico.engine.control.metrics import metrics_text
from portico.engine.control.status import StatusReport
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.intent import SITES
from portico.engine.prepare import Candidate, Inputs, Preparation, request_of
from portico.errors import ConfigError, Failed, NotFound, Problem, Refused
from portico.ports.certificates import Certificates
from portico.ports.files import Logs

EVENTS_SHOWN: Final = 100


class Operations(CertificateOperations):
    def __init__(  # noqa: PLR0913, PLR0917 - where everything that can be asked comes together
        self,
        engine: Engine,
        changes: Changes,
        certificates: CertificateParts,
        preparation: Preparation,
        in_force: InForce,
        report: StatusReport,
        convergence: Convergence,
        *,
        local: Certificates,
        logs: Logs,
    ) -> None:
        super().__init__(engine, changes, certificates)
        self._observed, self._loop = engine.observed, engine.loop
        self._preparation, self._in_force, self._report = preparation, in_force, report
        self._local, self._logs, self._convergence = local, logs, convergence
        self._safe_mode = engine.safe_mode

    # Reading

    async def status(self) -> StatusView:
        return await self._report.view()

    async def check(self, request: DocumentRequest) -> CheckView:
        candidate = await self._preparation.check(self._inputs(request))
        return CheckView(
            apps=len(candidate.desired.apps),
            sites=len(candidate.desired.sites),
            nginx=f"{candidate.build.program} {candidate.build.version_text}",
            notes=candidate.notes,
        )

    async def plan(self, request: DocumentRequest) -> PlanView:
        candidate = await self._preparation.render(self._inputs(request))
        steps = await asyncio.to_thread(
            preview,
            self._intent.preview(candidate),
            self._observed.now(),
            generation=candidate.fingerprint,
        )
        return PlanView(
            steps=tuple(StepView(what=str(step), why=step.why) for step in steps),
            notes=candidate.notes,
        )

    async def render(self, document: DocumentRequest | None) -> RenderView:
        """The nginx files of a document, or of what is in force."""
        inputs = self._inputs(document) if document else self._intent.inputs(self._current())
        candidate = await self._preparation.render(inputs)
        return RenderView(files=dict(candidate.files))

    def history(self) -> list[RevisionView]:
        current = {revision.number for revision in self._intent.revisions.values()}
        return [
            RevisionView(
                number=revision.number,
                applied=revision.applied,
                who=revision.who,
                source=revision.source,
                current=revision.number in current,
                folders=tuple(
                    sorted({f for each in revision.links.values() for f in each.values()})
                ),
            )
            for revision in self._state.revisions()
        ]

    def events(self, app: str | None, count: str | None) -> list[EventView]:
        if count is not None and not re.fullmatch(r"[0-9]{1,9}", count):
            raise Refused(f"count must be a number below 1,000,000,000, not {shown(count)}")
        found = self._state.events(int(count or EVENTS_SHOWN), app)
        return [
            EventView(at=at, kind=kind, subject=subject, text=text)
            for at, kind, subject, text in found
        ]

    def changes(self) -> list[ChangeView]:
        return self._changes.views()

    def change(self, change: str) -> ChangeView:
        return self._changes.view(change)

    def follow(self, change: str) -> AsyncIterator[ChangeView]:
        """The change now, and again after each of its steps, until it has ended."""
        self._changes.view(change)  # NotFound before there is anything to read
        return self._changes.follow(change)

    def logs(self, app: str | None) -> list[LogFileView]:
        names = [app] if app else list(self._intent.desired.apps)
        if app is not None and app not in self._intent.desired.apps:
            raise self._unknown(app)
        views = [view for name in names for view in self._report.log_files(name)]
        return views + self._report.nginx_log_files(app)

    async def trust(self, *, remove: bool) -> TrustView:
        trust = await (self._local.untrust() if remove else self._local.trust())
        return TrustView(root=trust.root, installed=trust.done, skipped=trust.skipped)

    def version(self) -> VersionView:
        return VersionView(version=__version__, pid=os.getpid())

    async def metrics(self) -> str:
        """The status and the certificates in the text format of Prometheus."""
        return metrics_text(await self.status(), await self.certificates(), self._clock.now())

    # Changing what is wanted

    async def up(self, request: DocumentRequest, who: str) -> ChangeView:
        """Check the whole document, then apply it. ConfigError or Refused changes nothing."""
        return await self._put_in_force(lambda: self._revision(request, who), holds=[SITES])

    def _revision(self, request: DocumentRequest, who: str) -> Revision:
        if not request.table.get("apps") and not request.table.get("sites"):
            nothing = Problem("the file", "has neither apps nor sites", "`portico down` ends all")
            raise ConfigError(request.source, [nothing])
        return Revision(
            0,
            self._clock.now(),
            who,
            request.source,
            request.folder,
            request.table,
            request.environ,
        )

    async def _put_in_force(
        self, edit: Callable[[], Revision], *, holds: Sequence[str] = (), smaller: bool = False
    ) -> ChangeView:
        """What `edit` makes of the file in force; and follow it until it is served.

        It holds what it touches. A whole file also `holds` the sites, so that those of no other
        come into force before it has been seen that its own are served.
        """
        self._changes.hold([] if self._intent.revisions else [EVERY_APP])
        touched, removed, said, unchanged = list[str](), list[str](), list[str](), list[str]()

        def allow(candidate: Candidate) -> None:
            touched[:] = {*self._intent.changed_apps(candidate), *holds}
            self._changes.hold(touched)
            removed[:] = self._intent.removed_by(candidate)
            if holds:
                now, new = self._intent.desired, candidate.desired
                said[:], unchanged[:] = scaled(now, new), running_unchanged(now, new)

        before = self._intent.revision
        accepted, candidate = await self._in_force.accept(edit, allow, smaller=smaller)
        self._accepted(accepted, candidate, before)

        async def work(change: Change) -> None:
            if removed and before:
                change.say(_removal(removed, before.source, accepted.source))
            if holds:
                said.extend(await self._unchanged_lines(unchanged, candidate.desired))
            for line in said:
                change.say(line)
            for note in candidate.notes:
                change.say(f"note: {note}")
            await self._convergence.apps(change, candidate.desired.apps)
            await self._convergence.upgrade()
            await self._convergence.sites(change, candidate.desired)
            self._intent.mark_served(accepted)
            await self._report.exposure.look()

        return self._changes.begin("up", accepted.source, touched, work)

    async def _unchanged_lines(self, apps: Sequence[str], desired: Desired) -> list[str]:
        """What of these continues to run as it is, which apps run where no link leads any more,
        and how they are replaced.
        """
        relinked: dict[str, str] = {}
        for name, app in desired.apps.items():
            with suppress(Failed):  # nothing is started there
                if app.spec.links:
                    links = await self._preparation.links_of(app.spec)
                    relinked[name] = relinked_text(app.spec, links)
        others = unchanged_text([name for name in apps if not relinked.get(name)])
        return [text for text in (*relinked.values(), others) if text]

    def _accepted(self, revision: Revision, candidate: Candidate, before: Revision | None) -> None:
        seen, build = self._observed.now().nginx, candidate.build
        if self._intent.is_in_force(seen) and build.program not in {"", seen.program}:
            self._intent.request_upgrade(build)  # the same files, and another [edge] nginx
        if self._safe_mode.is_on and (before is None or before.document != revision.document):
            self._safe_mode.end()
        self._state.add_event(revision.applied, "up", revision.source, f"by {revision.who}")
        self._certificates.loop.wake()

    async def down(self, who: str, *, now: bool) -> ChangeView:
        """End everything. A second call, while it is under way, waits for nothing any more."""
        self._state.add_event(self._clock.now(), "down", EVERY_APP, f"by {who}")
        going = next((c for c in self._changes.under_way() if c.kind == "down"), None)
        if going is not None:
            going.say("second request: no longer waiting for open requests")
            self._in_force.clear(at_once=True)
            return going.view()
        self._changes.overrule("everything is being stopped")
        apps = len(self._intent.desired.apps)
        self._in_force.clear(at_once=now)
        subject = "1 app" if apps == 1 else f"{apps} apps"
        return self._changes.begin("down", subject, [EVERY_APP], self._convergence.end)

    async def upgrade(self, who: str) -> ChangeView:
        """Replace the nginx that runs by today's program of it, losing no request."""
        self._current()
        self._state.add_event(self._clock.now(), "upgrade", "nginx", f"by {who}")
        return self._changes.begin("upgrade", "nginx", [EVERY_APP], self._upgrade)

    async def _upgrade(self, change: Change) -> None:
        # The new one may be able to do more.
        candidate = await self._in_force.render_without_waiting()
        seen, build = self._observed.now().nginx, candidate.build
        if seen.pid is None or not candidate.desired.sites:
            change.say("nginx is not running")
        elif seen.runs(build):
            change.say(f"nginx is already at {seen.version}")
        else:
            change.say(f"replacing nginx {seen.version} with {build.version_text}")
            if self._intent.is_in_force(seen):
                self._intent.request_upgrade(build)
            self._loop.wake()
            await self._convergence.upgrade()
            await self._convergence.apps(change, ())

    async def start(self, app: str | None, who: str) -> ChangeView:
        """Start one app, or all (None)."""
        names = self._named(app)
        self._intent.set_stopped(names, stopped=False)
        return self._begun("start", app, names, who)

    async def stop(self, app: str | None, who: str) -> ChangeView:
        names = self._named(app)
        self._intent.set_stopped(names, stopped=True)
        return self._begun("stop", app, names, who)

    async def restart(self, app: str | None, who: str) -> ChangeView:
        return await self._renewed("restart", app, who)

    async def reload(self, app: str | None, who: str) -> ChangeView:
        return await self._renewed("reload", app, who)

    async def _renewed(self, kind: str, app: str | None, who: str) -> ChangeView:
        if app is not None and "." in app:
            return self._replaced(kind, app, who)
        links = {name: await self._links_of(kind, name) for name in self._renewable(kind, app)}
        names = [n for n in self._renewable(kind, app) if n in links]  # others had their turn
        added = self._intent.new_version(
            names,
            abrupt=kind == "restart",
            links=links,
            revision=self._relinked(links, f"{who}, {kind} {app or 'all apps'}"),
        )
        return self._begun(kind, app, names, who, revision=added)

    def _renewable(self, kind: str, app: str | None) -> list[str]:
        """The apps meant, free for a change, and before a rollout what has to run once."""
        names = self._named(app)
        if kind == "reload":
            apps = self._intent.desired.apps
            before = runs_before(apps, names).difference(names)
            names += sorted(name for name in before if not apps[name].stopped)
            self._changes.hold(names)
        return names

    async def _links_of(self, kind: str, app: str) -> Mapping[str, str]:
        try:
            return await self._preparation.links_of(self._intent.spec_in_file(app))
        except Failed as error:
            raise Refused(f"cannot {kind} {app}: {error}; nothing was changed") from error

    def _relinked(self, links: Mapping[str, Mapping[str, str]], who: str) -> Revision | None:
        """The revision in force where links lead now; None if it served with these already."""
        current = self._current()
        together = {name: each for name, each in {**current.links, **links}.items() if each}
        if together == current.links and (current.served or not together):
            return None
        return replace(
            current,
            number=0,
            applied=self._clock.now(),
            who=who,
            links=together,
            served=False,
        )

    def _replaced(self, kind: str, name: str, who: str) -> ChangeView:
        """A single instance, by its id or its slot: the others have nothing to do with it."""
        app = name.partition(".")[0]
        self._named(app)
        found = frozenset(
            i.id
            for i in self._observed.instances.values()
            if name in {i.id, f"{i.app}.{i.slot}"} and i.state not in LEAVING
        )
        if not found:
            raise NotFound(f"there is no instance {name!r}; see `portico status`")
        self._intent.request_replacement(found)
        return self._begun(kind, name, [app], who, replaced=found)

    async def scale(self, app: str, instances: int, who: str) -> ChangeView:
        self._named(app)
        fewer = instances < self._intent.desired.apps[app].instances
        edit = self._edit(app, {"instances": instances}, f"scale {app} {instances}", who)
        return await self._put_in_force(edit, smaller=fewer)

    async def delete(self, app: str, who: str) -> ChangeView:
        self._named(app)
        edit = self._edit(app, None, f"delete {app}", who)
        return await self._put_in_force(edit, smaller=True)

    async def pause(self, site: str, who: str) -> ChangeView:
        """Answer with the maintenance page until `resume`."""
        await self._in_force.pause(site, paused=True)
        return self._begun("pause", site, [], who)

    async def resume(self, site: str, who: str) -> ChangeView:
        await self._in_force.pause(site, paused=False)
        return self._begun("resume", site, [], who)

    async def rollback(self, revision: int | None, who: str) -> ChangeView:
        def edit() -> Revision:
            found = self._earlier(revision)
            again = self._revision(request_of(found), f"{who}, rollback to {found.number}")
            return replace(again, links=found.links)

        return await self._put_in_force(edit, holds=[SITES])

    def _earlier(self, number: int | None) -> Revision:
        """Than the one in force, and of the same project; without a number one that served, and of
        which anything is different.
        """
        current = self._current()
        older = [
            each
            for each in self._state.revisions()
            if each.number < current.number and each.project == current.project
        ]
        if number is None:
            older = [each for each in older if each.served and _differ(each, current)]
        found = next((each for each in older if number in {None, each.number}), None)
        if found is None:
            which = f"{number} before the current one" if number else "before it that served"
            which += "" if number else ", with another file or other folders"
            raise NotFound(f"there is no revision {which}; see `portico history`")
        return found

    # How

    def _edit(
        self, app: str, keys: Mapping[str, object] | None, source: str, who: str
    ) -> Callable[[], Revision]:
        """The file in force by then, with one app's table changed, or taken out."""

        def edit() -> Revision:
            current = self._current()
            apps = dict(current.document.get("apps", {}))  # type: ignore[call-overload]  # read before
            if app not in apps:
                raise self._unknown(app)
            table = apps.pop(app)
            if keys is not None:
                apps[app] = {**table, **keys}
            document = {**current.document, "apps": apps}
            return replace(
                current,
                number=0,
                applied=self._clock.now(),
                who=who,
                source=source,
                document=document,
                served=False,
                links={},
            )

        return edit

    def _begun(
        self,
        kind: str,
        app: str | None,
        names: list[str],
        who: str,
        replaced: frozenset[InstanceId] = frozenset(),
        revision: Revision | None = None,
    ) -> ChangeView:
        self._state.add_event(self._clock.now(), kind, app or EVERY_APP, f"by {who}")
        self._loop.wake()

        async def work(change: Change) -> None:
            await self._convergence.apps(change, names, replaced)
            if revision:
                self._intent.mark_served(revision)

        return self._changes.begin(kind, app or "all apps", names, work)

    def _named(self, app: str | None) -> list[str]:
        """The apps meant, known and free for a change."""
        known = self._intent.desired.apps
        if app is not None and app not in known:
            raise self._unknown(app)
        names = [app] if app is not None else list(known)
        if not names:
            raise Refused("nothing is running; start with `portico up`")
        self._changes.hold(names)
        return names

    def _unknown(self, app: str) -> NotFound:
        known = ", ".join(self._intent.desired.apps) or "none"
        return NotFound(f"there is no app {app!r}; known: {known}")

    def _inputs(self, request: DocumentRequest) -> Inputs:
        return self._intent.inputs(self._revision(request, ""))

    def _current(self) -> Revision:
        if self._intent.revision is None:
            raise Refused("no file is in force; start with `portico up`")
        return self._intent.revision


def _differ(one: Revision, other: Revision) -> bool:
    """Whether a rollback from one to the other changes anything."""
    return (one.document, one.folder, one.links) != (other.document, other.folder, other.links)


def _removal(removed: Sequence[str], before: str, now: str) -> str:
    names = ", ".join(removed)
    if before == now:
        return f"removing {names}: no longer in {now}"
    return f"removing {names}: in force from {before}, and not in {now}"

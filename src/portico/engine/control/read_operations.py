"""What an operator can ask to see: a method for each verb that changes nothing."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from portico import __version__
from portico.core.model.document import Document
from portico.core.model.event import Event, EventFilter
from portico.core.model.labels import project_name
from portico.core.model.names import is_instance_name
from portico.core.model.nginx_views import NginxBuildsView
from portico.core.model.records import Revision
from portico.core.model.requests import DocumentRequest
from portico.core.model.traffic_views import TrafficSeriesView
from portico.core.model.value_text import value_text
from portico.core.model.views import (
    ChangeView,
    CheckView,
    EventView,
    FilePlanView,
    LogFileView,
    OutputLineView,
    PlanView,
    RenderView,
    RevisionView,
    StatusView,
    StepView,
    VersionView,
)
from portico.core.planning.preview import preview
from portico.engine.certificates.assembly import CertificateParts
from portico.engine.certificates.operations import CertificateOperations
from portico.engine.control.control_ports import ControlPorts
from portico.engine.control.metrics import metrics_text
from portico.engine.control.nginx_programs import NginxPrograms
from portico.engine.control.output import Output
from portico.engine.control.status import StatusReport
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.inputs import Inputs
from portico.engine.projects import Projects, name_of
from portico.errors import ConfigError, Failed, PorticoError, Problem, Refused

if TYPE_CHECKING:
    from portico.core.model.machine_views import ClusterCheckView, MachineFactsView, MachineView

EVENTS_SHOWN: Final = 100
MAX_EVENTS_SHOWN: Final = 1000
"""In one answer: the loop has other things to do."""
OUTPUT_LINES: Final = 20
MAX_OUTPUT_LINES: Final = 1000
_MAX_NUMBER: Final = 10**11


class OtherMachines(Protocol):
    def is_other(self, machine: str | None) -> bool: ...

    async def views(self, only: str | None) -> list[MachineView]: ...

    async def events(self, machine: str, query: Mapping[str, str | None]) -> list[EventView]: ...

    async def traffic(
        self, machine: str, query: Mapping[str, str | None]
    ) -> TrafficSeriesView: ...

    async def check(self) -> ClusterCheckView: ...

    async def member(self) -> MachineFactsView: ...


class ReadOperations(CertificateOperations):
    def __init__(
        self,
        engine: Engine,
        certificates: CertificateParts,
        in_force: InForce,
        report: StatusReport,
        nginx_programs: NginxPrograms,
        ports: ControlPorts,
    ) -> None:
        super().__init__(engine, certificates)
        self._observed, self._projects = engine.observed, Projects(engine.intent)
        self._preparation, self._in_force, self._report = in_force.preparation, in_force, report
        self._nginx_programs, self._traffic = nginx_programs, ports.traffic
        self._output, self._edited = Output(engine, ports.programs.logs), ports.edited
        self.other_machines: OtherMachines | None = None
        """None on a machine that is in no cluster. Its parts stand on these."""

    async def status(self, app: str | None = None, folder: str | None = None) -> StatusView:
        """Of an app or a project, if one is named."""
        if app is None:
            return await self._report.view()
        names = self._projects.names(folder)
        project = names.project_called(app)
        apps = names.apps_of(app) if project is None else []
        return self._report.part_of(await self._report.view(), project, frozenset(apps))

    async def check(self, request: DocumentRequest) -> CheckView:
        inputs = self._inputs(request)
        candidate = await self._preparation.check(inputs)
        own = candidate.desired.of(inputs.project or "")
        return CheckView(
            apps=len(own.apps),
            sites=len(own.sites),
            streams=len(own.streams),
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

    async def plan_file(self, project: str) -> FilePlanView:
        """A file that is wrong is an answer, too. One that is as it was costs no plan."""
        revision = self._intent.revisions[self._projects.names(None).project(project)]
        view = FilePlanView(project=project, source=revision.file)
        try:
            document = await asyncio.to_thread(
                self._edited, revision.file, revision.folder, revision.environ
            )
            if document.table == revision.document:
                return view
            plan = await self.plan(document)
        except PorticoError as error:
            return view.model_copy(update={"changed": True, "problem": str(error)})
        return view.model_copy(update={"changed": True, "steps": plan.steps, "notes": plan.notes})

    async def render(self, document: DocumentRequest | None) -> RenderView:
        """The nginx files of a document, or of what is in force."""
        if document is None:
            self._in_force.require_file()
        inputs = self._inputs(document) if document else self._intent.inputs()
        candidate = await self._preparation.render(inputs)
        return RenderView(files=dict(candidate.files))

    def history(self, project: str | None = None, folder: str | None = None) -> list[RevisionView]:
        """Of a project that is named, or of those of the folder, or of all."""
        current = {revision.number for revision in self._intent.revisions.values()}
        names = self._projects.names(folder)
        shown = {project} if project else {names.projects[key] for key in names.here}
        return [
            RevisionView(
                number=revision.number,
                project=name_of(revision),
                applied=revision.applied,
                who=revision.who,
                source=revision.source,
                current=revision.number in current,
                folders=tuple(
                    sorted({f for each in revision.links.values() for f in each.values()})
                ),
            )
            for revision in self._state.revisions()
            if not shown or name_of(revision) in shown
        ]

    async def events(  # noqa: PLR0913, PLR0917 - each is a word of the query
        self,
        app: str | None = None,
        count: str | None = None,
        kind: str | None = None,
        since: str | None = None,
        until: str | None = None,
        before: str | None = None,
        folder: str | None = None,
        machine: str | None = None,
    ) -> list[EventView]:
        if other := self._other(machine):
            query = {"app": app, "count": count, "kind": kind}
            query |= {"since": since, "until": until, "before": before}
            return await other.events(machine or "", query)
        wanted = self._event_filter(app, kind, since, until, folder)
        if (number := number_in("before", before)) is not None:
            wanted = replace(wanted, before=int(number))
        limit = _count_in(count, EVENTS_SHOWN, MAX_EVENTS_SHOWN)
        found = reversed(self._events.newest(wanted, limit))
        return [_event_view(each, self._intent.desired.machine) for each in found]

    def follow_events(
        self,
        app: str | None = None,
        after: str | None = None,
        kind: str | None = None,
        folder: str | None = None,
    ) -> AsyncIterator[EventView]:
        """Whatever is added, from the event behind that of number `after` on, or from now on."""
        wanted = self._event_filter(app, kind, None, None, folder)
        last = number_in("after", after)
        return self._follow_events(wanted, self._state.last_event() if last is None else int(last))

    async def _follow_events(self, wanted: EventFilter, after: int) -> AsyncIterator[EventView]:
        async for each in self._events.follow(wanted, after):
            yield _event_view(each, self._intent.desired.machine)

    def _event_filter(
        self,
        text: str | None,
        kind: str | None,
        since: str | None,
        until: str | None,
        folder: str | None,
    ) -> EventFilter:
        subject, project = text or "", text or ""
        names = self._projects.names(folder)
        with suppress(PorticoError):  # of what is removed there are events too
            if text:
                subject, project = names.subject(text), ""
        return EventFilter(
            subject,
            project,
            kinds=tuple(kind.split(",")) if kind else (),
            since=number_in("since", since),
            until=number_in("until", until),
        )

    def changes(self) -> list[ChangeView]:
        return self._changes.views()

    def change(self, change: str) -> ChangeView:
        return self._changes.view(change)

    def follow(self, change: str) -> AsyncIterator[ChangeView]:
        """The change now, and again after each of its steps, until it has ended."""
        self._changes.view(change)  # NotFound before there is anything to read
        return self._changes.follow(change)

    def logs(self, app: str | None, folder: str | None) -> list[LogFileView]:
        names = self._projects.names(folder)
        apps = names.apps_of(app) if app else list(names.apps)
        views = [view for name in apps for view in self._report.log_files.of_app(name)]
        return views + self._report.log_files.of_nginx(apps if app else None)

    async def output(
        self,
        app: str | None,
        count: str | None = None,
        grep: str | None = None,
        folder: str | None = None,
    ) -> list[OutputLineView]:
        lines = _count_in(count, OUTPUT_LINES, MAX_OUTPUT_LINES)
        names, slot = self._projects.names(folder), None
        if is_instance_name(app):
            name, place = names.instance(app)
            apps, slot = [name], _slot_in(app, place)
        else:
            apps = names.apps_of(app)
        return await self._output.lines(apps, slot, lines, grep or "")

    def version(self) -> VersionView:
        return VersionView(version=__version__, pid=os.getpid())

    async def metrics(self) -> str:
        """The status, the certificates and the requests in the text format of Prometheus."""
        status, certificates = await self._report.view(), await self.certificates()
        text = metrics_text(status, certificates, self._clock.now())
        return text + await self._traffic.metrics()

    async def traffic(
        self,
        project: str | None = None,
        machine: str | None = None,
        site: str | None = None,
        route: str | None = None,
        app: str | None = None,
        instance: str | None = None,
    ) -> TrafficSeriesView:
        """The requests of all rows that have these values, in sum. Raises Failed without an answer
        of the program that counts.
        """
        every = {
            "project": project,
            "site": site,
            "route": route,
            "app": app,
            "instance": instance,
        }
        of = {name: value for name, value in every.items() if value is not None}
        if other := self._other(machine):
            return await other.traffic(machine or "", of)
        found = await self._traffic.series(of)
        if found is None:
            raise Failed("cannot show requests: the program that counts them does not answer yet")
        return TrafficSeriesView(machine=self._intent.desired.machine, **of, **found)

    async def machines(self, machine: str | None = None) -> list[MachineView]:
        """The other ones. A machine that does not answer is one of them, too."""
        return await self.other_machines.views(machine) if self.other_machines else []

    async def member(self) -> MachineFactsView:
        return await self._in_any_cluster().member()

    async def check_cluster(self) -> ClusterCheckView:
        return await self._in_any_cluster().check()

    def _other(self, machine: str | None) -> OtherMachines | None:
        """What asks it, if another machine is meant. Refused where there are none."""
        if not machine or (self.other_machines and not self.other_machines.is_other(machine)):
            return None
        return self._in_any_cluster()

    def _in_any_cluster(self) -> OtherMachines:
        if self.other_machines is None:
            raise Refused("this machine is in no cluster")
        return self.other_machines

    async def nginx(self) -> NginxBuildsView:
        return await self._nginx_programs.view()

    def _inputs(self, request: DocumentRequest) -> Inputs:
        return self._intent.inputs(self._revision(request, ""))

    def _revision(
        self, request: DocumentRequest, who: str, again: Revision | None = None
    ) -> Revision:
        """`again` is the one that the request is of, if it was in force before."""
        table, known = request.table, Document.model_fields.keys()
        if not any(map(table.get, ("apps", "sites", "streams"))) and table.keys() <= known:
            name = project_name(request.table, request.folder)
            hint = f"`portico down {name}` ends the project"
            nothing = Problem("the file", "has neither apps nor sites nor streams", hint)
            raise ConfigError(request.source, [nothing])
        return Revision(
            0,
            self._clock.now(),
            who,
            request.source,
            request.folder,
            request.table,
            request.environ,
            project=again.project if again else self._projects.key_for(request),
            path=again.file if again else "",
        )


def number_in(name: str, text: str | None) -> float | None:
    """A number of a query, if it is given. Refused where it is none that a database takes."""
    if text is not None and not re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,9})?", text):
        raise Refused(f"{name} must be a number below {_MAX_NUMBER:,}, not {value_text(text)}")
    return None if text is None else float(text)


def _count_in(text: str | None, default: int, limit: int) -> int:
    number = number_in("count", text)
    return default if number is None else min(int(number), limit)


def _slot_in(app: str, place: str) -> int:
    """Of `.2`, or `.2.7`."""
    if not (found := re.fullmatch(r"\.([0-9]{1,6})(\.[0-9]{1,9})?", place)):
        raise Refused(f"{value_text(app)} is not an instance, such as web.2")
    return int(found[1])


def _event_view(event: Event, machine: str) -> EventView:
    return EventView(
        number=event.number,
        at=event.at,
        kind=event.kind,
        subject=event.subject,
        text=event.text,
        project=event.project,
        uid=event.uid,
        command=event.command,
        machine=machine,
    )

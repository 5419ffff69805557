"""What an operator sees of all this: `portico status`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from portico.core.config.placement import parts
from portico.core.config.references import names_served
from portico.core.counting.table import stream_site
from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.instance import LIVE_STATES, Instance, InstanceState
from portico.core.model.names import qualified_name, split_name
from portico.core.model.optimization import nginx_warning
from portico.core.model.project import Names
from portico.core.model.site import Folder, Site
from portico.core.model.stream import Stream
from portico.core.model.traffic import Rates
from portico.core.model.views import (
    AppView,
    DaemonView,
    InstanceView,
    NginxView,
    ProjectView,
    ServerView,
    SiteView,
    StatusView,
    StreamView,
    TrafficView,
    UpstreamView,
)
from portico.core.model.world import NginxSeen
from portico.core.planning.app_state import app_state
from portico.core.planning.lineages import lineage_names
from portico.core.planning.order import AppWait, waiting_apps
from portico.core.planning.served_certificates import ServedCertificates
from portico.core.render.site_urls import site_urls
from portico.engine.control.activity import Activity
from portico.engine.control.control_ports import ControlPorts
from portico.engine.control.log_files import LogFiles
from portico.engine.control.status_troubles import Machines, StatusTroubles
from portico.engine.engine import Engine
from portico.engine.exposure import Exposure
from portico.engine.instances.assembly import Instances
from portico.engine.projects import name_of
from portico.engine.server_checks import ServerChecks
from portico.engine.site_certificates import CertificateSource
from portico.system.memory import resident_bytes

S = InstanceState
SHOWN_LINES: Final = 10


class StatusReport:
    def __init__(  # noqa: PLR0913 - it reads from everything
        self,
        engine: Engine,
        instances: Instances,
        exposure: Exposure,
        server_checks: ServerChecks,
        ports: ControlPorts,
        *,
        daemon: DaemonView,
        issued: CertificateSource,
        machines: Machines | None = None,
    ) -> None:
        """`machines` is None on a machine that is in no cluster."""
        self._machines = machines
        self._intent, self._observed = engine.intent, engine.observed
        self._clock = engine.clock
        self._instances, self.exposure = instances, exposure
        programs, self._traffic = ports.programs, ports.traffic
        self._activity = Activity(engine, programs.nginx, programs.ports)
        self._daemon, self._issued = daemon, issued
        self._server_checks = server_checks
        self._status_troubles = StatusTroubles(
            engine, instances.ownership, server_checks, machines
        )
        self._processes = programs.processes
        self.log_files = LogFiles(engine, programs.logs, daemon.home)
        self._begun = engine.clock.monotonic()

    async def view(self) -> StatusView:
        await self._processes.measure()
        await self._activity.look()
        rates = await self._traffic.rates()
        desired = self._intent.desired
        projects, paused = self._projects(), self._intent.paused_sites()
        names = {key: view.name for key, view in projects.items()}
        world = self._observed.now()
        instances = world.by_app()
        held = waiting_apps(desired, instances)
        first = next(iter(projects.values()), None)
        with_project = Names(names, desired.apps).with_project
        served = self._issued.served_certificates()
        return StatusView(
            projects=tuple(projects.values()),
            apps=tuple(
                self._app(app, instances[name], held.get(name), world.now, names, rates)
                for name, app in desired.apps.items()
            ),
            sites=tuple(
                _site(
                    name,
                    desired,
                    project=names.get(desired.origin(name).project, ""),
                    paused=name in paused,
                    served=served,
                    traffic=rates.sites.get(name),
                )
                for name in desired.sites
            ),
            streams=tuple(
                StreamView(
                    name=key,
                    project=names.get(each.project, ""),
                    addresses=tuple(f"{address}:{each.port}" for address in each.addresses),
                    to=_target(each.stream),
                    traffic=rates.sites.get(stream_site(key)),
                )
                for key, each in desired.streams.items()
            ),
            upstreams=tuple(self._upstreams(names)),
            machine=self._machines.machine if self._machines else "",
            drained=desired.drained,
            neighbours=self._machines.views() if self._machines else (),
            shared=bool(self._machines and self._machines.has_store),
            nginx=self._nginx(world.nginx),
            daemon=self._daemon_now(),
            source=first.source if first else "",
            revision=first.revision if first else 0,
            troubles=tuple(map(with_project, self._status_troubles.sentences(held, world))),
            notes=(*self.exposure.notes(), *_drain_notes(desired)),
        )

    def part_of(self, view: StatusView, project: str | None, apps: AbstractSet[str]) -> StatusView:
        """What is of a project alone, by its key, or of these apps alone."""
        desired = self._intent.desired
        names = {key: each.name for key, each in self._projects().items()}
        wanted = {
            (names.get(key), name)
            for key, name in map(split_name, desired.apps)
            if key == project or qualified_name(key, name) in apps
        }
        sites = {
            name
            for name, site in desired.sites.items()
            if desired.origin(name).project == project
            or names_served([site], desired.upstreams) & apps
        }
        streams = {
            key
            for key, each in desired.streams.items()
            if each.project == project or names_served([each.stream], desired.upstreams) & apps
        }
        return view.model_copy(
            update={
                "apps": tuple(each for each in view.apps if (each.project, each.name) in wanted),
                "sites": tuple(each for each in view.sites if each.name in sites),
                "streams": tuple(each for each in view.streams if each.name in streams),
                "upstreams": tuple(
                    each for each in view.upstreams if each.project == names.get(project or "")
                ),
            }
        )

    def _upstreams(self, names: Mapping[str, str]) -> Iterator[UpstreamView]:
        for name, servers in self._server_checks.groups():
            project, short = split_name(name)
            yield UpstreamView(
                name=short,
                project=names.get(project, ""),
                servers=tuple(
                    ServerView(
                        address=each.name,
                        backup=each.server.backup,
                        healthy=each.is_well,
                        reason=each.reason,
                    )
                    for each in servers
                ),
            )

    def _projects(self) -> dict[str, ProjectView]:
        """By key."""
        return {
            key: ProjectView(
                name=name_of(each), source=each.file, folder=each.folder, revision=each.number
            )
            for key, each in self._intent.revisions.items()
        }

    def last_lines(self, app: str, since: float) -> list[str]:
        """The end of the output of the app's instance that ended badly last, unless that was
        before `since`, on the monotonic clock, and it has gone or is ready again.
        """
        tail = self._instances.supervision.output_tails.get(app)
        if tail is None or not tail.lines:
            return []
        i = self._observed.instances.get(tail.instance)
        if tail.read_at < since and (i is None or i.state is S.READY):
            return []
        shown = tail.lines[-SHOWN_LINES:]
        return [f"the last lines of {tail.instance}:", *(f"  | {line}" for line in shown)]

    def _app(
        self,
        app: DesiredApp,
        found: Iterable[Instance],
        wait: AppWait | None,
        now: float,
        projects: Mapping[str, str],
        rates: Rates,
    ) -> AppView:
        mine = sorted(found, key=lambda i: (i.slot, i.id))
        command = app.app.command or app.app.script or ""
        project, name = split_name(app.name)
        return AppView(
            name=name,
            project=projects.get(project, project),
            state=app_state(
                app,
                mine,
                waits=wait is not None,
                is_here=self._intent.desired.is_here(app.app),
            ),
            instances=tuple(self._instance(i, app, now, rates.instances.get(i.id)) for i in mine),
            wanted=0 if app.stopped else app.instances,
            machines=parts(
                app.name,
                app.app,
                self._intent.desired.machines,
                self._intent.drained_machines,
            ),
            balance=str(app.app.balance),
            command=command if isinstance(command, str) else " ".join(command),
            cwd=app.spec.working_folder,
            waits=wait.why if wait else "",
            schedule=app.app.schedule or "",
            next_run=self._next_run(app),
            traffic=rates.apps.get(app.name),
        )

    def _next_run(self, app: DesiredApp) -> float | None:
        if app.stopped or not app.app.schedule:
            return None
        return self._instances.timetable.next(app.name)

    def _instance(
        self, i: Instance, app: DesiredApp, now: float, traffic: TrafficView | None
    ) -> InstanceView:
        process = i.process if i.state in LIVE_STATES else None
        memory, cpu, seconds = self._processes.usage(process) if process else (0, 0.0, 0.0)
        return InstanceView(
            id=i.id,
            slot=i.slot,
            pid=process.pid if process else None,
            port=i.port,
            state=i.state,
            restarts=i.restarts,
            uptime_s=round(now - i.spawned, 1) if process else 0.0,
            memory_bytes=memory,
            cpu_percent=cpu,
            cpu_s=seconds,
            current=i.spec == app.spec.id,
            reason=(i.trouble or self._waits_for(i)) if i.state is S.STARTING else i.reason,
            worn=i.worn,
            says=self._instances.readiness.status_text(i),
            exit_code=i.ended.exit.code if i.ended else None,
            ran_s=round(i.ended.seconds, 1) if i.ended else None,
            connections=self._activity.connections.get(i.port, 0),
            traffic=traffic,
            machine=self._intent.desired.machine,
        )

    def _waits_for(self, i: Instance) -> str:
        return self._instances.supervision.waits_for(i) if i.state is S.STARTING else ""

    def waits_for(self, apps: Collection[str]) -> str:
        """What is still wrong with an instance of these apps that is starting."""
        known = self._observed.instances.values()
        found = ((i.id, self._waits_for(i)) for i in known if i.app in apps)
        return next((f"{instance} {why}" for instance, why in found if why), "")

    def _nginx(self, seen: NginxSeen) -> NginxView:
        build = self._intent.build
        return NginxView(
            pid=seen.pid,
            version=seen.version or (build.version_text if build else ""),
            generation=seen.generation,
            program=seen.program or (build.program if build else ""),
            outdated=seen.outdated,
            openssl=build.openssl if build else "",
            warning=nginx_warning(build, self._clock.now()) if build else "",
            workers=self._activity.nginx.workers,
            connections=self._activity.clients,
            reloads=self._activity.nginx.reloads,
        )

    def _daemon_now(self) -> DaemonView:
        memory = resident_bytes()
        uptime = round(self._clock.monotonic() - self._begun, 1)
        return self._daemon.model_copy(update={"memory_bytes": memory, "uptime_s": uptime})


def _drain_notes(desired: Desired) -> Iterator[str]:
    if desired.drained:
        yield "this machine is drained; `portico cluster undrain` starts its apps again"


def _site(
    name: str,
    desired: Desired,
    *,
    project: str,
    paused: bool,
    served: ServedCertificates,
    traffic: TrafficView | None,
) -> SiteView:
    site, certificate = desired.sites[name], ""
    if site.https and desired.own_certificate(name):
        certificate = "own"
    elif site.https:
        first = served.of_site((name,), lineage_names(desired, name))[0]
        certificate = "authority" if first.certificates else "local"
    return SiteView(
        name=name,
        project=project,
        urls=site_urls(name, site, desired.listeners),
        to=_target(site),
        certificate=certificate,
        paused=paused,
        held=desired.holds.get(name, 0.0),
        traffic=traffic,
    )


def _target(site: Site | Stream) -> str:
    folder = "" if isinstance(site, Stream) else _folder(site.folder)
    first = f"{folder}, " if folder else ""
    if site.app:
        return f"{first}app {split_name(site.app)[1]}"
    if site.upstream:
        return f"{first}upstream {split_name(site.upstream)[1]}"
    if isinstance(site, Stream):
        return f"{len(site.server_names)} names"
    if folder:
        return folder
    if site.redirect:
        return "redirect"
    return f"{len(site.routes)} routes"


def _folder(folder: str | Folder | None) -> str:
    path = folder.path if isinstance(folder, Folder) else folder
    return f"folder {path}" if path else ""

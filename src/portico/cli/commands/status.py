"""`portico status`: what runs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from portico import __version__
from portico.cli.arguments import Parser, json_option
from portico.cli.cluster import machines as others
from portico.cli.formatting import duration, size, time_text
from portico.cli.session import Session
from portico.cli.states import STATES
from portico.core.model import verbs
from portico.core.model.labels import app_or_instance
from portico.core.model.moments import moment

if TYPE_CHECKING:
    from portico.core.model.machine_views import MachineAppView, MachineInstanceView, MachineView
    from portico.core.model.views import AppView, InstanceView, StatusView, TrafficView

    AnyApp = AppView | MachineAppView
    AnyInstance = InstanceView | MachineInstanceView

TRAFFIC_HEADS: Final = ("req/s", "p50", "p95", "5xx")
"""Of the last minute."""
STREAM_HEADS: Final = ("conn/s", *TRAFFIC_HEADS[1:])
"""Of connections that have ended; times are how long they lasted."""
HEADS: Final = (
    "app",
    "instance",
    "pid",
    "port",
    "state",
    "restarts",
    "uptime",
    "cpu",
    "memory",
    *TRAFFIC_HEADS,
)
NAMES: Final = ("machine", "project", "app", "instance", "target")
SPARE_COLUMNS: Final = ("pid", "port", "uptime")
STATE: Final = HEADS.index("state")
ROUND_RATE: Final = 100
"""Requests per second from which on no decimals are shown."""


def options(parser: Parser) -> None:
    parser.add_argument(
        "app",
        metavar="APP",
        nargs="?",
        type=app_or_instance,
        help="name of an app or project; default: all",
    )
    parser.add_argument("--machine", metavar="NAME", help="only this machine of the cluster")
    parser.add_argument("--here", action="store_true", help="only this machine")
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    status = client.ask(verbs.STATUS, app=args.app)
    machines = others.ask_machines(client, status, args.machine, here=args.here)
    if session.json:
        session.show_json({**dict(status), "machines": machines} if status.machine else status)
        return
    if args.machine and machines:
        _instances(session, status, (), machines)
        _machines(session, status, machines)
        _reports(session, status, machines)
        return
    _instances(session, status, status.apps, machines)
    _sites(session, status)
    _streams(session, status)
    _upstreams(session, status)
    _machines(session, status, machines)
    for app in status.apps:
        write_reasons(session, app)
    _write_footer(session, status)
    _reports(session, status, machines)


def instance_row(app: str, instance: AnyInstance) -> tuple[str, ...]:
    """What another machine does not say of it is `-`."""
    cpu, memory, uptime = instance.cpu_percent, instance.memory_bytes, instance.uptime_s
    return (
        app,
        instance.id,
        str(instance.pid or "-"),
        str(instance.port or "-"),
        instance.state or "-",
        "-" if instance.restarts is None else str(instance.restarts),
        duration(uptime) if instance.pid and uptime is not None else "-",
        "-" if cpu is None else f"{cpu:.1f}%",
        "-" if memory is None else size(memory),
        *_traffic(instance.traffic),
    )


def _traffic(traffic: TrafficView | None) -> tuple[str, ...]:
    if traffic is None:
        return ("-",) * len(TRAFFIC_HEADS)
    return (
        f"{traffic.requests_s:.{1 if traffic.requests_s < ROUND_RATE else 0}f}",
        *("-" if time is None else time_text(time) for time in (traffic.p50_s, traffic.p95_s)),
        str(traffic.errors),
    )


def write_reasons(session: Session, app: AnyApp, machine: str = "") -> None:
    """Why instances are not as they should be, and when the next one is to run."""
    write, at = session.terminal.write, f"{machine}: " if machine else ""
    if app.next_run is not None:
        write(f"{at}{app.name} runs next at {moment(app.next_run)}")
    if app.waits:
        write(f"{at}{app.name} {app.waits}")
    for instance in app.instances:
        if instance.worn:
            write(f"{at}{instance.id} will be replaced: {instance.worn}")
        if instance.says:
            write(f"{at}{instance.id} reports: {instance.says}")
        if instance.reason and instance.state != "ready":
            name = instance.state or "not ready"
            state = session.terminal.out.paint(name, STATES.get(name, ""))
            write(f"{at}{instance.id} is {state}: {instance.reason}")


def _instances(
    session: Session,
    status: StatusView,
    own: Sequence[AppView],
    machines: Sequence[MachineView],
) -> None:
    """A row an instance, by machine where there are several."""
    if not machines:
        if own:
            rows = [(app.project, *row) for app in own for row in _rows(app)]
            _table(session, status, HEADS, rows)
        elif not status.projects:
            session.terminal.write("no app is running; start with `portico up`")
        return
    apps: list[tuple[str, AnyApp]] = [(status.machine, app) for app in own]
    apps += [(each.name, app) for each in machines for app in others.apps_of(each, status)]
    rows = [
        (app.project, machine, *row)
        for machine, app in apps
        if others.is_shown(app)
        for row in _rows(app)
    ]
    if rows:
        _table(session, status, ("machine", *HEADS), rows)


def _rows(app: AnyApp) -> list[tuple[str, ...]]:
    if not app.instances:
        nothing = ("-",) * (len(HEADS) - STATE - 1)
        return [(app.name, *("-",) * (STATE - 1), app.state or "-", *nothing)]
    return [instance_row(app.name, instance) for instance in app.instances]


def _table(
    session: Session, status: StatusView, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> None:
    """Rows begin with the project, which is shown where there are several."""
    if len(status.projects) > 1:
        session.terminal.table(("project", *heads), rows, STATES, names=NAMES, spare=SPARE_COLUMNS)
    else:
        plain = [row[1:] for row in rows]
        session.terminal.table(heads, plain, STATES, names=NAMES, spare=SPARE_COLUMNS)


def _sites(session: Session, status: StatusView) -> None:
    if status.sites:
        session.terminal.write()
        rows = [
            (
                site.project,
                " ".join(site.urls) or site.name,
                "held" if site.held else "paused" if site.paused else site.to,
                site.certificate or "-",
                *_traffic(site.traffic),
            )
            for site in status.sites
        ]
        _table(session, status, ("site", "target", "certificate", *TRAFFIC_HEADS), rows)


def _streams(session: Session, status: StatusView) -> None:
    if status.streams:
        session.terminal.write()
        rows = [
            (each.project, " ".join(each.addresses), each.to, *_traffic(each.traffic))
            for each in status.streams
        ]
        _table(session, status, ("stream", "target", *STREAM_HEADS), rows)


def _upstreams(session: Session, status: StatusView) -> None:
    if status.upstreams:
        session.terminal.write()
        rows = [
            (
                upstream.project,
                upstream.name,
                server.address,
                "healthy" if server.healthy else "unhealthy",
                server.reason or "-",
            )
            for upstream in status.upstreams
            for server in upstream.servers
        ]
        _table(session, status, ("upstream", "server", "health check", "last problem"), rows)


def _machines(session: Session, status: StatusView, machines: Sequence[MachineView]) -> None:
    if machines:
        session.terminal.write()
        rows = [others.machine_row(each, status.machine) for each in machines]
        session.terminal.table(others.HEADS, rows, STATES, names=("ready there", "last problem"))


def _reports(session: Session, status: StatusView, machines: Sequence[MachineView]) -> None:
    """What the other machines say is wrong with them."""
    for each in machines:
        for app in others.apps_of(each, status):
            write_reasons(session, app, each.name)
        for trouble in each.status.troubles if each.status else ():
            session.terminal.write_labelled("problem", f"{each.name}: {trouble}")


def _write_footer(session: Session, status: StatusView) -> None:
    nginx, daemon = status.nginx, status.daemon
    openssl = f", {nginx.openssl}" if nginx.openssl else ""
    runs = f"nginx {nginx.version} (pid {nginx.pid}, generation {nginx.generation}{openssl})"
    line = (
        f"{runs if nginx.pid else 'nginx is not running'}; porticod {daemon.version} "
        f"(pid {daemon.pid}, {size(daemon.memory_bytes)}); {daemon.home}"
    )
    session.terminal.write()
    session.terminal.write(session.terminal.out.paint(line, "dim"))
    if nginx.warning:
        session.terminal.write_labelled("warning", nginx.warning)
    troubles = [*status.troubles]
    if daemon.version != __version__:
        troubles.append(
            f"portico is {__version__} but the daemon is {daemon.version}; run `portico upgrade` "
            "to replace it"
        )
    for trouble in troubles:
        session.terminal.write_labelled("problem", trouble)
    for note in status.notes:
        session.terminal.write_labelled("note", note)

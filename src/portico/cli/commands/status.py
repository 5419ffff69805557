"""`portico status`: what runs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from portico import __version__
from portico.cli.arguments import Parser, json_option
from portico.cli.formatting import duration, size, time_text
from portico.cli.session import Session
from portico.cli.states import STATES
from portico.core.model import verbs
from portico.core.model.labels import app_or_instance
from portico.core.model.moments import moment

if TYPE_CHECKING:
    from portico.core.model.views import AppView, InstanceView, StatusView, TrafficView

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
NAMES: Final = ("project", "app", "instance", "target")
SPARE: Final = ("pid", "port", "uptime")
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
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    status = session.client().ask(verbs.STATUS, app=args.app)
    if session.json:
        session.show_json(status)
        return
    if status.apps:
        rows = [(app.project, *row) for app in status.apps for row in _rows(app)]
        _table(session, status, HEADS, rows)
    elif not status.projects:
        session.terminal.write("no app is running; start with `portico up`")
    _sites(session, status)
    _streams(session, status)
    _upstreams(session, status)
    _machines(session, status)
    for app in status.apps:
        write_reasons(session, app)
    _rest(session, status)


def instance_row(app: str, instance: InstanceView) -> tuple[str, ...]:
    return (
        app,
        instance.id,
        str(instance.pid or "-"),
        str(instance.port or "-"),
        instance.state,
        str(instance.restarts),
        duration(instance.uptime_s) if instance.pid else "-",
        f"{instance.cpu_percent:.1f}%",
        size(instance.memory_bytes),
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


def write_reasons(session: Session, app: AppView) -> None:
    """Why instances are not as they should be, and when the next one is to run."""
    if app.next_run is not None:
        session.terminal.write(f"{app.name} runs next at {moment(app.next_run)}")
    if app.waits:
        session.terminal.write(f"{app.name} {app.waits}")
    for instance in app.instances:
        if instance.worn:
            session.terminal.write(f"{instance.id} will be replaced: {instance.worn}")
        if instance.says:
            session.terminal.write(f"{instance.id} reports: {instance.says}")
        if instance.reason and instance.state != "ready":
            state = session.terminal.out.paint(instance.state, STATES.get(instance.state, ""))
            session.terminal.write(f"{instance.id} is {state}: {instance.reason}")


def _rows(app: AppView) -> list[tuple[str, ...]]:
    if not app.instances:
        nothing = ("-",) * (len(HEADS) - STATE - 1)
        return [(app.name, *("-",) * (STATE - 1), app.state, *nothing)]
    return [instance_row(app.name, instance) for instance in app.instances]


def _table(
    session: Session, status: StatusView, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> None:
    """Rows begin with the project, which is shown where there are several."""
    if len(status.projects) > 1:
        session.terminal.table(("project", *heads), rows, STATES, names=NAMES, spare=SPARE)
    else:
        plain = [row[1:] for row in rows]
        session.terminal.table(heads, plain, STATES, names=NAMES, spare=SPARE)


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


def _machines(session: Session, status: StatusView) -> None:
    if status.neighbours:
        session.terminal.write()
        rows = [
            (
                each.name,
                each.address,
                ("drained" if each.drained else "reached") if each.reached else "not reached",
                ", ".join(f"{app} ({count})" for app, count in each.apps.items()) or "-",
                each.reason or "-",
            )
            for each in status.neighbours
        ]
        session.terminal.table(
            ("other machine", "address", "state", "ready there", "last problem"), rows, STATES
        )


def _rest(session: Session, status: StatusView) -> None:
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

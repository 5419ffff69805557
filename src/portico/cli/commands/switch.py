"""`portico switch`: takes the ports of another nginx over without refusing a connection."""

from __future__ import annotations

import os
import signal
import socket
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from portico.cli import documents
from portico.cli.arguments import Parser, file_arguments
from portico.cli.formatting import several
from portico.cli.local_file import local_file
from portico.cli.session import Session
from portico.cli.watching import watch
from portico.client.client import Client
from portico.core.model import verbs
from portico.core.model.desired import Desired
from portico.core.model.names import is_local_name
from portico.errors import Failed, PorticoError, Refused
from portico.importers.read import ImportedFile
from portico.importers.sites import tables
from portico.stack.switching import pm2, record
from portico.stack.switching.answers import Answer, Place, ask, differences
from portico.stack.switching.other_nginx import OtherNginx, find_nginx
from portico.system.listening import listening_ports, listening_sockets
from portico.system.waiting import wait_for

EXIT_TIMEOUT: Final = 90.0
"""Seconds. An nginx that leaves finishes its requests first."""
_MIGRATION: Final = Path("/proc/sys/net/ipv4/tcp_migrate_req")


@dataclass(frozen=True, slots=True)
class _Switch:
    session: Session
    found: ImportedFile
    """Apps whose ports are taken until the switch have others."""
    moved: tuple[str, ...]
    """The names of those apps."""
    desired: Desired
    project: str
    is_new: bool
    """Whether the project is not in force yet."""
    other: OtherNginx
    pm2_apps: list[pm2.Pm2App]

    def record(self, stopped: Sequence[pm2.Pm2App] = ()) -> None:
        """Write down what has been taken over by now."""
        ports = listening_ports([each.pid for each in stopped if each.pid])
        ids = tuple(each.id for each in stopped)
        kept = record.Record(self.other, ids, tuple(sorted(ports)), self.project)
        record.write(self.session.home.path, kept)


def options(parser: Parser) -> None:
    file_arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="show the steps, and change nothing"
    )
    parser.add_argument("--back", action="store_true", help="give back what was taken over")
    parser.add_argument(
        "--force", action="store_true", help="also if a site does not answer as before"
    )


def run(session: Session, args: Namespace) -> None:
    if args.back:
        _give_back(session, record.read(session.home.path))
        return
    switch = _prepared(session, documents.read(session, args))
    steps = list(_steps(switch))
    if args.dry_run:
        for number, step in enumerate(steps, 1):
            session.terminal.write(f"{number}. {step}")
        return
    _take_over(switch, force=args.force)


def _prepared(session: Session, found: ImportedFile) -> _Switch:
    local = local_file(found)
    desired, project = local.desired, local.project
    if not desired.sites:
        raise Refused(f"{found.source} has no site, so there is nothing to take over")
    client = session.client(start=True)
    ports = {desired.listeners.http, desired.listeners.https}
    status = client.ask(verbs.STATUS)
    other = find_nginx(ports, status.nginx.pid)
    if other is None:
        named = " or ".join(map(str, sorted(ports)))
        raise Refused(
            f"no other nginx listens on port {named}: `portico up {found.source}` is enough"
        )
    _refuse_orders(client, desired, found.source)
    apps = pm2.apps_of(desired, session.environ)
    is_new = project not in {each.name for each in status.projects}
    moved = tuple(_on_taken_ports(desired))
    found = replace(found, table=_without_ports(found.table, moved))
    return _Switch(session, found, moved, desired, project, is_new, other, apps)


def _on_taken_ports(desired: Desired) -> Iterator[str]:
    """The apps that are to listen where a program of the old stack still does."""
    taken = {each.port for each in listening_sockets()}
    for name, app in desired.apps.items():
        if taken & {app.app.pinned(slot) for slot in range(1, app.instances + 1)}:
            yield name


def _without_ports(table: Mapping[str, object], apps: Collection[str]) -> Mapping[str, object]:
    found = tables(table.get("apps"))
    moved = {
        name: {key: value for key, value in app.items() if key != "port"} if name in apps else app
        for name, app in found.items()
    }
    return {**table, "apps": moved}


def _refuse_orders(client: Client, desired: Desired, source: str) -> None:
    """While the other nginx has port 80, no authority could be answered."""
    held = {name for view in client.ask(verbs.CERTIFICATES) for name in view.names if view.serial}
    for name, site in desired.sites.items():
        missing = {each for each in (name, *site.aliases) if not is_local_name(each)} - held
        if site.https and desired.issuing(name) and missing:
            raise Refused(
                f"{source}: {', '.join(sorted(missing))} has no certificate here, and none can be "
                "obtained before the switch: run `portico certs import FOLDER` with certbot's "
                "folder, or name the files by `certificate` and `key`; nothing was changed"
            )


def _steps(switch: _Switch) -> Iterator[str]:
    listeners = switch.desired.listeners
    sites = ", ".join(map(str, _places(switch.desired, listeners.http, listeners.https)))
    yield f"ask {sites} of nginx {switch.other.pid} ({switch.other.program})"
    yield f"start {switch.project} on ports of its own, and compare its answers"
    yield f"take connections on the sockets of nginx {switch.other.pid}, then have it leave"
    yield "compare the answers again; give everything back if a site does not answer as before"
    for app in switch.pm2_apps:
        yield f"stop {app.name} of PM2"
    for name in switch.moved:
        yield f"leave {name} on free ports; the next `portico up` moves it to those of the file"


def _places(desired: Desired, http: int, https: int) -> Iterator[Place]:
    for name, site in desired.sites.items():
        for each in (name, *site.aliases):
            if "*" not in each:
                yield Place(each, tls=False, port=http)
                if site.https:
                    yield Place(each, tls=True, port=https)


def _take_over(switch: _Switch, *, force: bool) -> None:
    session, listeners = switch.session, switch.desired.listeners
    client = session.client(start=True)
    before = [
        (place, ask(place), ask(place))
        for place in _places(switch.desired, listeners.http, listeners.https)
    ]
    session.terminal.write_stderr(f"  {len(before)} addresses of nginx {switch.other.pid} asked")
    trial = _free_ports()
    try:
        _up(switch, client, _on_trial_ports(switch, *trial))
        _compare(switch, before, dict(zip((False, True), trial, strict=True)), force=force)
        client.ask(verbs.INHERIT, pid=switch.other.pid)
        _up(switch, client, switch.found.table)
    except PorticoError:
        client.ask(verbs.INHERIT, pid=None)  # what is restored has ports of its own
        _restore(switch, client)
        raise
    switch.record()
    os.kill(switch.other.pid, signal.SIGQUIT)
    if not wait_for(lambda: not switch.other.is_running, EXIT_TIMEOUT):
        session.terminal.write_labelled(
            "note", f"nginx {switch.other.pid} still finishes requests; it takes no new ones"
        )
    try:
        ports = {False: listeners.http, True: listeners.https}
        _compare(switch, before, ports, force=force, holds="which serves again")
    except Failed:
        _give_back(session, record.read(session.home.path))
        raise
    switch.record(switch.pm2_apps)
    pm2.stop([each.id for each in switch.pm2_apps], session.environ)
    _report(switch)


def _on_trial_ports(switch: _Switch, http: int, https: int) -> Mapping[str, object]:
    """The same file on loopback, with addresses that clients see as they are."""
    edge = switch.found.table.get("edge")
    listeners = switch.desired.listeners
    trial = {
        **(edge if isinstance(edge, Mapping) else {}),
        "http": http,
        "https": https,
        "bind": ["127.0.0.1"],
        "public_http": listeners.client_http,
        "public_https": listeners.client_https,
    }
    return {**switch.found.table, "edge": trial}


def _up(switch: _Switch, client: Client, table: Mapping[str, object]) -> None:
    request = {**documents.request(switch.found), "table": table}
    watch(switch.session, client, client.ask(verbs.UP, **request))


def _restore(switch: _Switch, client: Client) -> None:
    """What was in force before."""
    if switch.is_new:
        _down(switch.session, client, switch.project)
    else:
        change = client.ask(verbs.ROLLBACK, project=switch.project)
        watch(switch.session, client, change)


def _down(session: Session, client: Client, project: str) -> None:
    change = client.ask(verbs.DOWN, project=project, everything=False, now=False, file="")
    watch(session, client, change)


def _free_ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


def _compare(
    switch: _Switch,
    before: list[tuple[Place, Answer, Answer]],
    ports: Mapping[bool, int],
    *,
    force: bool,
    holds: str = "which keeps serving",
) -> None:
    """Raises Failed where a site does not answer as before, unless `force`."""
    found = [
        f"{place}: {what}"
        for place, first, second in before
        for what in differences(first, second, ask(Place(place.name, place.tls, ports[place.tls])))
    ]
    for each in found:
        switch.session.terminal.write_stderr(f"  {each}")
    if found and not force:
        raise Failed(
            f"{several(len(found), 'difference')} from nginx {switch.other.pid}, {holds}; --force "
            "switches all the same"
        )


def _report(switch: _Switch) -> None:
    if switch.session.json:
        switch.session.show_json({"project": switch.project, "nginx": switch.other.pid})
        return
    session, write = switch.session, switch.session.terminal.write
    write(f"done: {switch.project} serves; nginx {switch.other.pid} has left")
    for name in switch.moved:
        write(f"{name} listens on free ports: `portico up` moves it to those of the file")
    write("next: portico status, portico startup (at boot), portico switch --back (undo)")
    write("These would start at boot, or renew certificates that Portico renews now:")
    write("  nginx: systemctl disable nginx")
    if switch.pm2_apps:
        write("  PM2: pm2 unstartup")
    for each in session.client().ask(verbs.RENEWERS):
        write(f"  {each.where}: {each.remedy}")


def _give_back(session: Session, kept: record.Record) -> None:
    """Start what served before on our sockets, then leave."""
    client = session.client()
    own = client.ask(verbs.STATUS).nginx.pid
    if own is None:
        raise Refused("nginx of Portico does not run, so it has nothing to give back")
    pm2.start(kept.pm2, session.environ)
    if not wait_for(lambda: all(map(_is_taken, kept.ports)), EXIT_TIMEOUT):
        raise Failed("the programs of PM2 do not listen again; Portico keeps serving")
    kept.nginx.start_on_sockets_of(own, session.environ)
    with _migrated_connections():
        _down(session, client, kept.project)
    record.remove(session.home.path)
    if not session.json:
        session.terminal.write(f"done: {kept.nginx.program} serves again")


def _is_taken(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def _migrated_connections() -> Iterator[None]:
    """Connections that wait at a socket which one nginx closes go to that of the other. Linux
    before 5.14 resets them.
    """
    before = ""
    with suppress(OSError):
        before = _MIGRATION.read_text()
        _MIGRATION.write_text("1")
    try:
        yield
    finally:
        with suppress(OSError):
            if before:
                _MIGRATION.write_text(before)

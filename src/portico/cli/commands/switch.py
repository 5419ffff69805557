"""`portico switch`: takes the ports of another nginx over without refusing a connection."""

from __future__ import annotations

import socket
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from portico.cli import documents
from portico.cli.arguments import Parser, file_arguments
from portico.cli.formatting import count_text
from portico.cli.session import Session
from portico.cli.switching.giving_back import down, give_back, leave, migrated_connections
from portico.cli.switching.prepare import Switch, places, prepare_switch, steps
from portico.cli.watching import watch
from portico.client.client import Client
from portico.core.model import nginx_verbs, verbs
from portico.errors import Failed, PorticoError
from portico.stack.switching import pm2, record
from portico.stack.switching.answers import Answer, SiteAddress, ask, differences
from portico.stack.switching.jobs import Job, disable
from portico.system.waiting import wait_for

DRAIN_TIMEOUT: Final = 90.0
"""Seconds. nginx keeps an idle connection for 75 s where its files do not say."""


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
        give_back(session, record.read(session.home.path))
        return
    switch = prepare_switch(session, documents.read(session, args))
    if args.dry_run:
        for number, step in enumerate(steps(switch), 1):
            session.terminal.write(f"{number}. {step}")
        return
    _take_over(switch, force=args.force)


def _take_over(switch: Switch, *, force: bool) -> None:
    session, listeners = switch.session, switch.desired.listeners
    client = session.client(start=True)
    before = [
        (place, ask(place), ask(place))
        for place in places(switch.desired, listeners.http, listeners.https)
    ]
    session.terminal.write_stderr(f"  {len(before)} addresses of nginx {switch.other.pid} asked")
    trial = _free_ports()
    try:
        _up(switch, client, _on_trial_ports(switch, *trial))
        _compare(switch, before, dict(zip((False, True), trial, strict=True)), force=force)
        client.ask(nginx_verbs.INHERIT, pid=switch.other.pid)
        _up(switch, client, switch.found.table)
    except PorticoError:
        client.ask(nginx_verbs.INHERIT, pid=None)  # what is restored has ports of its own
        _restore(switch, client)
        raise
    switch.record()
    ports = {False: listeners.http, True: listeners.https}
    with _compared_after(switch, client):
        _compare(switch, before, ports, force=force, holds="which serves again")
    switch.record(switch.pm2_apps)
    pm2.stop([each.id for each in switch.pm2_apps], session.environ)
    disabled: list[Job] = []
    for job in _disable(switch):
        disabled.append(job)
        switch.record(switch.pm2_apps, disabled)
    _report(switch, disabled)


@contextmanager
def _compared_after(switch: Switch, client: Client) -> Iterator[None]:
    """Have the other nginx take no new connections, and leave if what is compared then agrees."""
    session, other = switch.session, switch.other
    try:
        watches = other.stop_accepting(session.environ)
    except Failed as error:
        session.terminal.write_labelled(
            "note", f"{error}; nginx {other.pid} exits at once, and closes its idle connections"
        )
        leave(session, other)
        try:
            yield
        except Failed:
            give_back(session, record.read(session.home.path))
            raise
        return
    try:
        yield
    except Failed:
        other.start_accepting(watches, session.environ)
        client.ask(nginx_verbs.INHERIT, pid=None)
        with migrated_connections():
            _restore(switch, client)
        record.remove(session.home.path)
        raise
    _wait_for_connections(switch)
    leave(session, other)


def _wait_for_connections(switch: Switch) -> None:
    """To end by themselves: by the other's `keepalive_timeout`, or after `keepalive_requests`."""
    listeners, other = switch.desired.listeners, switch.other
    ports = {listeners.http, listeners.https}
    if count := other.connections(ports):
        switch.session.terminal.write_stderr(
            f"  nginx {other.pid} takes no new connections; waiting up to {DRAIN_TIMEOUT:g} s for "
            f"{count_text(count, 'connection')} to end"
        )
    wait_for(lambda: not other.connections(ports), DRAIN_TIMEOUT, every=0.2)


def _on_trial_ports(switch: Switch, http: int, https: int) -> Mapping[str, object]:
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


def _up(switch: Switch, client: Client, table: Mapping[str, object]) -> None:
    request = {**documents.request(switch.found), "table": table}
    watch(switch.session, client, client.ask(verbs.UP, **request))


def _restore(switch: Switch, client: Client) -> None:
    """What was in force before."""
    if switch.is_new:
        down(switch.session, client, switch.project)
    else:
        change = client.ask(verbs.ROLLBACK, project=switch.project)
        watch(switch.session, client, change)


def _free_ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


def _compare(
    switch: Switch,
    before: list[tuple[SiteAddress, Answer, Answer]],
    ports: Mapping[bool, int],
    *,
    force: bool,
    holds: str = "which keeps serving",
) -> None:
    """Raises Failed where a site does not answer as before, unless `force`."""
    found = [
        f"{place}: {what}"
        for place, first, second in before
        for what in differences(
            first, second, ask(SiteAddress(place.name, place.tls, ports[place.tls]))
        )
    ]
    for each in found:
        switch.session.terminal.write_stderr(f"  {each}")
    if found and not force:
        raise Failed(
            f"{count_text(len(found), 'difference')} from nginx {switch.other.pid}, {holds}; "
            "--force switches all the same"
        )


def _disable(switch: Switch) -> Iterator[Job]:
    """What was disabled; what could not be is said."""
    for job in switch.jobs:
        try:
            disable(job, switch.session.environ)
        except Failed as error:
            switch.session.terminal.write_labelled("note", f"{job} could not be disabled: {error}")
        else:
            yield job


def _report(switch: Switch, disabled: list[Job]) -> None:
    session, write = switch.session, switch.session.terminal.write
    if session.json:
        names = [str(each) for each in disabled]
        view = {"project": switch.project, "nginx": switch.other.pid, "disabled": names}
        session.show_json(view)
        return
    write(f"done: {switch.project} serves; nginx {switch.other.pid} has exited")
    for name in switch.moved:
        write(f"{name} listens on free ports: `portico up` moves it to those of the file")
    for job in disabled:
        write(f"disabled {job}; to undo only this: {job.undo}")
    for each in switch.left:
        write(
            f"{each.what} in {each.where} still renews certificates; disable it if it does so for "
            "names of this file"
        )
    write("next: portico status, portico startup (at boot), portico switch --back (undo)")

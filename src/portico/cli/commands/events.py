"""`portico events`: what was done, why, and who asked for it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from portico.cli.arguments import Parser, json_option, time_options, whole_number
from portico.cli.session import Session
from portico.client.client import Client
from portico.core.model import verbs
from portico.core.model.labels import app_or_instance
from portico.core.model.moments import moment
from portico.errors import Failed, Refused, Unreachable
from portico.system.waiting import pause

if TYPE_CHECKING:
    from portico.core.model.views import EventView

DEFAULT_COUNT: Final = 100
FOLLOW_COUNT: Final = 10
MAX_SHOWN: Final = 1_000_000
RECONNECT_INTERVAL: Final = 0.5
"""Seconds between two looks for the next daemon."""


def options(parser: Parser) -> None:
    about = "only of this app, instance, project, site or certificate"
    parser.add_argument("app", metavar="APP", nargs="?", type=app_or_instance, help=about)
    parser.add_argument(
        "--app", metavar="APP", dest="named", type=app_or_instance, help="the same as APP"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="show new events as they happen"
    )
    parser.add_argument(
        "-n",
        "--lines",
        type=whole_number,
        metavar="N",
        help=f"show the last N events; default: {DEFAULT_COUNT}, with --since or --until all",
    )
    time_options(parser)
    parser.add_argument(
        "--kind", metavar="KIND[,KIND]", help="only of these kinds, such as exit,failed"
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="only of this machine of the cluster; default: all, with --follow this one",
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    if args.app and args.named:
        raise Refused("APP is given twice")
    if args.follow and args.until is not None:
        raise Refused("--follow cannot be combined with --until")
    client, wanted = session.client(), {"app": args.app or args.named, "kind": args.kind}
    machines = _machines(client, args.machine, follow=args.follow)
    newest = _newest(client) if args.follow else 0
    times = {"since": args.since, "until": args.until}
    events = _events(session, client, machines, _count(args), {**wanted, **times})
    has_projects = len({each.project for each in events if each.project}) > 1
    if session.json:
        _print_json(session, events)
    elif events or not args.follow:
        in_cluster = len(machines) > 1
        heads = ("time", *(["project"] if has_projects else []), "event", "of", "why")
        rows = [_row(each, has_projects=has_projects) for each in events]
        if in_cluster:
            heads = ("machine", *heads)
            rows = [(e.machine, *row) for e, row in zip(events, rows, strict=True)]
        session.terminal.table(heads, rows)
    if args.follow:
        for each in followed(session, client, max([newest, *(e.number for e in events)]), wanted):
            if session.json:
                _print_json(session, [each])
            else:
                session.terminal.write("  ".join(_row(each, has_projects=has_projects)))


def followed(
    session: Session, client: Client, after: int, wanted: dict[str, object]
) -> Iterator[EventView]:
    """Those behind that number as they come, from this daemon and the next ones."""
    is_said = False
    while True:
        try:
            for each in client.stream(verbs.FOLLOW_EVENTS, lambda: None, after=after, **wanted):
                yield each
                after, is_said = each.number, False
        except Unreachable:
            pass
        if not client.answers() and not is_said:
            session.terminal.write_stderr("the daemon is not running; waiting for the next one")
            is_said = True
        pause(RECONNECT_INTERVAL)


def as_line(event: EventView) -> str:
    """A line of JSON, as docs/logs-and-events.md describes it."""
    return json.dumps({"time": moment(event.at), **event}).replace("\x7f", "\\u007f")  # type: ignore[dict-item]  # a Record


def _machines(client: Client, machine: str | None, *, follow: bool) -> list[str | None]:
    """Whose events are shown, by name; this one has none where it is alone."""
    status = client.ask(verbs.STATUS)
    own = status.machine or None
    if follow and machine not in {None, own}:
        raise Refused("--follow shows this machine only; run it on that machine")
    if machine:
        return [machine]
    if follow:
        return [None]
    return [own, *(each.name for each in status.neighbours)]


def _events(
    session: Session,
    client: Client,
    machines: list[str | None],
    count: int,
    wanted: dict[str, object],
) -> list[EventView]:
    """The newest so many of all of them, oldest first."""
    found: list[EventView] = []
    for machine in machines:
        try:
            found += reversed(client.events(count, machine=machine, **wanted))
        except Failed as error:
            if len(machines) == 1:
                raise
            session.terminal.write_labelled("note", str(error))
    return sorted(found, key=lambda each: each.at)[-count:] if len(machines) > 1 else found


def _newest(client: Client) -> int:
    """The number of the newest event of any kind, from which to follow. It is asked before the
    list is, so that what happens between the two is shown.
    """
    newest = client.ask(verbs.EVENTS, count=1)
    return newest[0].number if newest else 0


def _count(args: Namespace) -> int:
    if args.lines is not None:
        return int(args.lines)
    if args.since is not None or args.until is not None:
        return MAX_SHOWN
    return FOLLOW_COUNT if args.follow else DEFAULT_COUNT


def _print_json(session: Session, events: list[EventView]) -> None:
    for each in events:
        session.terminal.write_raw(as_line(each))


def _row(event: EventView, *, has_projects: bool) -> tuple[str, ...]:
    why = f"{event.text}: {event.command}" if event.command else event.text
    subject = event.subject.replace("*", "all")
    project = [event.project] if has_projects else []
    if has_projects:
        subject = subject.removeprefix(f"{event.project}/")
    return (moment(event.at), *project, event.kind, subject, why)

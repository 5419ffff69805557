"""`portico events`: what was done, why, and who asked for it."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from portico.cli.arguments import Parser, json_option, time_options, whole_number
from portico.cli.event_tail import MAX_EVENTS, EventTail, cursor_with
from portico.cli.session import Session
from portico.client.client import Client
from portico.core.model import verbs
from portico.core.model.labels import app_or_instance
from portico.core.model.moments import moment
from portico.errors import Failed, Refused

if TYPE_CHECKING:
    from portico.core.model.views import EventView

DEFAULT_COUNT: Final = 100
FOLLOW_COUNT: Final = 10


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
        help="only of this machine of the cluster; default: all",
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    if args.app and args.named:
        raise Refused("APP is given twice")
    if args.follow and args.until is not None:
        raise Refused("--follow cannot be combined with --until")
    client, wanted = session.client(), {"app": args.app or args.named, "kind": args.kind}
    own, machines = _machines(client, args.machine)
    tail = EventTail(client, own, wanted)
    cursors = {each: tail.newest(each) for each in machines} if args.follow else {}
    times = {"since": args.since, "until": args.until}
    events = _events(session, client, machines, _count(args), {**wanted, **times})
    in_cluster = len(machines) > 1
    has_projects = len({each.project for each in events if each.project}) > 1
    if session.json:
        _print_json(session, events)
    elif events or not args.follow:
        machine = ("machine",) if in_cluster else ()
        heads = (*machine, "time", *(["project"] if has_projects else []), "event", "of", "why")
        rows = [_row(e, in_cluster=in_cluster, has_projects=has_projects) for e in events]
        session.terminal.table(heads, rows)
    if args.follow:
        for each in events:
            name = each.machine or own
            cursors[name] = cursor_with(cursors.get(name), each)
        for found in tail.follow(cursors, with_joined=in_cluster):
            if isinstance(found, str):
                session.terminal.write_stderr(found)
            elif session.json:
                _print_json(session, [found])
            else:
                row = _row(found, in_cluster=in_cluster, has_projects=has_projects)
                session.terminal.write("  ".join(row))


def as_line(event: EventView) -> str:
    """A line of JSON, as docs/logs-and-events.md describes it."""
    return json.dumps({"time": moment(event.at), **event}).replace("\x7f", "\\u007f")  # type: ignore[dict-item]  # a Record


def _machines(client: Client, machine: str | None) -> tuple[str, list[str]]:
    """The name of this one, empty where it is alone, and whose events are shown."""
    status = client.ask(verbs.STATUS)
    others = [each.name for each in status.neighbours]
    return status.machine, [machine] if machine else [status.machine, *others]


def _events(
    session: Session,
    client: Client,
    machines: list[str],
    count: int,
    wanted: dict[str, object],
) -> list[EventView]:
    """The newest so many of all of them, oldest first."""
    found: list[EventView] = []
    for machine in machines:
        try:
            found += reversed(client.events(count, machine=machine or None, **wanted))
        except Failed as error:
            if len(machines) == 1:
                raise
            session.terminal.write_labelled("note", str(error))
    return sorted(found, key=lambda each: each.at)[-count:] if len(machines) > 1 else found


def _count(args: Namespace) -> int:
    if args.lines is not None:
        return int(args.lines)
    if args.since is not None or args.until is not None:
        return MAX_EVENTS
    return FOLLOW_COUNT if args.follow else DEFAULT_COUNT


def _print_json(session: Session, events: list[EventView]) -> None:
    for each in events:
        session.terminal.write_raw(as_line(each))


def _row(event: EventView, *, in_cluster: bool, has_projects: bool) -> tuple[str, ...]:
    why = f"{event.text}: {event.command}" if event.command else event.text
    subject = event.subject.replace("*", "all")
    project = [event.project] if has_projects else []
    if has_projects:
        subject = subject.removeprefix(f"{event.project}/")
    machine = [event.machine] if in_cluster else []
    return (*machine, moment(event.at), *project, event.kind, subject, why)

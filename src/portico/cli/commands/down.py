"""`portico down`: stops a project. With the last one nginx ends, and a daemon that a command has
started leaves.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from portico.cli.arguments import Parser, absent_machines, json_option, without_absent_option
from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.client.stopping import EXIT_TIMEOUT, mode_of
from portico.core.model import verbs
from portico.system.waiting import wait_for


def options(parser: Parser) -> None:
    parser.add_argument(
        "project",
        metavar="PROJECT",
        nargs="?",
        help="name of the project; default: that of this folder, or the only one",
    )
    parser.add_argument("--all", action="store_true", help="every project")
    parser.add_argument(
        "--now",
        action="store_true",
        help="do not wait for open requests; give apps one second",
    )
    without_absent_option(parser)
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    from portico.importers.read import file_in  # noqa: PLC0415 - most commands read no file

    client = session.client()
    before = client.ask(verbs.STATUS)
    change = client.ask(
        verbs.DOWN,
        project=args.project,
        everything=args.all,
        now=args.now,
        file=str(file_in(Path.cwd()) or ""),
        **absent_machines(args),
    )
    watch_and_report(session, client, change)
    ends_all = args.all or len(before.projects) <= 1
    if ends_all and mode_of(before.daemon) == "command":
        # So that whoever comes next does not meet it on its way out.
        wait_for(lambda: not client.answers(), EXIT_TIMEOUT)

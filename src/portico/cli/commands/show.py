"""`portico show`: one app in detail."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, app_argument, json_option
from portico.cli.commands.status import HEADS, instance_row, write_reasons
from portico.cli.session import Session
from portico.cli.states import STATES
from portico.core.model import verbs
from portico.errors import NotFound


def options(parser: Parser) -> None:
    app_argument(parser)
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    apps = client.ask(verbs.STATUS, app=args.app).apps
    if len(apps) != 1:
        known = ", ".join(f"{each.project}/{each.name}" for each in apps) or "none"
        raise NotFound(f"{args.app} is a project; its apps: {known}")
    [app] = apps
    if session.json:
        session.show_json(app)
        return
    write = session.terminal.write
    write(f"{session.terminal.out.paint(app.name, 'bold')}: {app.state}, {app.wanted} configured")
    if app.machines:
        write("  machines " + ", ".join(f"{name} ({n})" for name, n in app.machines.items()))
    write(f"  command  {app.command}")
    write(f"  cwd      {app.cwd}")
    write(f"  balance  {app.balance}")
    for path in sorted(
        {file.path for file in client.ask(verbs.LOGS, app=f"{app.project}/{app.name}")}
    ):
        write(f"  log      {path}")
    if app.instances:
        write()
        rows = [instance_row(app.name, each)[1:] for each in app.instances]
        session.terminal.table(HEADS[1:], rows, STATES)
    write_reasons(session, app)

"""`portico up`: applies a file and says where it answers."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Final

from portico.cli import documents
from portico.cli.arguments import Parser, file_arguments
from portico.cli.session import Session
from portico.cli.terminal import Style
from portico.cli.watching import watch

if TYPE_CHECKING:
    from portico.core.model.views import AppView, StatusView

MOST: Final = 8  # instances of an app that are listed one by one
_STATES: Final[dict[str, Style]] = {"ready": "green", "stopped": "dim", "failed": "red"}


def options(parser: Parser) -> None:
    file_arguments(parser)


def run(session: Session, args: Namespace) -> None:
    found = documents.read(session, args)
    client = session.client(start=True)
    change = watch(session, client, client.up(documents.document(found)))
    if session.json:
        session.show_json(change)
    else:
        _show(session, client.status())


def _show(session: Session, status: StatusView) -> None:
    say, paint = session.terminal.say, session.terminal.out.paint
    for site in status.sites:
        for url in site.urls:
            say(f"{paint(url, 'bold')}  {site.to}")
    for app in status.apps:
        state = paint(app.state, _STATES.get(app.state, "yellow"))
        ready = sum(each.state == "ready" for each in app.instances)
        say(f"{app.name}: {state}, {ready} of {app.wanted} answer")
        for instance in app.instances[:MOST]:
            say(f"  {instance.id}  pid {instance.pid or '-'}  {_port(instance.port)}")
        if len(app.instances) > MOST:
            say(f"  and {len(app.instances) - MOST} more: portico show {app.name}")
    for trouble in status.troubles:
        session.terminal.tell(f"{session.terminal.err.paint('trouble', 'red')}: {trouble}")
    say(f"next: {_next(status.apps, local=any(s.certificate == 'local' for s in status.sites))}")


def _port(port: int) -> str:
    return f"port {port}" if port else "listens nowhere"


def _next(apps: tuple[AppView, ...], *, local: bool) -> str:
    one = f" {apps[0].name}" if apps else ""
    words = ["portico status", "portico logs -f", f"portico reload{one}", "portico down"]
    if local:
        words.insert(0, "portico trust (browsers then accept the local certificate)")
    return ", ".join(words)

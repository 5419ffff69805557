"""`portico up`: applies a file and says where it answers."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico import __version__
from portico.cli import documents
from portico.cli.arguments import (
    Parser,
    absent_machines,
    file_arguments,
    without_absent_option,
)
from portico.cli.session import Session
from portico.cli.terminal import Style
from portico.cli.watching import watch, watch_and_report
from portico.client.client import Client
from portico.client.stopping import mode_of
from portico.client.upgrading import is_newer, replace_daemon
from portico.core.model import member_verbs, verbs
from portico.core.model.instance import LEAVING_STATES
from portico.core.model.labels import project_name
from portico.system.cluster_store import has_store

if TYPE_CHECKING:
    from portico.core.model.views import AppView, SiteView, StatusView
    from portico.importers.read import ImportedFile

MAX_LISTED_INSTANCES: Final = 8  # instances of an app that are listed one by one
_STATES: Final[dict[str, Style]] = {"ready": "green", "stopped": "dim", "failed": "red"}


def options(parser: Parser) -> None:
    file_arguments(parser)
    without_absent_option(parser)


def run(session: Session, args: Namespace) -> None:
    if args.path is None and _is_shared(session):
        client = _up_to_date(session, session.client(start=True))
        watch_and_report(session, client, client.ask(member_verbs.TAKE_SHARED))
    else:
        apply(session, args, documents.read(session, args))


def _is_shared(session: Session) -> bool:
    """Whether there is no file here, and what is in force is in the store of a cluster."""
    from portico.importers.read import file_in  # noqa: PLC0415 - `apply` reads more

    return has_store(session.home) and file_in(Path.cwd()) is None


def apply(session: Session, args: Namespace, found: ImportedFile) -> None:
    """Put it in force, wait, and show what runs then."""
    client = _up_to_date(session, session.client(start=True))
    asked = documents.request(found) | absent_machines(args)
    change = watch(session, client, client.ask(verbs.UP, **asked))
    if session.json:
        session.show_json(change)
    else:
        _show(session, client.ask(verbs.STATUS), found)
        documents.write_notes(session, list(_outside_path(session.environ)))


def _outside_path(environ: Mapping[str, str]) -> Iterator[str]:
    """All that Portico says to type begins with `portico`."""
    if shutil.which("portico", path=environ.get("PATH")) is None:
        venv = Path(sys.prefix)
        in_clone = venv.parent / "portico"
        program = in_clone if in_clone.is_file() else venv / "bin/portico"
        sudo = "" if os.geteuid() == 0 else "sudo "
        yield f"portico is not in PATH; `{sudo}ln -s {program} /usr/local/bin/` makes it a command"


def _up_to_date(session: Session, client: Client) -> Client:
    """A daemon that is not older than this program: the file may need what only that one knows."""
    daemon = client.ask(verbs.VERSION).version
    if not is_newer(__version__, than=daemon):
        return client
    if mode_of(client.ask(verbs.STATUS).daemon) == "foreground":
        session.terminal.write_stderr(
            f"porticod {daemon} runs in the foreground and was not replaced; restart it where it "
            f"was started to get {__version__}"
        )
        return client
    session.terminal.write_stderr(f"replacing porticod {daemon} with {__version__}")
    return replace_daemon(session.home, session.environ, client)


def _show(session: Session, status: StatusView, found: ImportedFile) -> None:
    write, paint = session.terminal.write, session.terminal.out.paint
    project = project_name(found.table, found.folder)
    sites = [each for each in status.sites if each.project == project]
    apps = [each for each in status.apps if each.project == project]
    for site in sites:
        for url in site.urls:
            write(f"{paint(url, 'bold')}  {site.to}")
    streams = [each for each in status.streams if each.project == project]
    for stream in streams:
        write(f"{paint(' '.join(stream.addresses), 'bold')}  {stream.to}")
    for app in apps:
        state = paint(app.state, _STATES.get(app.state, "yellow"))
        ready = sum(each.state == "ready" for each in app.instances)
        doing = "answer" if any(each.port for each in app.instances) else "run"
        write(f"{app.name}: {state}, {ready} of {app.wanted} {doing}")
        listed = [each for each in app.instances if each.state not in LEAVING_STATES]
        for instance in listed[:MAX_LISTED_INSTANCES]:
            write(f"  {instance.id}  pid {instance.pid or '-'}  {_port(instance.port)}")
        if more := len(listed[MAX_LISTED_INSTANCES:]):
            write(f"  and {more} more: portico show {app.name}")
    for trouble in status.troubles:
        session.terminal.write_labelled("problem", trouble)
    is_alone = len(status.projects) == 1
    next_ones = _next_commands(
        sites, apps, found.source, "" if is_alone else project, is_served=bool(sites or streams)
    )
    write(f"next: {', '.join(next_ones)}")


def _port(port: int) -> str:
    return f"port {port}" if port else "no port"


def _next_commands(
    sites: Sequence[SiteView],
    apps: Sequence[AppView],
    source: str,
    project: str,
    *,
    is_served: bool,
) -> Iterator[str]:
    """`project` is its name where there are others."""
    if any(site.certificate == "local" for site in sites):
        yield "portico trust (makes browsers accept the local certificate)"
    if apps and not is_served:
        yield f"portico up {source} --site app.localhost (adds HTTPS)"
    yield from (f"portico status {project}".strip(), f"portico logs -f {project}".strip())
    if apps:
        yield f"portico reload {project}{'/' * bool(project)}{apps[0].name}"
    yield f"portico down {project}".strip()

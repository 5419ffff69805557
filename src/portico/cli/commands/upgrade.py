"""`portico upgrade`: the daemon of this program, and today's nginx, in place of those that run."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from portico import __version__
from portico.cli.arguments import Parser, json_option
from portico.cli.formatting import count_text
from portico.cli.session import Session
from portico.cli.watching import watch
from portico.client.upgrading import replace_daemon
from portico.core.model import verbs

if TYPE_CHECKING:
    from portico.core.model.views import StatusView


@dataclass(frozen=True, slots=True)
class Replacement:
    """One program before and after."""

    before: str
    after: str
    before_pid: int | None
    after_pid: int | None

    def __str__(self) -> str:
        if self.after_pid is None:
            return "not running"
        if self.before != self.after:
            return f"{self.before} → {self.after}"
        return self.after + (" restarted" if self.before_pid != self.after_pid else " unchanged")


def options(parser: Parser) -> None:
    parser.add_argument(
        "--daemon", action="store_true", help="replace the daemon even if its version is the same"
    )
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    before = client.ask(verbs.STATUS)
    if args.daemon or before.daemon.version != __version__:
        client = replace_daemon(session.home, session.environ, client)
    if before.nginx.pid is not None:
        watch(session, client, client.ask(verbs.UPGRADE))
    _show(session, before, client.ask(verbs.STATUS))


def _show(session: Session, before: StatusView, after: StatusView) -> None:
    daemon = Replacement(
        before.daemon.version, after.daemon.version, before.daemon.pid, after.daemon.pid
    )
    nginx = Replacement(
        before.nginx.version, after.nginx.version, before.nginx.pid, after.nginx.pid
    )
    pids = _pids(before)
    same = len(pids & _pids(after))
    if session.json:
        session.show_json(
            {
                "porticod": asdict(daemon),
                "nginx": asdict(nginx),
                "instances": {"before": len(pids), "same": same},
            }
        )
        return
    session.terminal.write(
        f"porticod {daemon} (same {count_text(same, 'instance')}), nginx {nginx}"
    )
    if same < len(pids):
        session.terminal.write_stderr(
            f"{len(pids) - same} of {len(pids)} instances exited meanwhile"
        )


def _pids(status: StatusView) -> set[int]:
    return {each.pid for app in status.apps for each in app.instances if each.pid is not None}

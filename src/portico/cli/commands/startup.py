"""`portico startup`: brings everything back after a boot."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.client.client import Client
from portico.client.stopping import stop_daemon
from portico.client.systemd import SYSTEMD_FOLDER, Unit, former_unit, unit_of
from portico.errors import Refused


def options(parser: Parser) -> None:
    parser.add_argument(
        "--print", action="store_true", help="print the units without installing them"
    )


def run(session: Session, args: Namespace) -> None:
    unit = unit_of(session.home, session.environ)
    if args.print:
        units = [unit.launcher, unit] if unit.launcher else [unit]
        session.terminal.write_raw("\n\n".join(f"# {u.path}\n{u.text.rstrip()}" for u in units))
        return
    if not SYSTEMD_FOLDER.exists():
        raise Refused(
            "cannot install a unit: systemd is not the init of this machine; nothing was changed. "
            f"Have your init run this at boot: PORTICO_HOME={session.home.path} porticod"
        )
    former = former_unit(session.home, session.environ)
    unit.install()
    if former:
        former.remove()
    _hand_over(session, unit)
    session.terminal.write(f"{unit.path}: everything running now will start again at boot")


def _hand_over(session: Session, unit: Unit) -> None:
    """The daemon that runs now leaves; the unit's adopts what it looked after."""
    unit.keep_after_logout()
    client = Client(session.home.socket)
    if client.answers():
        stop_daemon(client)
    unit.systemctl("enable", "--now", unit.name)

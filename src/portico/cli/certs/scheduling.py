"""`portico certs schedule`: an entry of cron or systemd that runs `portico certs renew`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Final

from portico.cli.arguments import Parser
from portico.cli.session import Session
from portico.client.schedule import Entry, Kind, Schedule
from portico.errors import Refused
from portico.system.clock import SystemClock

KINDS: Final[tuple[Kind, ...]] = ("cron", "systemd", "none")


def schedule_options(parser: Parser) -> None:
    texts = {
        "cron": "use a line for cron that runs `portico certs renew`",
        "systemd": "use a systemd timer that runs it",
        "none": "remove both; the daemon renews certificates while it runs",
    }
    for kind in KINDS:
        parser.add_argument(f"--{kind}", action="store_true", help=f"schedule: {texts[kind]}")


def schedule(session: Session, args: Namespace) -> None:
    wanted = [kind for kind in KINDS if getattr(args, kind)]
    if len(wanted) > 1:
        raise Refused("`portico certs schedule` takes one of --cron, --systemd and --none")
    here = Schedule(session.home, session.environ)
    entry = here.set(wanted[0], SystemClock().jitter()) if wanted else here.entry()
    if session.json:
        session.show_json(asdict(entry))
    else:
        session.terminal.write(_text(entry))


def _text(entry: Entry) -> str:
    if entry.kind == "none":
        return "nothing is scheduled: the daemon renews by itself while it runs"
    return f"{entry.kind}: {entry.what}\n  in {entry.where}"

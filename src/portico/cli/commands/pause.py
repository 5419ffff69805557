"""`portico pause`: a site serves its maintenance page, or holds its requests, until `resume`."""

from __future__ import annotations

from argparse import Namespace

from portico.cli.arguments import Parser, absent_machines, json_option, without_absent_option
from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.core.model import verbs
from portico.errors import Refused


def options(parser: Parser) -> None:
    parser.add_argument(
        "site",
        metavar="SITE",
        nargs="?",
        help="name of a site, or of a project for all its sites; default: the project of this "
        "folder, or the only one",
    )
    parser.add_argument(
        "--hold",
        action="store_true",
        help="hold requests to apps until `portico resume`, instead of the maintenance page",
    )
    parser.add_argument(
        "--for",
        dest="duration",
        metavar="DURATION",
        help="longest time to hold a request, which then gets 503; default: 30s",
    )
    without_absent_option(parser)
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    if args.duration is not None and not args.hold:
        raise Refused("--for is how long requests are held; add --hold")
    hold = _seconds(args.duration or "30s") if args.hold else 0.0
    client = session.client()
    change = client.ask(verbs.PAUSE, site=args.site, hold=hold, **absent_machines(args))
    watch_and_report(session, client, change)


def _seconds(text: str) -> float:
    from portico.core.model.units import parse_duration  # noqa: PLC0415 - pydantic takes its time
    from portico.core.model.wait import MAX_WAIT  # noqa: PLC0415

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise Refused(f"--for {error}") from None
    if not 0 < seconds <= MAX_WAIT:
        raise Refused(f"--for must be at most an hour and more than 0, not {text}")
    return seconds

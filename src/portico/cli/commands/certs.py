"""`portico certs`: the certificates of authorities, what comes next for each, and why."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from portico.cli.arguments import Parser, json_option
from portico.cli.session import Session
from portico.cli.watching import watch_to_its_end
from portico.cli.words import moment
from portico.errors import NotFound, Refused

if TYPE_CHECKING:
    from portico.core.model.views import CertificateView


def options(parser: Parser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        default="list",
        choices=("list", "show", "renew", "revoke"),
        help="list all, show one, renew what is due, or revoke one; list if unset",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the site's name")
    parser.add_argument("--force", action="store_true", help="renew also what is not due")
    json_option(parser)


def run(session: Session, args: Namespace) -> None:
    client = session.client()
    match args.what:
        case "renew":
            watch_to_its_end(session, client, client.renew(args.name, force=args.force))
        case "revoke":
            watch_to_its_end(session, client, client.revoke(_named(args)))
        case "show":
            _show(session, client.certificates(), _named(args))
        case _:
            _list(session, client.certificates())


def _named(args: Namespace) -> str:
    if not args.name:
        raise Refused(f"`portico certs {args.what}` needs the NAME of a site; nothing was changed")
    return str(args.name)


def _list(session: Session, views: list[CertificateView]) -> None:
    if session.json:
        session.show_json(views)
        return
    if not views:
        session.terminal.say("no site has a public name: local certificates serve them all")
        return
    rows = [
        (view.name, _until(view), "yes" if view.served else "no", _next(view)) for view in views
    ]
    session.terminal.table(("certificate", "valid until", "served", "next"), rows)
    for view in views:
        if view.error:
            session.terminal.say(f"{view.name}: {view.error}")


def _show(session: Session, views: list[CertificateView], name: str) -> None:
    view = next((view for view in views if view.name == name), None)
    if view is None:
        known = ", ".join(view.name for view in views) or "none"
        raise NotFound(f"there is no certificate {name!r}; there is {known}")
    if session.json:
        session.show_json(view)
        return
    say = session.terminal.say
    say(f"{view.name}: {', '.join(view.names)}")
    say(f"  valid until {_until(view)}, signed by {view.issuer or 'nobody yet'}")
    say(f"  serial {view.serial or '-'}, {'served' if view.served else 'not served yet'}")
    say(f"  files for other programs: {view.folder or '-'}")
    say(f"  next: {_next(view)}: {view.why}")
    if view.error:
        say(f"  last error: {view.error}")
    for limit in view.ledger:
        say(f"  {limit.limit} {limit.of}: {limit.used} of {limit.most} used")


def _until(view: CertificateView) -> str:
    return moment(view.not_after) if view.not_after else "-"


def _next(view: CertificateView) -> str:
    return f"{view.next} at {moment(view.next_at)}" if view.next_at else view.next

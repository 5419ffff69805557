"""`portico certs account`, `rollover` and `deactivate`: our accounts at authorities."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from portico.cli.session import Session
from portico.cli.watching import watch_and_report
from portico.core.model import certificate_verbs
from portico.errors import Refused

if TYPE_CHECKING:
    from portico.core.model.certificate_views import AccountView


def show_account(session: Session, args: Namespace) -> None:
    del args
    view = session.client().ask(certificate_verbs.ACCOUNT)
    if session.json:
        session.show_json(view)
        return
    write = session.terminal.write
    write(f"key with thumbprint {view.thumbprint}")
    if view.halfway:
        write("  it is being replaced; run `portico certs rollover` to finish")
    for each in view.accounts:
        write(f"{each.directory}")
        write(f"  account: {_account(each)}")
        write(f"  contact: {', '.join(each.contact) or '-'}")
    if not view.accounts:
        write("no account: no site has a public name")


def roll_over(session: Session, args: Namespace) -> None:
    del args
    client = session.client()
    watch_and_report(session, client, client.ask(certificate_verbs.ROLL_OVER))


def deactivate(session: Session, args: Namespace) -> None:
    if not args.name:
        raise Refused(
            "`portico certs deactivate` needs the ISSUER, a known name or a directory URL; "
            "nothing was changed"
        )
    client = session.client()
    watch_and_report(session, client, client.ask(certificate_verbs.DEACTIVATE, issuer=args.name))


def _account(view: AccountView) -> str:
    if view.deactivated:
        return f"{view.url}, deactivated permanently"
    if not view.url:
        return "none yet; it is created with the first order"
    return view.url if view.wanted else f"{view.url}, not used by the file"

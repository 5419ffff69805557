"""`portico certs list` and `show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.cli.session import Session
from portico.core.model import certificate_verbs
from portico.core.model.moments import moment
from portico.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portico.core.model.certificate_views import CertificateView, RenewerView


def show_all(session: Session) -> None:
    client = session.client()
    views = client.ask(certificate_verbs.CERTIFICATES)
    if session.json:
        session.show_json(views)
        return
    if views:
        rows = [
            (view.name, _expiry_text(view), "yes" if view.served else "no", _next_text(view))
            for view in views
        ]
        session.terminal.table(("certificate", "valid until", "served", "next"), rows)
    else:
        session.terminal.write("no site has a public name; all use local certificates")
    for view in views:
        if view.warning:
            session.terminal.write(f"{view.name}: {view.warning}")
        if view.error:
            session.terminal.write(f"{view.name}: {view.error}")
    write_renewers(session, client.ask(certificate_verbs.RENEWERS))


def show_one(session: Session, name: str) -> None:
    views = session.client().ask(certificate_verbs.CERTIFICATES)
    view = next((view for view in views if view.name == name), None)
    if view is None:
        known = ", ".join(view.name for view in views) or "none"
        raise NotFound(f"there is no certificate {name!r}; known: {known}")
    if session.json:
        session.show_json(view)
        return
    write = session.terminal.write
    write(f"{view.name}: {', '.join(view.names)}")
    write(f"  valid until {_expiry_text(view)}, {_origin(view)}")
    write(f"  serial {view.serial or '-'}, {_serving_text(view)}")
    write(f"  files for other programs: {view.folder or '-'}")
    write(f"  next: {_next_text(view)}: {view.why}")
    if view.warning:
        write(f"  {view.warning}")
    if view.error and view.error not in view.why:
        write(f"  last error: {view.error}")
    for limit in view.ledger:
        write(f"  {f'{limit.limit} {limit.of}'.strip()}: {limit.used} of {limit.most} used")


def write_renewers(session: Session, renewers: Sequence[RenewerView]) -> None:
    for each in renewers:
        session.terminal.write_labelled(
            "note",
            f"another program also renews certificates: {each.what} in {each.where}; if they are "
            f"for names served here, {each.remedy}",
        )


def _expiry_text(view: CertificateView) -> str:
    return moment(view.not_after) if view.not_after else "-"


def _origin(view: CertificateView) -> str:
    return f"from {view.source}" if view.source else f"issued by {view.issuer or '-'}"


def _serving_text(view: CertificateView) -> str:
    if not view.served:
        return "not served yet"
    return f"served since {moment(view.served_since)}" if view.served_since else "served"


def _next_text(view: CertificateView) -> str:
    return f"{view.next} at {moment(view.next_at)}" if view.next_at else view.next

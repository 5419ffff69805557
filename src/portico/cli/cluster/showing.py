"""`portico cluster show`: who this machine is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.client.wire import is_reachable
from portico.core.model import member_verbs
from portico.core.model.moments import moment
from portico.core.model.names import url_host
from portico.system.certificate_end import end_of
from portico.system.clock import SystemClock
from portico.system.cluster_identity import AUTHORITY_KEY, ISSUED_FOLDER, read_identity
from portico.system.cluster_store import has_store

if TYPE_CHECKING:
    from portico.cli.session import Session
    from portico.core.model.cluster_views import ClusterView, MemberView
    from portico.system.home import Home

RENEWAL_NOTICE: Final = 180 * 86400.0
"""Seconds before the end of a certificate from which on a new one is recommended."""


def show(session: Session) -> None:
    one = read_identity(session.home)
    if one is None:
        if session.json:
            session.show_json(None)
        else:
            session.terminal.write("this machine is in no cluster")
        return
    until, invited, store = _end(one.certificate), _invited_names(session.home), _store(session)
    if session.json:
        shown = {"cluster": one.cluster, "name": one.name, "until": until, "invited": invited}
        session.show_json({**shown, "store": store and vars(store)})
        return
    write = session.terminal.write
    write(f"this machine is {one.name} of cluster {one.cluster}")
    write(f"  certificate: {one.certificate}, valid until {moment(until)}")
    write(f"  authority: {one.authority}, valid until {moment(_end(one.authority))}")
    if invited:
        write(f"  invited from here: {', '.join(invited)}")
    if store:
        show_store(session, store)
    elif has_store(session.home):
        write("  store: unknown, because the daemon is not running; `portico status` starts it")
    if until - SystemClock().now() < RENEWAL_NOTICE:
        what = (
            f"token --replace {one.name}` on any machine"
            if has_store(session.home)
            else f"invite {one.name} --replace` on the first machine"
        )
        session.terminal.write_labelled(
            "warning",
            f"the certificate is valid until {moment(until)}; run `portico cluster {what}, and "
            "join with it here",
        )


def _store(session: Session) -> ClusterView | None:
    """None where the cluster has no store, or no daemon runs: `show` starts none."""
    if not has_store(session.home) or not is_reachable(session.home.socket):
        return None
    return session.client().ask(member_verbs.CLUSTER)


def show_store(session: Session, view: ClusterView) -> None:
    state = (
        f"followed, at revision {view.revision}, schema {view.store_schema}"
        if view.followed
        else "not followed"
    )
    session.terminal.write(f"  store: {state}")
    if view.change:
        session.terminal.write(f"  change: {view.change}")
    if view.machines:
        session.terminal.write()
        session.terminal.table(
            ("machine", "address", "labels", "state", "daemon"), [_row(m) for m in view.machines]
        )
    if view.trouble:
        session.terminal.write_labelled(
            "warning",
            f"the store of the cluster is not available: {view.trouble}; the state shown is the "
            "last known one",
        )


def _row(member: MemberView) -> tuple[str, ...]:
    return (
        member.name,
        f"{url_host(member.address)}:{member.port}",
        " ".join(member.labels),
        member.state,
        f"connected, {member.version}" if member.present else "not connected",
    )


def _end(file: str) -> float:
    return end_of(Path(file).read_text())


def _invited_names(home: Home) -> list[str]:
    """Empty on a machine that cannot invite, as none can where a token is needed."""
    if has_store(home) or not (home.cluster / AUTHORITY_KEY).exists():
        return []
    return sorted(each.stem for each in (home.cluster / ISSUED_FOLDER).glob("*.pem"))

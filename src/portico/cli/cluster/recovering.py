"""`portico cluster accept` and `restore`: what counts, the store or the copy on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portico.cli.cluster.members import client_of_store
from portico.core.model import member_verbs

if TYPE_CHECKING:
    from portico.cli.session import Session
    from portico.core.model.cluster_views import StoreChangeView
    from portico.core.model.verb import Verb

MAX_LINES: Final = 30


def accept(session: Session, *, act: bool) -> None:
    what = "use the state of the store on this machine"
    _decide(session, member_verbs.ACCEPT_STORE, "accept", what, act=act)


def restore(session: Session, *, act: bool) -> None:
    what = "write the state known to this machine to the store"
    _decide(session, member_verbs.RESTORE_STORE, "restore", what, act=act)


def _decide(
    session: Session, verb: Verb[StoreChangeView], command: str, what: str, *, act: bool
) -> None:
    view = client_of_store(session).ask(verb, act=act)
    if session.json:
        session.show_json({"lines": list(view.lines), "done": view.done})
        return
    write = session.terminal.write
    write(f"{'done' if view.done else 'would'}: {what}; keys that differ: {len(view.lines)}")
    for line in view.lines[:MAX_LINES]:
        write(f"  {line}")
    if len(view.lines) > MAX_LINES:
        write(f"  and {len(view.lines) - MAX_LINES} more")
    if not view.guarded:
        session.terminal.write_labelled(
            "warning",
            "etcd has the users of the machines again, but authentication is off: enable it by "
            "`etcdctl user add root`, `etcdctl user grant-role root root`, `etcdctl auth enable`",
        )
    if not view.done:
        write(f"nothing was changed; `portico cluster {command} --yes` does it")

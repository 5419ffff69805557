"""`portico cluster upgrade`: the store, once Portico on all machines is newer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.cli.cluster.members import client_of_store
from portico.core.model.member_verbs import UPGRADE_CLUSTER

if TYPE_CHECKING:
    from portico.cli.session import Session


def upgrade(session: Session) -> int:
    """The exit code is 1 where a machine keeps a newer schema from being used."""
    view = client_of_store(session).ask(UPGRADE_CLUSTER)
    if session.json:
        session.show_json(view)
        return int(bool(view.problem))
    session.terminal.table(
        ("machine", "version", "newest schema"),
        [(each.name, each.version or "-", str(each.knows or "-")) for each in view.machines],
    )
    session.terminal.write()
    if view.store_schema > view.before:
        session.terminal.write(f"done: the store has schema {view.store_schema} now")
    else:
        session.terminal.write(f"the store has schema {view.store_schema}; nothing was changed")
    if view.problem:
        session.terminal.write_labelled(
            "warning", f"a newer schema is not used yet: {view.problem}"
        )
    return int(bool(view.problem))

"""`portico cluster leave`: this machine is alone again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portico.cli.cluster.naming import with_unchanged
from portico.cli.cluster.restarting import restart_daemon
from portico.client.wire import is_reachable
from portico.core.model import verbs
from portico.core.model.member_verbs import LEAVE_CLUSTER
from portico.errors import Failed, Refused
from portico.system.cluster_identity import AUTHORITY_KEY, read_identity
from portico.system.cluster_store import has_store
from portico.system.folders import remove_folder
from portico.system.waiting import wait_for

if TYPE_CHECKING:
    from portico.cli.session import Session
    from portico.system.cluster_identity import MachineIdentity

RENDER_TIMEOUT: Final = 30.0
"""Seconds for nginx's files to be written again without the other machines."""


def leave(session: Session, name: str | None, *, force: bool) -> None:
    """Remove HOME/cluster. Refused while nginx needs its files, where it has the authority's key,
    unless `force`, and where `name` is that of another machine.
    """
    folder, one = session.home.cluster, read_identity(session.home)
    is_shared = has_store(session.home)
    if one is None:
        raise Refused("this machine is in no cluster; nothing was changed")
    if name and name != one.name:
        raise _other_machine(name, one.name, is_shared=is_shared)
    if is_shared:
        _leave_store(session, one, force=force)
    elif (folder / AUTHORITY_KEY).exists() and not force:
        raise Refused(
            f"this machine has the only key by which machines are invited, {folder}/"
            f"{AUTHORITY_KEY}; nothing was changed. Add --force to remove it as well"
        )
    if _is_used(session):
        raise Refused(
            "nginx of this machine uses its certificate in the cluster; nothing was changed. "
            "Remove [machines] from the file and run `portico up`, or run `portico down --all`"
        )
    removed = folder.with_name(f".{folder.name}.removed")
    remove_folder(removed)
    folder.rename(removed)
    remove_folder(removed)
    restart_daemon(session)
    if session.json:
        session.show_json({"cluster": one.cluster, "name": one.name})
        return
    session.terminal.write(f"done: this machine is no longer {one.name} of cluster {one.cluster}")
    if not is_shared:
        session.terminal.write(f"next: remove [machines.{one.name}] from the file of the others")


def _other_machine(name: str, own: str, *, is_shared: bool) -> Refused:
    removal = (
        f"run `portico cluster remove {name}` here"
        if is_shared
        else f"remove [machines.{name}] from the file of the others"
    )
    return Refused(
        f"this machine is {own}, and not {name}; nothing was changed. Run `portico cluster leave` "
        f"on {name}, or, if that machine is dead, {removal}"
    )


def _leave_store(session: Session, one: MachineIdentity, *, force: bool) -> None:
    """Also where the store does not answer, if `force`."""
    try:
        session.client().ask(LEAVE_CLUSTER)
    except Failed as error:
        if not force:
            raise Refused(
                f"{with_unchanged(str(error))} on this machine. Add --force to leave all the "
                f"same, and run `portico cluster remove {one.name}` on another machine later"
            ) from error
    wait_for(lambda: not _is_used(session), RENDER_TIMEOUT)


def _is_used(session: Session) -> bool:
    if not is_reachable(session.home.socket):
        return False
    try:
        files = session.client().ask(verbs.RENDER).files.values()
    except Refused:  # no file is in force
        return False
    return any(str(session.home.cluster) in text for text in files)

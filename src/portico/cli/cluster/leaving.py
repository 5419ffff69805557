"""`portico cluster leave`: this machine is alone again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.client.wire import reachable
from portico.core.model import verbs
from portico.errors import Refused
from portico.system.cluster_identity import AUTHORITY_KEY, read_identity
from portico.system.folders import remove_folder

if TYPE_CHECKING:
    from portico.cli.session import Session


def leave(session: Session, *, force: bool) -> None:
    """Remove HOME/cluster. Refused while nginx needs its files, and where it has the authority's
    key, unless `force`.
    """
    folder, one = session.home.cluster, read_identity(session.home)
    if one is None:
        raise Refused("this machine is in no cluster; nothing was changed")
    if (folder / AUTHORITY_KEY).exists() and not force:
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
    if session.json:
        session.show_json({"cluster": one.cluster, "name": one.name})
        return
    session.terminal.write(f"done: this machine is no longer {one.name} of cluster {one.cluster}")
    session.terminal.write(f"next: remove [machines.{one.name}] from the file of the others")


def _is_used(session: Session) -> bool:
    if not reachable(session.home.socket):
        return False
    files = session.client().ask(verbs.RENDER).files.values()
    return any(str(session.home.cluster) in text for text in files)

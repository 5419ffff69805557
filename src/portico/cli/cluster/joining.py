"""`portico cluster join`: with an invitation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from portico.cli.cluster.invitation import Invitation, mark_used, read_invitation
from portico.errors import Refused
from portico.system.clock import SystemClock
from portico.system.cluster_identity import (
    AUTHORITY,
    MachineIdentity,
    new_cluster_folder,
    read_identity,
    write_identity,
)
from portico.system.files import write_new

if TYPE_CHECKING:
    from portico.cli.session import Session


def join(session: Session, name: str) -> None:
    """Make HOME/cluster, or add a newer certificate of the same machine to it."""
    home, file, now = session.home, Path(name).absolute(), SystemClock().now()
    invitation = read_invitation(file, now)
    one = read_identity(home)
    if one is None:
        home.make()
        with new_cluster_folder(home) as folder:
            write_new(folder / AUTHORITY, invitation.authority)
            write_machine(folder, invitation)
    else:
        assert_same_machine(one, invitation.cluster, invitation.name, invitation.authority)
        write_machine(home.cluster, invitation)
    try:
        mark_used(file, invitation, now)
    except OSError as error:
        session.terminal.write_labelled(
            "warning", f"cannot take the key out of {file}: {error.strerror}; remove the file"
        )
    if session.json:
        session.show_json({"cluster": invitation.cluster, "name": invitation.name})
        return
    what = "has a new certificate of" if one else "has joined"
    session.terminal.write(f"done: {invitation.name} {what} cluster {invitation.cluster}")
    session.terminal.write("next: portico up, with the same [machines] on all of them")


def assert_same_machine(one: MachineIdentity, cluster: str, name: str, authority: str) -> None:
    """Refused where it would become another one."""
    if (one.cluster, one.name) != (cluster, name):
        raise Refused(
            f"cannot join as {name} of cluster {cluster}: this machine is {one.name} of "
            f"{one.cluster}; nothing was changed. `portico cluster leave` removes it from there"
        )
    if Path(one.authority).read_text() != authority:
        raise Refused(
            f"cannot join: the authority is another one than {one.authority}; nothing was "
            "changed. Join by a machine of the same cluster"
        )


def write_machine(folder: Path, invitation: Invitation) -> None:
    write_identity(
        folder,
        invitation.cluster,
        invitation.name,
        invitation.serial,
        invitation.certificate.encode(),
        invitation.key.encode(),
    )

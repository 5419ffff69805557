"""`portico cluster etcd NAME=ADDRESS` on a machine of a cluster: a member of its etcd."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from portico.cli.cluster.etcd_files import members_of, steps_of_member, write_member
from portico.cli.cluster.members import client_of_store
from portico.core.model.member_verbs import REMOVE_ETCD_MEMBER, SET_ETCD_MEMBER
from portico.core.render.etcd_member import etcd_environment
from portico.errors import Failed, Refused
from portico.system.machine_certificates import new_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portico.cli.session import Session


def set_member(session: Session, words: Sequence[str], output: str) -> None:
    """Write its folder, NAME in the folder `output`; or have it take part, once it has started."""
    members = members_of(words)
    if len(members) > 1:
        raise Refused("members are added one at a time; nothing was changed")
    [(name, address)] = members.items()
    target = Path(output).absolute() / name
    key, request = new_request()
    view = client_of_store(session).ask(
        SET_ETCD_MEMBER, name=name, address=address, request=request.decode()
    )
    if view.certificate:
        environment = etcd_environment(name, address, view.peers, view.cluster, is_new=False)
        try:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            pems = view.authority.encode(), view.certificate.encode(), key
            write_member(target, *pems, environment)
        except OSError as error:
            raise Failed(
                f"cannot write {error.filename or target}: {error.strerror}; etcd has the member. "
                "Run the command again, which writes a new certificate"
            ) from error
    if session.json:
        session.show_json(view)
        return
    write = session.terminal.write
    if view.done == "promoted":
        write(f"done: {name} is a member of etcd, at {', '.join(view.endpoints)}")
        return
    write(f"{target}: the folder of member {name}. It holds a key: keep it secret")
    write(f"next, copy it to the machine with {address}, and there, in the folder with the copy:")
    for line in steps_of_member(name):
        write(line)
    write(f"then here, unless it takes part already: portico cluster etcd {name}={address}")


def remove_member(session: Session, words: Sequence[str]) -> None:
    if len(words) > 1:
        raise Refused("members are removed one at a time; nothing was changed")
    name, _, address = words[0].partition("=")
    view = client_of_store(session).ask(REMOVE_ETCD_MEMBER, member=name, address=address)
    if session.json:
        session.show_json(view)
        return
    session.terminal.write(
        f"done: {name} is no longer a member of etcd, which is at {', '.join(view.endpoints)}"
    )

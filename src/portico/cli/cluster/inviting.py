"""`portico cluster init` and `invite`: the machine that has the authority's key."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from portico.cli.cluster.invitation import Invitation, write_invitation
from portico.core.model.cluster import MachineName, machine_host
from portico.errors import Refused
from portico.system.clock import SystemClock
from portico.system.cluster_identity import (
    AUTHORITY,
    AUTHORITY_KEY,
    ISSUED,
    new_cluster_folder,
    read_identity,
    write_identity,
)
from portico.system.files import write, write_new
from portico.system.machine_certificates import MachineAuthority

if TYPE_CHECKING:
    from portico.cli.session import Session
    from portico.system.home import Home

_NAME: Final = TypeAdapter(MachineName)


def init(session: Session, name: str) -> None:
    """Make HOME/cluster: an authority, and this machine's certificate of it."""
    home, now = session.home, SystemClock().now()
    _assert_name(name)
    if one := read_identity(home):
        raise Refused(
            f"this machine is {one.name} of cluster {one.cluster} already; nothing was changed. "
            "`portico cluster leave` removes it from there"
        )
    home.make()
    authority = MachineAuthority.create(str(uuid.uuid4()), now)
    pair = authority.sign(name, machine_host(name), now)
    with new_cluster_folder(home) as folder:
        write_new(folder / AUTHORITY, authority.pem)
        write_new(folder / AUTHORITY_KEY, authority.key_pem)
        (folder / ISSUED).mkdir(mode=0o700)
        write_new(folder / ISSUED / f"{name}.pem", pair.certificate)
        write_identity(folder, authority.cluster, name, pair.serial, pair.certificate, pair.key)
    if session.json:
        session.show_json({"cluster": authority.cluster, "name": name})
        return
    session.terminal.write(
        f"done: this machine is {name}, the first one of cluster {authority.cluster}"
    )
    session.terminal.write("next: portico cluster invite NAME, for each other machine")


def invite(session: Session, name: str, output: str, *, replace: bool) -> None:
    """Write the file by which a machine joins."""
    _assert_name(name)
    home, file = session.home, Path(output).absolute()
    authority = _authority(home)
    issued = home.cluster / ISSUED / f"{name}.pem"
    if issued.exists() and not replace:
        raise Refused(
            f"{name} was invited already; nothing was changed. Choose another name, or add "
            "--replace to renew the certificate of that machine"
        )
    pair = authority.sign(name, machine_host(name), SystemClock().now())
    pems = (authority.pem.decode(), pair.certificate.decode(), pair.key.decode())
    try:
        write_invitation(file, Invitation(authority.cluster, name, *pems))
    except OSError as error:
        raise Refused(f"cannot write {file}: {error.strerror}; nothing was changed") from error
    write(issued, pair.certificate)
    if session.json:
        session.show_json({"cluster": authority.cluster, "name": name, "file": str(file)})
        return
    session.terminal.write(f"{file}: the invitation of {name}. It holds a key: keep it secret")
    session.terminal.write(f"next: copy it to {name}; there portico cluster join {file.name}")


def _authority(home: Home) -> MachineAuthority:
    if read_identity(home) is None:
        raise Refused(
            "this machine is in no cluster; nothing was changed. `portico cluster init NAME` "
            "creates one"
        )
    try:
        return MachineAuthority.read(home.cluster)
    except FileNotFoundError:
        raise Refused(
            f"this machine cannot invite others: {home.cluster / AUTHORITY_KEY} does not exist; "
            "nothing was changed. Run the command on the machine where the cluster was created"
        ) from None


def _assert_name(name: str) -> None:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise Refused(
            f"cannot name a machine {name!r}: a name has 1 to 50 lower-case letters, digits and "
            "-, with a letter or digit at both ends; nothing was changed"
        ) from None

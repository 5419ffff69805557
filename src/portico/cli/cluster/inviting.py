"""`portico cluster init` and `invite`: the machine that has the authority's key."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from portico.cli.cluster.invitation import Invitation, write_invitation
from portico.cli.cluster.naming import SharedPlace, assert_name
from portico.cli.cluster.own_address import address_towards, assert_reachable
from portico.cli.cluster.prepared_authority import prepared_authority, remove_prepared_authority
from portico.cli.cluster.restarting import restart_daemon
from portico.core.model.cluster import machine_host
from portico.core.model.member_verbs import CREATE_CLUSTER
from portico.core.planning.store_permissions import machine_password, machine_user_name
from portico.errors import Refused
from portico.system.clock import SystemClock
from portico.system.cluster_identity import (
    AUTHORITY,
    AUTHORITY_KEY,
    ISSUED_FOLDER,
    new_cluster_folder,
    read_identity,
    write_identity,
)
from portico.system.cluster_store import (
    KEY_SIZE,
    StoreFile,
    has_store,
    write_cluster_key,
    write_store,
)
from portico.system.files import write, write_new
from portico.system.machine_certificates import MachineAuthority

if TYPE_CHECKING:
    from portico.cli.session import Session
    from portico.system.home import Home


def init(session: Session, name: str) -> None:
    """Make HOME/cluster: an authority, and this machine's certificate of it."""
    authority = _assert_new(session, name)
    with new_cluster_folder(session.home) as folder:
        _write_first(folder, authority, name)
    _report(session, authority, name)
    if not session.json:
        session.terminal.write("next: portico cluster invite NAME, for each other machine")


def init_with_store(
    session: Session, name: str, store: StoreFile, place: SharedPlace, *, another: bool
) -> None:
    """The same, with the cluster in a store. Nothing is left where that cannot be asked."""
    assert_name(name)
    if place.address:
        assert_reachable(place.address, (str(urlsplit(each).hostname) for each in store.endpoints))
    address = place.address or _address_towards(store)
    authority = _assert_new(session, name)
    client = session.client(start=True)
    with new_cluster_folder(session.home) as folder:
        serial = _write_first(folder, authority, name)
        key = token_bytes(KEY_SIZE)
        write_store(
            folder, _own_access(store, key, machine_user_name(authority.cluster, name, serial))
        )
        write_cluster_key(folder, key)
        client.ask(
            CREATE_CLUSTER,
            cluster=authority.cluster,
            name=name,
            address=address,
            port=place.port,
            labels=place.labels,
            folder=str(folder),
            serial=serial,
            user=store.user,
            password=store.password,
            another=another,
        )
    remove_prepared_authority(session.home)
    restart_daemon(session)
    _report(session, authority, name)
    if not session.json:
        if not store.user:
            session.terminal.write_labelled(
                "note",
                "etcd is used without a user: whatever it accepts as a client can change what "
                "the machines share",
            )
        session.terminal.write(
            "next: portico up; then portico cluster token, for each other machine"
        )


def _address_towards(store: StoreFile) -> str:
    first = urlsplit(store.endpoints[0])
    return address_towards(str(first.hostname), first.port or 0)


def _own_access(store: StoreFile, key: bytes, user: str) -> StoreFile:
    """By a user of this machine, where etcd has users: that of the operator is kept nowhere."""
    if not store.user:
        return store
    return replace(store, user=user, password=machine_password(key, user))


def _assert_new(session: Session, name: str) -> MachineAuthority:
    home = session.home
    assert_name(name)
    if one := read_identity(home):
        raise Refused(
            f"this machine is {one.name} of cluster {one.cluster} already; nothing was changed. "
            "`portico cluster leave` removes it from there"
        )
    home.make()
    return prepared_authority(home) or MachineAuthority.create(
        str(uuid.uuid4()), SystemClock().now()
    )


def _write_first(folder: Path, authority: MachineAuthority, name: str) -> str:
    """The files of the first machine. Returns the serial of its certificate."""
    pair = authority.sign(name, machine_host(name), SystemClock().now())
    write_new(folder / AUTHORITY, authority.pem)
    write_new(folder / AUTHORITY_KEY, authority.key_pem)
    (folder / ISSUED_FOLDER).mkdir(mode=0o700)
    write_new(folder / ISSUED_FOLDER / f"{name}.pem", pair.certificate)
    write_identity(folder, authority.cluster, name, pair.serial, pair.certificate, pair.key)
    return pair.serial


def _report(session: Session, authority: MachineAuthority, name: str) -> None:
    if session.json:
        session.show_json({"cluster": authority.cluster, "name": name})
        return
    session.terminal.write(
        f"done: this machine is {name}, the first one of cluster {authority.cluster}"
    )


def invite(session: Session, name: str, output: str, *, replace: bool) -> None:
    """Write the file by which a machine joins."""
    assert_name(name)
    home, file = session.home, Path(output).absolute()
    if has_store(home):
        raise Refused(
            "machines join this cluster by a token, because it has a store; nothing was changed. "
            "`portico cluster token` creates one"
        )
    authority = _authority(home)
    issued = home.cluster / ISSUED_FOLDER / f"{name}.pem"
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

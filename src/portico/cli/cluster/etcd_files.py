"""`portico cluster etcd`: what the members of an etcd need, which `init` is to use then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from portico.cli.cluster.naming import assert_name, usable_address
from portico.cli.cluster.prepared_authority import prepare_authority
from portico.core.render.etcd_member import (
    AUTHORITY,
    CERTIFICATE,
    ENVIRONMENT,
    ETCD_FOLDER,
    KEY,
    client_url,
    etcd_environment,
    peer_url,
)
from portico.errors import Failed, Refused
from portico.system.clock import SystemClock
from portico.system.cluster_identity import read_identity
from portico.system.files import write
from portico.system.folders import begin_folder, finish_folder, remove_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portico.cli.session import Session
    from portico.system.machine_certificates import MachineAuthority


def write_etcd(session: Session, words: Sequence[str], output: str) -> None:
    """A folder for each member, in the folder `output`, which does not exist yet."""
    if one := read_identity(session.home):
        raise Refused(
            f"this machine is {one.name} of cluster {one.cluster}; nothing was changed. `portico "
            "cluster etcd` is for a cluster with a store, or one that is to be created"
        )
    members, target = members_of(words), Path(output).absolute()
    if target.exists():
        raise Refused(f"{target} exists; nothing was changed. Remove it, or use --output FOLDER")
    session.home.make()
    try:
        authority = prepare_authority(session.home, SystemClock().now())
        _write_members(target, members, authority)
    except OSError as error:
        raise Failed(
            f"cannot write {error.filename or target}: {error.strerror}; no member has files yet"
        ) from error
    _report(session, target, members)


def members_of(words: Sequence[str]) -> dict[str, str]:
    """By name, their addresses."""
    members: dict[str, str] = {}
    for word in words:
        name, _, address = word.partition("=")
        if not address or name in members:
            raise Refused(
                f"cannot use {word!r}: each member is written once, as NAME=ADDRESS, such as "
                "m1=10.0.0.1; nothing was changed"
            )
        assert_name(name)
        members[name] = usable_address(address)
    if len(set(members.values())) < len(members):
        raise Refused("two members have the same address; nothing was changed")
    return members


def _write_members(target: Path, members: Mapping[str, str], authority: MachineAuthority) -> None:
    folder = begin_folder(target.parent)
    peers = {name: peer_url(address) for name, address in members.items()}
    try:
        for name, address in members.items():
            own, pair = folder / name, authority.sign_member(name, address, SystemClock().now())
            environment = etcd_environment(name, address, peers, authority.cluster)
            own.mkdir(mode=0o700)
            write_member(own, authority.pem, pair.certificate, pair.key, environment)
        finish_folder(folder, target)
    finally:
        remove_folder(folder)


def write_member(
    folder: Path, authority: bytes, certificate: bytes, key: bytes, environment: str
) -> None:
    """The files of a member, in place of those that are there. Raises OSError."""
    write(folder / AUTHORITY, authority)
    write(folder / CERTIFICATE, certificate)
    write(folder / KEY, key)
    write(folder / ENVIRONMENT, environment)


def steps_of_member(folder: str) -> list[str]:
    """Lines for the machine of a member, which has that folder."""
    return [
        "  apt install etcd-server",
        f"  mkdir -p {ETCD_FOLDER} && cp {folder}/* {ETCD_FOLDER} && chown -R etcd {ETCD_FOLDER}",
        f"  cp {ETCD_FOLDER}/{ENVIRONMENT} /etc/default/etcd",
        "  systemctl restart --no-block etcd",
    ]


def _report(session: Session, target: Path, members: Mapping[str, str]) -> None:
    urls = [client_url(address) for address in members.values()]
    if session.json:
        session.show_json({"folder": str(target), "members": [*members], "endpoints": urls})
        return
    say = session.terminal.write
    say(f"{target}: a folder for each member. They hold keys: keep them secret")
    say("next, on each machine, with the folder of its own member:")
    for line in steps_of_member(f"{target.name}/NAME"):
        say(line)
    say(f"then here: portico cluster init NAME --etcd {','.join(urls)}")

"""`portico cluster keepalived`: an address that moves to a machine that runs (VRRP, RFC 5798)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.cli.local_file import local_file
from portico.core.model import member_verbs
from portico.core.model.cluster import Machine
from portico.core.model.names import url_host
from portico.errors import Refused
from portico.importers.read import read_file
from portico.system.cluster_identity import read_identity
from portico.system.cluster_store import has_store

if TYPE_CHECKING:
    from portico.cli.session import Session
    from portico.core.model.desired import Desired

# Version 3, because version 2 has whole seconds for advert_int. A machine that was cut off has the
# address all the while: only by garp_master_refresh others learn when it is back where it is.
HIGHEST_PRIORITY: Final = 200
FAILED_PRIORITY: Final = 100
"""Taken from that of a machine whose check fails: below any other of up to 100 machines."""
_EVERY_ADDRESS: Final = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104
"""Where nginx can be asked that listens on all of them."""


def show_keepalived(session: Session, address: str, interface: str) -> None:
    """Print keepalived.conf(5) of this machine, by the file in the current folder."""
    one = read_identity(session.home)
    if one is None:
        raise Refused("this machine is in no cluster; see `portico cluster join --help`")
    found = read_file(Path(), session.environ)
    desired = replace(local_file(found, session.home).desired, machine=one.name)
    if has_store(session.home):
        desired = replace(desired, machines=_stored_machines(session))
    if one.name not in desired.machines:
        raise Refused(f"{found.source} has no [machines.{one.name}], the table of this machine")
    if not desired.other_machines:  # keepalived would look for others by multicast
        raise Refused(
            f"{one.name} is the only machine of the cluster: no other can get an address"
        )
    own = ipaddress.ip_address(desired.machines[one.name].address)
    _assert_usable(address, interface, own.version)
    session.terminal.write_raw(configuration(desired, address, interface).rstrip())


def _stored_machines(session: Session) -> dict[str, Machine]:
    """Those of the store, as far as the daemon knows it."""
    view = session.client().ask(member_verbs.CLUSTER)
    return {m.name: Machine(address=m.address, port=m.port) for m in view.machines}


def _assert_usable(address: str, interface: str, version: int) -> None:
    """Both are written into a file as they are."""
    try:
        usable = ipaddress.ip_interface(address).version == version
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[0-9a-fA-F.:]+(/[0-9]+)?", address):
        raise Refused(
            f"cannot use {address!r}: it must be an IPv{version} address, as the machines have "
            'one, with the length of its network, such as "10.0.0.100/24"'
        )
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", interface):
        raise Refused(
            f"cannot use {interface!r}: --interface must be a network interface of the machine, "
            'such as "eth0"'
        )


def configuration(desired: Desired, address: str, interface: str) -> str:
    """Text for `desired.machine`. The first machine of the file has the address while it can."""
    machine, names = desired.machine, list(desired.machines)
    peers = "\n".join(f"        {each.address}" for each in desired.other_machines.values())
    return f"""\
# keepalived.conf of {machine}: `portico cluster keepalived` wrote it.
global_defs {{
    script_user nobody
    enable_script_security
    vrrp_version 3
}}

vrrp_script portico {{
    script "/usr/bin/curl -sf -m 1 -o /dev/null {_health_url(desired)}"
    interval 1
    timeout 2
    fall 2
    rise 2
    weight -{FAILED_PRIORITY}
}}

vrrp_instance portico {{
    state BACKUP
    interface {interface}
    virtual_router_id 51
    priority {HIGHEST_PRIORITY - names.index(machine)}
    advert_int 0.3
    garp_master_refresh 1
    unicast_src_ip {desired.machines[machine].address}
    unicast_peer {{
{peers}
    }}
    virtual_ipaddress {{
        {address} dev {interface}
    }}
    track_script {{
        portico
    }}
}}
"""


def _health_url(desired: Desired) -> str:
    """At an address that no other machine has: nginx may listen on the one that moves, too."""
    own, every = url_host(desired.machines[desired.machine].address), desired.listeners.addresses
    usable = {own, *_EVERY_ADDRESS.keys(), *_EVERY_ADDRESS.values()}
    address = next((each for each in every if each in usable), every[0])
    host = _EVERY_ADDRESS.get(address, address)
    return f"http://{host}:{desired.listeners.http}{desired.health_path}"

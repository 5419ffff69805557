"""The etcd of the quick start of docs/cluster.md: three members that are reached by TLS alone,
each in a network of its own, or on a machine.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.client import HTTPSConnection
from itertools import product
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from portico.cli.cluster.etcd_files import write_member
from portico.core.render.etcd_member import (
    AUTHORITY,
    CERTIFICATE,
    KEY,
    client_url,
    etcd_environment,
    peer_url,
)
from portico.system.clock import SystemClock
from portico.system.home import Home
from portico.system.machine_certificates import MachineAuthority
from tests.cluster import NOWHERE, Machines
from tests.etcd import Etcd, Member, Place, start_configured

ADDRESSES: Final = {"e1": "10.0.0.241", "e2": "10.0.0.242", "e3": "10.0.0.243"}


class ConfiguredMember(Member):
    """In the folder that `portico cluster etcd` writes for it."""

    def __init__(self, files: Path, place: Place) -> None:
        super().__init__(files.name, files.with_name(f"{files.name}-data"), place=place)
        self.url, self._files = client_url(place.address), files

    def connection(self, timeout: float) -> HTTPSConnection:
        tls = ssl.create_default_context(cafile=self._files / AUTHORITY)
        tls.load_cert_chain(self._files / CERTIFICATE, self._files / KEY)
        return HTTPSConnection(urlsplit(self.url).netloc, timeout=timeout, context=tls)

    def start(self, cluster: str, *options: str) -> None:  # noqa: ARG002 - its files say them
        self._process = start_configured(self._files, self.folder, self.words)


@contextmanager
def quick_start_etcd(machines: Machines, folder: Path) -> Iterator[Etcd]:
    """With what `portico cluster init --etcd` and `join` leave there and on each machine."""
    with ExitStack() as stack:
        places = {
            name: stack.enter_context(machines.place(name, address))
            for name, address in ADDRESSES.items()
        }
        yield stack.enter_context(_configured_etcd(machines, folder, places))


def etcd_of_machines(machines: Machines, folder: Path) -> AbstractContextManager[Etcd]:
    """The same with one member a machine, which has its name."""
    places = {each.name: Place(each.network, each.address, each.address) for each in machines}
    return _configured_etcd(machines, folder, places)


@contextmanager
def _configured_etcd(
    machines: Machines, folder: Path, places: Mapping[str, Place]
) -> Iterator[Etcd]:
    authority = MachineAuthority.read(Home(machines["m1"].home).cluster)
    peers = {name: peer_url(place.address) for name, place in places.items()}
    store = Etcd(folder, 0)
    store.members += [
        _member(folder / name, place, peers, authority) for name, place in places.items()
    ]
    try:
        store.start()
        machines.join(store, plain=False)
        yield store
    finally:
        store.kill()


def _member(
    files: Path, place: Place, peers: Mapping[str, str], authority: MachineAuthority
) -> ConfiguredMember:
    pair = authority.sign_member(files.name, place.address, SystemClock().now())
    text = etcd_environment(files.name, place.address, peers, authority.cluster)
    files.mkdir(mode=0o700, parents=True)
    write_member(files, authority.pem, pair.certificate, pair.key, text)
    return ConfiguredMember(files, place)


@contextmanager
def divided(some: Sequence[Place], others: Sequence[Place]) -> Iterator[None]:
    """These and the others do not reach each other meanwhile; both reach all else."""
    ways = [*product(some, others), *product(others, some)]
    for here, there in ways:
        here.network.ip(f"neigh replace {there.address} lladdr {NOWHERE} nud permanent dev eth0")
    yield
    for here, there in ways:
        here.network.ip(f"neigh del {there.address} dev eth0")

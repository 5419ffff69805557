"""Machines of a test's own: network namespaces with a bridge between them, and in each a whole
Portico with a home, a daemon and an nginx.

    with Machines("m1", "m2", "m3") as machines:
        machines.up(APPS)                      # the same file with [machines], on each
        with machines.load("m1") as load:      # from a network of its own, through machine m1
            machines.cut("m2")
        assert load.report().lost == 0

Nothing is in the network of this machine: addresses and ports are those of the namespaces. Root
only; `needs_root` skips the tests of others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import psutil
import pytest

from portico.client.connect import DAEMON
from portico.core.model.cluster import machine_host
from portico.core.model.shared import (
    CLUSTER_KEY,
    ClusterRecord,
    SharedMachine,
    encode,
    machine_key,
)
from portico.core.planning.mirroring import prefix_of
from portico.system.cluster_identity import (
    AUTHORITY,
    AUTHORITY_KEY,
    ISSUED_FOLDER,
    write_identity,
)
from portico.system.cluster_store import (
    KEY_SIZE,
    StoreFile,
    write_cluster_key,
    write_store,
)
from portico.system.files import write_new
from portico.system.home import Home
from portico.system.machine_certificates import MachineAuthority
from tests.etcd import Etcd, Place, etcd
from tests.network import Network
from tests.running_load import RunningLoad, running_load
from tests.stack import Stack
from tests.waiting import eventually, is_gone

needs_root: Final = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"), reason="makes networks: needs root and ip(8)"
)
STORE_ADDRESS: Final = "10.0.0.240"
HIDING: Final = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"')
"""Words before a folder and a command, for which the folder is empty."""
NOWHERE: Final = "02:00:00:00:00:01"
"""An address of Ethernet that no card has."""
SITE: Final = "app.localhost"
"""The site that a load asks, unless it is another one."""


class Machine(Stack):
    def __init__(self, name: str, address: str) -> None:
        super().__init__()
        self.name, self.address = name, address
        self.network: Network = Network()
        self.http, self.https = 80, 443
        self.serial = ""
        """Of its certificate, if it has joined."""
        self.labels: tuple[str, ...] = ()

    def belong(self, authority: MachineAuthority, *, has_key: bool) -> None:
        """Have joined the cluster, as `portico cluster join` does it, or created it."""
        home = Home(self.home)
        pair = authority.sign(self.name, machine_host(self.name), time.time())
        self._make_authority()
        self.serial = pair.serial
        home.cluster.mkdir(mode=0o700)
        write_new(home.cluster / AUTHORITY, authority.pem)
        if has_key:
            write_new(home.cluster / AUTHORITY_KEY, authority.key_pem)
            (home.cluster / ISSUED_FOLDER).mkdir(mode=0o700)
        write_identity(
            home.cluster, authority.cluster, self.name, pair.serial, pair.certificate, pair.key
        )

    def portico(self, *args: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        with self.network.entered():
            return super().portico(*args, seconds=seconds)

    def running(
        self, *args: str, under: Sequence[str] = ()
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        return super().running(*args, under=(*self.network.words, *under))

    def begin(self) -> None:
        """Its daemon, before any file is in force; with its own [edge]."""
        self.write_edge()
        self._begin_for("up")

    @contextmanager
    def begun_without(self, folder: Path) -> Iterator[None]:
        """Its daemon runs, and for it that folder is empty."""
        words = (*self.network.words, *HIDING, folder, *DAEMON)
        process = subprocess.Popen(words, cwd=self.folder, env=self.environ)
        try:
            eventually(self._answers)
            yield
        finally:
            process.terminate()
            process.wait(60)

    def write_edge(self) -> None:
        """What differs from the other machines."""
        edge = {"http": self.http, "https": self.https, "bind": ["127.0.0.1", self.address]}
        lines = (f"{key} = {json.dumps(value)}\n" for key, value in edge.items())
        Home(self.home).make()
        (self.home / "edge.toml").write_text("[edge]\n" + "".join(lines))

    def sees(self, machines: int) -> bool:
        """Whether its daemon knows of so many that are there."""
        view = self.api("/v1/cluster")
        return view["followed"] and sum(m["present"] for m in view["machines"]) == machines

    def hears_of(self, app: str) -> bool:
        """Whether it knows of an instance of that app on another machine. Before it has heard of
        any it sends requests to all that may have one, and then to none for a second or two.
        """
        return any(each["apps"].get(app) for each in self.status()["neighbours"])

    def kill(self) -> None:
        """SIGKILL all that runs on it, at once: daemon, nginx and instances. Those of others have
        its folder in their environment too, if an `up` was given here.
        """
        processes = [each for each in self.processes() if self._is_here(each)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        eventually(lambda: all(is_gone(process.pid) for process in processes))

    def _is_here(self, process: psutil.Process) -> bool:
        with suppress(OSError):
            return Path(f"/proc/{process.pid}/ns/net").samefile(self.network.path)
        return False

    def close(self) -> list[str]:
        left = super().close()
        self.network.close()
        return left


class Machines:
    """`joined`: whether they have certificates of one cluster from the start."""

    def __init__(self, *names: str, joined: bool = True) -> None:
        self._stack = ExitStack()
        self._between, self.client = Network(), Network()
        self._machines = {
            name: Machine(name, f"10.0.0.{number}") for number, name in enumerate(names, 1)
        }
        self._authority = MachineAuthority.create(str(uuid.uuid4()), time.time())
        self._joined, self._first = joined, names[0]

    def __enter__(self) -> Self:
        with self._stack as stack:
            stack.callback(self._between.close)
            stack.callback(self.client.close)
            self._between.ip("link add bridge type bridge", "link set bridge up")
            self._connect(self.client, "client", "10.0.0.250")
            for machine in self:
                stack.enter_context(machine)
                self._connect(machine.network, machine.name, machine.address)
                if self._joined:
                    machine.belong(self._authority, has_key=machine.name == self._first)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._machines.values())

    def __getitem__(self, name: str) -> Machine:
        return self._machines[name]

    # what runs

    def text(self, apps: str, without: Container[str] = ()) -> str:
        """The file without [edge], with all other machines."""
        tables = (
            f'[machines.{each.name}]\naddress = "{each.address}"\n'
            for each in self
            if each.name not in without
        )
        return "\n".join((apps, *tables))

    def up(
        self,
        apps: str,
        *names: str,
        without: Container[str] = (),
        shared: bool = False,
        **edge: object,
    ) -> None:
        """Bring a file up on these machines, all by default, one after the other. `shared`: the
        list of machines is in the store, and the file goes over all of them.
        """
        if shared:
            self.share()
            first = self[self._first]
            (first.folder / "portico.toml").write_text(apps)
            first.done("up")
            return
        text = self.text(apps, without)
        for name in names or self._machines:
            self[name].up(text, bind=["127.0.0.1", self[name].address], **edge)

    def share(self) -> None:
        """Have a daemon on each machine that is seen by all, with an [edge] of its own."""
        for machine in self:
            machine.begin()
        for machine in self:
            eventually(lambda m=machine: m.sees(len(self._machines)))

    @contextmanager
    def load(
        self, name: str, site: str = SITE, path: str = "/", **work: object
    ) -> Iterator[RunningLoad]:
        """Load that enters at one machine, from a network of its own. See `tests.load`."""
        entered = self[name]
        given = {"address": entered.address, "ca": str(entered.authority)} | work
        with running_load(entered.url(site, path), given, self.client.path) as running:
            yield running

    @contextmanager
    def sharing(self, folder: Path, members: int = 1, *options: str) -> Iterator[Etcd]:
        """An etcd in a network of its own, with what `portico cluster init --etcd` and `join`
        leave there and on each machine. Daemons that run already do not know of it.
        """
        with (
            self.place("store", STORE_ADDRESS) as place,
            etcd(folder, members, *options, places=[place] * members) as store,
        ):
            self.join(store, plain=True)
            yield store

    @contextmanager
    def place(self, name: str, address: str) -> Iterator[Place]:
        """A network of its own for members of etcd, which the machines reach."""
        with closing(Network()) as network:
            self._connect(network, name, address)
            yield Place(network, address, address)

    def join(self, store: Etcd, *, plain: bool) -> None:
        """Write there and on each machine what `portico cluster init --etcd` and `join` leave."""
        prefix, key = prefix_of(self._authority.cluster), os.urandom(KEY_SIZE)
        store.put(prefix + CLUSTER_KEY, encode(ClusterRecord(least=1)).decode())
        for machine in self:
            record = SharedMachine(
                address=machine.address, labels=machine.labels, serial=machine.serial
            )
            store.put(prefix + machine_key(machine.name), encode(record).decode())
            write_store(Home(machine.home).cluster, StoreFile(store.urls, plain=plain))
            write_cluster_key(Home(machine.home).cluster, key)

    def key(self, name: str) -> str:
        """Of the store, as etcd has it."""
        return prefix_of(self._authority.cluster) + name

    # violence

    def cut(self, name: str) -> None:
        """From now on packets to and from it vanish without notice."""
        self._between.ip(f"link set {name} nomaster")

    def mend(self, name: str) -> None:
        self._between.ip(f"link set {name} master bridge")

    def part(self, *names: str) -> None:
        """These do not reach each other any more, but all others."""
        self._between.ip(*(f"link set {name} type bridge_slave isolated on" for name in names))

    def rejoin(self, *names: str) -> None:
        self._between.ip(*(f"link set {name} type bridge_slave isolated off" for name in names))

    def divide(self, name: str) -> None:
        """It and all others, and the store, do not hear each other from now on; clients
        reach both sides.
        """
        addresses = self._addresses_of_others(name)
        self[name].network.ip(
            *(
                f"neigh replace {each} lladdr {NOWHERE} nud permanent dev eth0"
                for each in addresses
            )
        )

    def reunite(self, name: str) -> None:
        addresses = self._addresses_of_others(name)
        self[name].network.ip(*(f"neigh del {each} dev eth0" for each in addresses))

    def _addresses_of_others(self, name: str) -> list[str]:
        return [STORE_ADDRESS, *(each.address for each in self if each.name != name)]

    def die(self, name: str) -> None:
        """As by a power cut: it is silent, and nothing runs any more."""
        self.cut(name)
        self[name].kill()

    def _connect(self, network: Network, name: str, address: str) -> None:
        """A cable between the network's eth0 and the bridge."""
        network.ip(
            f"link add eth0 type veth peer name {name} netns {self._between.path}",
            f"addr add {address}/24 dev eth0",
            "link set eth0 up",
        )
        self._between.ip(f"link set {name} master bridge up")

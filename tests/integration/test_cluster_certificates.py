"""Certificates of a cluster with a store: one machine orders, an authority reaches another one,
and all serve what came.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from portico.adapters.vault import child
from portico.system.cluster_store import KEY_FILE
from portico.system.home import Home
from tests import etcd
from tests.cluster import Machine, Machines, needs_root
from tests.etcd import Etcd
from tests.fakes import pebble
from tests.fakes.pebble import Pebble
from tests.stack import PROGRAMS
from tests.tls import served_serial
from tests.waiting import eventually

pytestmark = [
    needs_root,
    pytest.mark.skipif(bool(etcd.MISSING), reason=etcd.WHY_SKIPPED),
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
]
CLIENT = "10.0.0.250"
"""The address of the authority."""
NAMES = ("m1", "m2", "m3")
SITE = "shop.example.com"
PASSWORD = "Xq7-wm2ZkT90vRbd"
FILE = f"""
[tls]
issuer = "{{authority.directory}}"
ca_bundle = "{{authority.root}}"
preflight = false
limits = {{{{ same_names = "5/7d" }}}}

[apps.web]
command = ["python3", "{PROGRAMS}/echo.py"]
env.PASSWORD = "{PASSWORD}"

[sites."{SITE}"]
app = "web"
tls.deploy_hook = ["sh", "-c", "echo $RENEWED_LINEAGE $RENEWED_DOMAINS >> {{hooks}}"]
"""


@dataclass
class Cluster:
    machines: Machines
    etcd: Etcd
    authority: Pebble
    hooks: Path
    """What the deploy hook of each machine adds a line to."""

    def up(self) -> None:
        self.machines.up(FILE.format(authority=self.authority, hooks=self.hooks), shared=True)

    def deployed(self, *names: str) -> list[int]:
        """How often each of these has run its deploy hook for the site."""
        lines = self.hooks.read_text().splitlines() if self.hooks.exists() else []
        assert all(line.endswith(f" {SITE}") for line in lines), lines
        homes = [str(self.machines[name].home) for name in names]
        return [sum(line.startswith(f"{home}/") for line in lines) for home in homes]

    def shared(self, key: str) -> dict | None:
        """A value of the store that is not sealed."""
        text = self.etcd.get(self.machines.key(key))
        return json.loads(text) if text else None

    def opened(self, values: dict[str, bytes]) -> dict[str, bytes]:
        """Those of the store, decrypted by the key of the cluster. Raises Failed for one that is
        not encrypted.
        """
        file = Home(self.machines["m1"].home).cluster / KEY_FILE
        sealed = {key: base64.b64encode(value).decode() for key, value in values.items()}
        answer = child.answer({"act": "open", "key": str(file), "values": sealed})
        return {key: base64.b64decode(value) for key, value in answer.items()}

    def written(self, key: str) -> int:
        """How often a key was written since it came to exist; 0 if it does not."""
        return self.etcd.version(self.machines.key(key))

    def answer_by(self, name: str) -> None:
        """To this machine all names lead, for the authority."""
        self.authority.names("set-default-ipv4", ip=self.machines[name].address)

    def issuer(self) -> str:
        return eventually(lambda: self.shared("issuer"))["machine"]

    def issued(self) -> list[str]:
        """Serials of what the authority has signed, in order, as `served_serial` has them."""
        return re.findall(r"Issued certificate serial 0*(\w+)", self.authority.log)

    def thumbprints(self) -> set[str]:
        """By which the machines answer an authority."""
        values = (self.shared(f"present/{name}") for name in NAMES)
        return {value["thumbprint"] for value in values if value}

    def orders(self) -> int:
        return self.authority.log.count("Added order")

    def served(self, *names: str, since: Collection[str] = ()) -> set[str]:
        """The serial that all of them serve, if it is of a certificate that was issued since
        these; empty as long as they differ.
        """
        new = {*self.issued()} - {*since}
        found = {self._served(self.machines[name]) for name in names if new}
        return found if len(found) == 1 and found <= new else set()

    def _served(self, machine: Machine) -> str:
        with suppress(OSError), machine.network.entered():
            return served_serial(machine.https, SITE)
        return ""


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Three machines with an etcd, and an authority in the network of clients."""
    with Machines(*NAMES) as machines:
        place = {"address": CLIENT, "network": machines.client, "httpPort": 80, "tlsPort": 443}
        with (
            machines.sharing(folder / "etcd") as store,
            pebble.running(folder / "pebble", **place) as authority,
        ):
            yield Cluster(machines, store, authority, folder / "hooks")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def test_one_machine_orders_another_one_answers_the_authority_and_all_serve_what_came(cluster):
    cluster.answer_by("m3")
    with cluster.authority.paused():  # it is to ask m3 when that has the file
        cluster.up()
    [serial] = eventually(lambda: cluster.served(*NAMES), within=180, every=0.5)
    assert cluster.issued() == [serial]
    for each in cluster.machines:
        [found] = [view for view in each.api("/v1/certificates") if view["name"] == SITE]
        [use] = [use for use in found["ledger"] if use["limit"] == "same names"]
        assert use["used"] == 1, each.name
    assert cluster.orders() == 1
    eventually(lambda: cluster.deployed(*NAMES) == [1, 1, 1])


def test_the_store_has_passwords_and_private_keys_only_encrypted(cluster):
    values = cluster.etcd.values()
    plain = {key: value for key, value in values.items() if value.startswith(b"{")}
    for key, value in plain.items():
        assert json.loads(value), key
        assert PASSWORD.encode() not in value, key
        assert b"PRIVATE KEY" not in value, key
    opened = cluster.opened({key: values[key] for key in values.keys() - plain.keys()})
    [file] = [value for key, value in opened.items() if "/revisions/" in key]
    [certificate] = [value for key, value in opened.items() if "/lineages/" in key]
    assert PASSWORD.encode() in zlib.decompress(file)
    assert b"PRIVATE KEY" in certificate


def test_commands_on_machines_that_do_not_obtain_certificates_have_them_do_it(cluster):
    [before], issuer = cluster.issued(), cluster.issuer()
    one, other = (each for each in cluster.machines if each.name != issuer)
    done = one.done("certs", "revoke", SITE)
    assert f"waiting until {issuer} lets this machine obtain" in done.stderr
    [after] = eventually(lambda: cluster.served(*NAMES, since=[before]), within=180, every=0.5)
    assert cluster.issued() == [before, after]
    assert cluster.authority.status(before) == "Revoked"
    old = cluster.thumbprints()
    other.done("certs", "rollover")
    assert cluster.issuer() == other.name
    eventually(
        lambda: len(found := cluster.thumbprints()) == 1 and found != old, within=180, every=0.5
    )


def test_an_order_goes_on_elsewhere_where_its_machine_dies_in_the_middle(cluster):
    before, issuer = cluster.issued(), cluster.issuer()
    left = [name for name in NAMES if name != issuer]
    eventually(lambda: cluster.deployed(*left) == [len(before)] * 2)
    cluster.answer_by(left[0])
    with cluster.machines[issuer].running("certs", "renew", SITE, "--force"):
        eventually(lambda: cluster.written(f"orders/{SITE}") > 1, within=180, every=0.05)
        cluster.machines.die(issuer)
    [after] = eventually(lambda: cluster.served(*left, since=before), within=180, every=0.5)
    assert cluster.issued() == [*before, after]
    assert cluster.orders() == len(before) + 1
    assert cluster.shared(f"current/{SITE}")["serial"] == after
    eventually(lambda: cluster.deployed(*left) == [len(before) + 1] * 2)

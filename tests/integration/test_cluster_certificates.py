"""Certificates of a cluster with a store: one machine orders, an authority reaches another one,
and all serve what came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests import etcd
from tests.cluster import Machine, Machines, needs_root
from tests.etcd import Etcd
from tests.fakes import pebble
from tests.fakes.pebble import Pebble
from tests.stack import PROGRAMS, eventually
from tests.tls import served_serial

pytestmark = [
    needs_root,
    pytest.mark.skipif(bool(etcd.MISSING), reason=etcd.WHY_SKIPPED),
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
]
CLIENT = "10.0.0.250"
"""The address of the authority."""
NAME = "shop.example.com"
FILE = f"""
[tls]
issuer = "{{authority.directory}}"
ca_bundle = "{{authority.root}}"
preflight = false
limits = {{{{ same_names = "5/7d" }}}}

[apps.web]
command = ["node", "{PROGRAMS}/echo.js"]

[sites."{NAME}"]
app = "web"
"""


@dataclass
class Cluster:
    machines: Machines
    etcd: Etcd
    authority: Pebble

    def up(self) -> None:
        self.machines.up(FILE.format(authority=self.authority), shared=True)

    def shared(self, key: str) -> dict | None:
        """A value of the store that is not sealed."""
        text = self.etcd.ctl("get", self.machines.key(key), "--print-value-only")
        return json.loads(text) if text.strip() else None

    def written(self, key: str) -> int:
        """How often a key was written since it came to exist; 0 if it does not."""
        text = self.etcd.ctl("get", self.machines.key(key), "-w", "json")
        found = json.loads(text).get("kvs") or [{"version": 0}]
        return found[0]["version"]

    def issuer(self) -> str:
        return eventually(lambda: self.shared("issuer"))["machine"]

    def issued(self) -> list[str]:
        """Serials of the certificates that the authority has signed, in order."""
        return re.findall(r"Issued certificate serial (\w+)", self.authority.log)

    def orders(self) -> int:
        return self.authority.log.count("Added order")

    def served(self, *names: str) -> set[str]:
        """The serial that all of them serve; empty as long as they differ."""
        found = {self._served(self.machines[name]) for name in names}
        return found if len(found) == 1 and found <= set(self.issued()) else set()

    def _served(self, machine: Machine) -> str:
        with suppress(OSError), machine.network.entered():
            return served_serial(machine.https, NAME)
        return ""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with Machines("m1", "m2", "m3") as machines:
        place = {"address": CLIENT, "network": machines.client, "httpPort": 80, "tlsPort": 443}
        with (
            machines.sharing(folder / "etcd") as store,
            pebble.running(folder / "pebble", **place) as authority,
        ):
            yield Cluster(machines, store, authority)


def test_one_machine_orders_another_one_answers_the_authority_and_all_serve_what_came(cluster):
    cluster.authority.names("set-default-ipv4", ip=cluster.machines["m3"].address)
    cluster.up()
    [serial] = eventually(lambda: cluster.served("m1", "m2", "m3"), within=180)
    assert cluster.issuer() == "m1"
    assert cluster.issued() == [serial]
    for each in cluster.machines:
        [found] = [view for view in each.api("/v1/certificates") if view["name"] == NAME]
        [use] = [use for use in found["ledger"] if use["limit"] == "same names"]
        assert use["used"] == 1, each.name
    refused = cluster.machines["m2"].portico("certs", "renew", NAME, "--force")
    assert f"cannot renew {NAME} on this machine: m1 obtains the certificates" in refused.stderr


def test_an_order_goes_on_elsewhere_where_its_machine_dies_in_the_middle(cluster):
    [before] = cluster.issued()
    machine = cluster.machines["m1"]
    with machine.running("certs", "renew", NAME, "--force"):
        eventually(lambda: cluster.written(f"orders/{NAME}") > 1, within=180, every=0.02)
        cluster.machines.die("m1")
    [after] = eventually(lambda: cluster.served("m2", "m3") - {before}, within=180)
    assert cluster.issued() == [before, after]
    assert cluster.orders() == 2
    assert cluster.shared(f"current/{NAME}")["serial"] == after

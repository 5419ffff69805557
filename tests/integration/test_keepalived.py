"""What `portico cluster keepalived` writes, for the real keepalived: it complains of nothing."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from portico.cli.cluster.keepalived import configuration
from portico.core.model.cluster import Machine
from portico.core.model.desired import Desired, Listeners
from portico.core.model.edge import Edge
from tests.network import Network
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("keepalived"), reason="needs root and keepalived"
)
MACHINES = 50
LONGEST_INTERFACE = "br-0a1b.2_3c-d4"
COMPLAINT = re.compile(
    r"WARNING|unknown|invalid|not valid|ignor|deprecated|exist|unsafe|disabl|failed 99",
    re.IGNORECASE,
)


def machines(network: str) -> dict[str, Machine]:
    """As many as a cluster may have, the first with the longest name."""
    names = ("m" * 50, *(f"m-{number}" for number in range(2, MACHINES + 1)))
    hosts = ipaddress.ip_network(network).hosts()
    return {name: Machine(address=str(host)) for name, host in zip(names, hosts, strict=False)}


@contextmanager
def keepalived(network: Network, file: Path) -> Iterator[Path]:
    """It runs in that network, with its log in the file that this returns."""
    log, pid = file.with_suffix(".log"), file.with_suffix(".pid")
    files = ("--use-file", file, "--pid", pid, "--vrrp_pid", file.with_suffix(".vrrp"))
    words = (*network.words, "keepalived", "--dont-fork", "--log-console", *files)
    with log.open("w") as opened:
        process = subprocess.Popen(words, stdout=opened, stderr=subprocess.STDOUT)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize(
    ("network", "address", "listens"),
    [
        ("10.0.0.0/24", "10.0.0.100/24", "*"),
        ("fd00::/64", "fd00::100/64", "[::]"),
        ("fd00::/64", "fd00::100", "[fd00::1]"),
    ],
)
def test_keepalived_takes_the_address_without_a_complaint(network, address, listens, tmp_path):
    every = machines(network)
    own, first = next(iter(every)), next(iter(every.values()))
    edge = Edge(health_path="/~SEQ/.-_/health")
    wanted = Desired(
        machines=every, machine=own, listeners=Listeners(80, 443, (listens,)), edge=edge
    )
    file = tmp_path / "keepalived.conf"
    file.write_text(configuration(wanted, address, LONGEST_INTERFACE))
    with closing(Network()) as its:
        length = ipaddress.ip_network(network).prefixlen
        its.ip(
            f"link add {LONGEST_INTERFACE} type veth peer name other",
            f"addr add {first.address}/{length} dev {LONGEST_INTERFACE} nodad",
            f"link set {LONGEST_INTERFACE} up",
            "link set other up",
        )
        with keepalived(its, file) as log:
            plain = address.partition("/")[0]
            eventually(lambda: f" {plain}/" in addresses(its))
            said = log.read_text()
    assert [line for line in said.splitlines() if COMPLAINT.search(line)] == []


def addresses(network: Network) -> str:
    words = (*network.words, "ip", "-o", "addr")
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout

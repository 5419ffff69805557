"""An order that would fail is not sent: the whole daemon, port 80 of a loopback, and pebble."""

from __future__ import annotations

import os
import time

import pytest

from tests.addresses import own_address
from tests.fakes import name_server, pebble
from tests.stack import PROGRAMS
from tests.waiting import eventually

HERE, ELSEWHERE = own_address(0), own_address(1)
FILE = """
[tls]
issuer = "{directory}"
limits = {{ orders = "300/3h", failed_validations = "5/1h" }}
ca_bundle = "{root}"
resolvers = ["{resolver}"]

[apps.web]
command = "python3 {program}"

[sites."shop.example.com"]
app = "web"
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: authorities ask at port 80"),
]


@pytest.fixture
def stack(network, stack):
    stack.network = network
    return stack


@pytest.fixture
def names(network):
    with name_server.serving("example.com") as names:
        names.records["shop.example.com", "A"] = [ELSEWHERE]
        yield names


@pytest.fixture
def authority(tmp_path, names):
    with pebble.running(tmp_path / "pebble", dns=names.port, httpPort=80) as running:
        yield running


def certificate(stack):
    (view,) = stack.api("/v1/certificates")
    return view


def until(stack, good):
    eventually(lambda: good(certificate(stack)))
    return certificate(stack)


def test_an_order_is_sent_only_when_the_name_leads_here_and_a_failure_costs_nothing(
    stack, names, authority
):
    stack.http = 80
    text = FILE.format(
        directory=authority.directory,
        root=authority.root,
        resolver=names.resolver,
        program=PROGRAMS / "echo.py",
    )
    stack.up(text, bind=[HERE, "127.0.0.1"])
    view = until(stack, lambda view: view["error"])
    assert (
        f"shop.example.com at {ELSEWHERE} does not reach this machine: Connection refused"
        in view["error"]
    )
    assert view["next"] == "issue"
    assert view["next_at"] > time.time()
    assert {limit["used"] for limit in view["ledger"]} == {0}
    assert "/order-plz" not in authority.log
    assert stack.get("shop.example.com").status == 200
    assert any("order not placed" in trouble for trouble in stack.status()["troubles"])
    assert "order not placed" in stack.done("certs", "show", "shop.example.com").stdout

    names.records["shop.example.com", "A"] = [HERE]
    stack.done("certs", "renew", "shop.example.com", "--force")
    view = certificate(stack)
    assert view["served"]
    assert not view["error"]
    assert not stack.status()["troubles"]

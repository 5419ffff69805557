"""Certificates of a real authority (pebble), obtained and renewed through the running nginx."""

from __future__ import annotations

import json
import re
import time

import pytest

from portico.adapters.state.sqlite import SqliteState
from portico.core.model.certificate import Entry
from portico.core.model.instance import InstanceState
from tests.fakes import pebble
from tests.stack import PROGRAMS, Stack
from tests.tls import served_serial
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
]

FILE = """
[tls]
issuer = "{directory}"
ca_bundle = "{root}"
email = "ops@example.com"
preflight = false
limits = {{ orders = "300/3h", accounts = "10/3h" }}
deploy_hook = ["/usr/bin/touch", "{folder}/served"]

[apps.web]
command = "python3 {program}"
instances = 2

[sites."shop.example.com"]
aliases = ["www.example.com"]
app = "web"
"""


@pytest.fixture
def authority(tmp_path):
    with pebble.running(tmp_path / "pebble") as running:
        yield running


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A stack with its first certificate, and the authority that it is of."""
    with pebble.running(tmp_path_factory.mktemp("pebble")) as authority, Stack() as stack:
        assert start(stack, authority).returncode == 0
        until(stack, lambda view: view["served"])
        yield stack, authority


def start(stack, authority):
    stack.http, stack.https = authority.http, authority.tls
    text = FILE.format(
        directory=authority.directory,
        root=authority.root,
        folder=stack.root,
        program=PROGRAMS / "echo.py",
    )
    return stack.up(text, bind=["127.0.0.1"])


def certificate(stack):
    (view,) = stack.api("/v1/certificates")
    return view


def until(stack, good):
    eventually(lambda: good(certificate(stack)))
    return certificate(stack)


def test_a_public_name_is_served_at_once_and_with_its_own_certificate_soon(served):
    stack, authority = served
    view = certificate(stack)
    assert view["issuer"] == authority.directory
    for name in view["names"]:
        assert served_serial(stack.https, name) == view["serial"].lstrip("0")
    assert (stack.root / "served").exists()
    assert stack.status()["sites"][0]["certificate"] == "authority"
    log = (stack.home / "logs/porticod.log").read_text()
    for said in ("created an account at", "accepted order", "issued the certificate"):
        assert re.search(rf"certificate shop\.example\.com: .*{said}", log)
    metrics = stack.done("metrics").stdout
    assert 'portico_certificate_served{certificate="shop.example.com"} 1\n' in metrics
    assert re.search(r'portico_app_instances\{.*app="web",state="ready"\} 2\n', metrics)


def test_what_is_not_due_is_skipped_and_said_and_what_is_forced_is_renewed(served):
    stack, _ = served
    first = certificate(stack)["serial"]
    told = stack.done("certs", "renew")
    assert "skipped, not due before" in told.stdout + told.stderr
    assert certificate(stack)["serial"] == first
    stack.done("certs", "renew", "shop.example.com", "--force")
    again = certificate(stack)
    assert again["served"]
    assert again["serial"] != first
    assert served_serial(stack.https, "shop.example.com") == again["serial"].lstrip("0")


def test_neither_an_up_nor_the_death_of_the_daemon_sends_another_order(served):
    stack, authority = served
    first, orders = certificate(stack), authority.log.count("POST /order-plz")
    stack.kill_daemon()
    (view,) = json.loads(stack.done("certs", "--json").stdout)
    assert view["serial"] == first["serial"]
    assert stack.up().returncode == 0
    view = until(stack, lambda view: view["served"])
    assert view["serial"] == first["serial"]
    assert used(view) == used(first)
    assert used(view)["accounts"] == 1
    assert authority.log.count("POST /order-plz") == orders


def used(view):
    return {limit["limit"]: limit["used"] for limit in view["ledger"]}


def test_no_account_is_made_beyond_the_limit_of_them(stack, authority):
    stack.home.mkdir()
    now = time.time()
    entries = [Entry(now - 60, authority.directory, "account") for _ in range(10)]
    SqliteState(stack.home / "portico.db").add_ledger(entries)
    start(stack, authority)
    view = until(stack, lambda view: view["error"])
    assert "now: 10 of 10 new accounts used" in view["error"]
    assert view["next_at"] == pytest.approx(now + 3 * 3600 - 60, abs=5)


def test_an_authority_that_is_down_is_tried_again_later_and_holds_up_no_site(stack, authority):
    authority.stop()
    assert start(stack, authority).returncode == 0
    view = until(stack, lambda view: view["error"])
    assert not view["served"]
    assert view["next"] == "issue"
    assert view["next_at"] > time.time()
    assert stack.get("shop.example.com").status == 200
    states = {each["state"] for each in stack.instances("web")}
    assert states == {InstanceState.READY}

    authority.start()
    told = stack.done("certs", "issue", "shop.example.com").stderr
    assert "privkey.pem are valid until" in told, "by hand it need not wait its time"
    assert until(stack, lambda view: view["served"])["issuer"] == authority.directory

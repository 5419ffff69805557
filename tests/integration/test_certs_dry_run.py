"""`portico certs renew --dry-run`: all of a renewal but what is served and what is counted."""

from __future__ import annotations

import json

import pytest

from tests.fakes import pebble
from tests.tls import served_serial
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
]

FILE = """
[tls]
issuer = "{directory}"
{staging}
ca_bundle = "{root}"
preflight = false
limits = {{ same_names = "5/7d", orders = "300/3h", accounts = "10/3h" }}
deploy_hook = ["/bin/sh", "-c", "echo once >> {folder}/served"]

[sites."shop.example.com"]
folder = "."
"""


@pytest.fixture
def authority(tmp_path):
    with pebble.running(tmp_path / "pebble") as running:
        yield running


def start(stack, authority, *, staging):
    """The same authority under another address stands for its staging."""
    at = authority.directory.replace("127.0.0.1", "localhost")
    stack.http, stack.https = authority.http, authority.tls
    text = FILE.format(
        directory=authority.directory,
        staging=f'staging = "{at}"' if staging else "",
        root=authority.root,
        folder=stack.root,
    )
    stack.up(text, bind=["127.0.0.1"])
    return at, eventually(lambda: [v for v in held(stack) if v["served"]], 60)[0]


def held(stack):
    return stack.api("/v1/certificates")


def used(view):
    return [(limit["limit"], limit["of"], limit["used"]) for limit in view["ledger"]]


def files(stack):
    """Everything of nginx and of certificates but what only says when."""
    folders = (stack.home / "nginx" / "generations", stack.home / "certificates")
    return {
        path.relative_to(stack.home): path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "account" not in path.parts
    }


def test_a_dry_run_orders_on_staging_and_asks_nginx_and_changes_nothing(stack, authority):
    at, before = start(stack, authority, staging=True)
    there, generation = files(stack), stack.status()["nginx"]["generation"]
    change = json.loads(stack.done("certs", "renew", "--dry-run", "--json").stdout)
    assert change["lines"] == [
        f"shop.example.com: {at} issued a certificate",
        "nginx -t accepts the configuration",
        "served certificates, stored files and rate limits are unchanged",
    ]
    [after] = held(stack)
    assert used(after) == used(before)
    assert (after["serial"], after["error"]) == (before["serial"], "")
    assert served_serial(stack.https, "shop.example.com") == before["serial"]
    assert stack.status()["nginx"]["generation"] == generation
    assert files(stack) == there
    assert (stack.root / "served").read_text() == "once\n"

    authority.stop()
    told = stack.portico("certs", "renew", "--dry-run")
    assert told.returncode == 1
    assert "shop.example.com: " in told.stderr
    [after] = held(stack)
    assert (used(after), after["error"]) == (used(before), "")


def test_where_no_staging_is_known_nothing_is_ordered_and_that_is_said(stack, authority):
    _, before = start(stack, authority, staging=False)
    orders = authority.log.count("order-plz")
    told = stack.portico("certs", "renew", "--dry-run")
    assert told.returncode == 2
    assert f"not tried: {authority.directory} has no known staging" in told.stderr
    assert authority.log.count("order-plz") == orders
    assert used(held(stack)[0]) == used(before)

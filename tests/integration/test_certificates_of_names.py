"""Which certificate each name of a site is served with, through a real authority (pebble)."""

from __future__ import annotations

import json
import ssl

import pytest

from tests.fakes import pebble
from tests.tls import served_serial
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
]

SHOP, WWW, LOCAL, LOST = "shop.example.com", "www.example.com", "shop.localhost", "old.example.net"
TLS = """
[tls]
issuer = "{directory}"
ca_bundle = "{root}"
preflight = false
"""
SITE = '[sites."{}"]\nredirect = "https://elsewhere.example.com"\naliases = {}\n'


@pytest.fixture
def authority(tmp_path):
    with pebble.running(tmp_path / "pebble") as running:
        yield running


class Shop:
    def __init__(self, stack, authority):
        self.stack, self.authority = stack, authority
        stack.http, stack.https = authority.http, authority.tls

    def up(self, name, *aliases):
        head = TLS.format(directory=self.authority.directory, root=self.authority.root)
        self.stack.up(head + SITE.format(name, json.dumps(aliases)), bind=["127.0.0.1"])

    def serial(self, name):
        return served_serial(self.stack.https, name)

    def certificate(self, name):
        views = self.stack.api("/v1/certificates")
        return next(view for view in views if view["name"] == name)

    def troubles(self):
        return [each for each in self.stack.status()["troubles"] if LOST in each]

    def is_local(self, name):
        """Whether who trusts the local authority takes what the name is served with."""
        try:
            with self.stack.client(name) as client:
                client.ask("GET", "/")
        except ssl.SSLError:
            return False
        return True


def test_each_name_is_served_with_the_best_certificate_there_is(stack, authority):
    shop = Shop(stack, authority)
    shop.up(SHOP, WWW, LOCAL)
    eventually(lambda: shop.certificate(SHOP)["served"], 60)
    serial = shop.certificate(SHOP)["serial"].lstrip("0")
    assert shop.certificate(SHOP)["names"] == [SHOP, WWW]
    assert shop.serial(SHOP) == shop.serial(WWW) == serial
    assert shop.is_local(LOCAL)
    assert not shop.is_local(SHOP)

    authority.names("set-servfail", host=f"{LOST}.")
    shop.up(SHOP, WWW, LOCAL, LOST)
    eventually(shop.troubles, 60)
    (said,) = shop.troubles()
    assert said.startswith(f"certificate {SHOP}: {LOST} is left out: ")
    assert shop.serial(SHOP) == shop.serial(WWW) == serial
    assert shop.is_local(LOST)
    authority.names("clear-servfail", host=f"{LOST}.")
    stack.done("certs", "renew", SHOP, "--force")
    serial = shop.certificate(SHOP)["serial"].lstrip("0")
    assert shop.serial(LOST) == shop.serial(SHOP) == serial

    authority.stop()
    shop.up(WWW, SHOP, LOCAL, LOST)
    assert shop.serial(SHOP) == shop.serial(WWW) == serial
    assert shop.is_local(LOCAL)
    (site,) = stack.status()["sites"]
    assert site["certificate"] == "authority"

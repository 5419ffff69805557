"""A daemon that is killed at each place on the way of a certificate, and the next that goes on."""

from __future__ import annotations

import fcntl
import shutil
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cryptography import x509

from portico.adapters.lineages.lineage_folder import LineageFolder
from portico.system.home import Home
from tests.daemons import start_daemon
from tests.fakes import pebble
from tests.programs.daemon_killed import PLACES
from tests.signing import Signer
from tests.stack import Stack
from tests.tls import served_serial
from tests.waiting import eventually, is_gone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
]
SITES = {place: f"shop{number % 3}.example.com" for number, place in enumerate(PLACES)}
"""Several: an authority signs for the same names a few times a week only."""
FILE = """
[tls]
issuer = "{directory}"
ca_bundle = "{root}"
preflight = false
limits = {{ same_names = "9/7d" }}
deploy_hook = ["/bin/sh", "-c", "date >> {folder}/served"]
"""
REDIRECT = '[sites."{site}"]\nredirect = "https://elsewhere.example.com"\n'


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with pebble.running(tmp_path_factory.mktemp("pebble")) as running:
        yield running


class Mortal:
    """A stack whose daemon dies where it is told to."""

    def __init__(self, stack, authority):
        self.stack, self.authority = stack, authority
        self.place, self.then = stack.root / "place", stack.root / "place.then"

    def die(self, place):
        """Renew, and die on the way. The command that asks for it starts the next daemon."""
        self.place.write_text("")
        shutil.rmtree(self.then, ignore_errors=True)
        daemon = self.mortal_daemon()
        assert self.stack.status()["daemon"]["pid"] == daemon
        self.place.write_text(place)
        self.stack.portico("certs", "renew", SITES[place], "--force")
        eventually(lambda: is_gone(daemon), 60)
        assert self.then.exists(), f"it does not come by {place}"

    def mortal_daemon(self):
        """One that serves the home. Another one may wait for the lock of who is killed, and be
        quicker: a command of the test before has started it.
        """
        home = Home(self.stack.home)
        environ = self.stack.environ | {"PORTICO_KILLED_AT": str(self.place)}
        program = "tests.programs.daemon_killed"
        for _ in range(3):
            self.stack.kill_daemon()
            pid = start_daemon(environ, self.stack.root, home.daemon_log, program=program)
            eventually(lambda pid=pid: is_gone(pid) or home.lock.read_text() == f"{pid}\n")
            if not is_gone(pid):
                return pid
        raise AssertionError("others serve the home again and again")

    @contextmanager
    def no_daemon(self):
        """None lives, and none begins: one may have waited for the lock of the one before."""
        with (self.stack.home / "daemon.lock").open() as lock:

            def is_locked():
                self.stack.kill_daemon()
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                return True

            eventually(is_locked)
            yield

    def certificates(self):
        self.stack.status()  # which begins a daemon where none answers
        return {view["name"]: view for view in self.stack.api("/v1/certificates")}

    def orders(self):
        return self.authority.log.count("POST /order-plz")


@pytest.fixture(scope="module")
def mortal(authority):
    with Stack() as stack:
        stack.http, stack.https = authority.http, authority.tls
        mortal = Mortal(stack, authority)
        text = FILE.format(directory=authority.directory, root=authority.root, folder=stack.root)
        sites = "".join(REDIRECT.format(site=site) for site in set(SITES.values()))
        stack.up(text + sites, bind=["127.0.0.1"])
        eventually(lambda: all(view["served"] for view in mortal.certificates().values()), 180)
        yield mortal


@pytest.mark.parametrize("place", PLACES)
def test_the_next_daemon_goes_on_with_the_same_certificate(mortal, place):
    site = SITES[place]
    before, orders = mortal.certificates()[site], mortal.orders()
    hooks = (mortal.stack.root / "served").read_text().count("\n")

    mortal.die(place)
    after = eventually(lambda: renewed(mortal, before))
    assert mortal.orders() == orders + 1, "one order, whoever sent it"
    assert int(served_serial(mortal.stack.https, site), 16) == int(after["serial"], 16)
    assert (mortal.stack.root / "served").read_text().count("\n") > hooks
    assert after["error"] == ""
    assert used(after) == used(before) + 1, "and the ledger has counted it once"
    certificates = mortal.stack.home / "certificates"
    if place != "before the order":
        assert newest(certificates, site) == key_of(mortal.then, site), (
            "no key that was sent is lost"
        )
    eventually(lambda: not list((certificates / "orders").glob("*")))


@pytest.mark.parametrize("bad", [None, "shop2.example.com"])
def test_all_that_a_daemon_has_stored_are_deployed_by_one_reload_and_a_bad_one_by_none(
    mortal, bad
):
    before, generation = mortal.certificates(), newest_generation(mortal)
    with mortal.no_daemon():
        serials = {site: store(mortal, site, fits=site != bad) for site in before}
    expected = serials | ({bad: before[bad]["serial"]} if bad else {})

    def settled():
        views = mortal.certificates()
        good = all(view["served"] for name, view in views.items() if name != bad)
        return good and (not bad or views[bad]["error"])

    eventually(settled)
    served = {site: served_serial(mortal.stack.https, site) for site in before}
    assert {site: int(serial, 16) for site, serial in served.items()} == {
        site: int(serial, 16) for site, serial in expected.items()
    }
    if bad:
        assert "key values mismatch" in mortal.certificates()[bad]["error"]
    else:
        assert newest_generation(mortal) == generation + 1


def newest_generation(mortal):
    folders = (mortal.stack.home / "nginx" / "generations").iterdir()
    return max(int(each.name) for each in folders)


def store(mortal, site, *, fits):
    """Put a new certificate on disk as a daemon does that dies then; returns its serial."""
    certificates = mortal.stack.home / "certificates"
    folder = LineageFolder(certificates / "lineages" / site, certificates / "live" / site)
    number = folder.generations()[-1]
    signed, other = (Signer().sign(site, at=time.time() - 60) for _ in range(2))
    leaf = x509.load_pem_x509_certificate(signed.chain.encode())
    described = replace(
        folder.read(number),
        generation=number + 1,
        serial=f"{leaf.serial_number:x}",
        not_before=time.time() - 60,
        not_after=time.time() + 80 * 86400,
        stored=time.time(),
        ari_id="",
    )
    key = signed.key if fits else other.key
    folder.finish(folder.begin(signed.chain, key.encode()), described)
    return described.serial


def renewed(mortal, before):
    view = mortal.certificates()[before["name"]]
    return view if view["served"] and view["serial"] != before["serial"] else None


def used(view):
    return next(limit["used"] for limit in view["ledger"] if limit["limit"] == "same names")


def key_of(certificates, site):
    """Of the order that is under way, else of the newest generation."""
    found = list((certificates / "orders").glob("*/privkey.pem"))
    return found[0].read_bytes() if found else newest(certificates, site)


def newest(certificates, site):
    generations = (certificates / "lineages" / site).glob("[0-9]*")
    return (max(generations, key=lambda each: int(each.name)) / "privkey.pem").read_bytes()

"""From certbot and back to it."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from josepy.jwk import JWKEC, JWKRSA

from portico.adapters.lineages.disk import DiskLineages
from portico.core.model.certificate import Provenance
from portico.errors import Failed, Refused
from portico.importers.certbot_export import export
from portico.importers.certbot_taking import CertbotImporter
from portico.system.home import Home
from tests.certbot_folder import ACCOUNT_URL, SERVER, certbot, write_account, write_lineage
from tests.fakes.clock import FakeClock
from tests.fakes.pebble import running
from tests.issuing import IssuingHere
from tests.orders import Acme, needs_pebble
from tests.signing import Signer, rsa_key

NOW = time.time() + 3600
DAY = 86400.0
__all__ = ["certbot"]


@pytest.fixture(scope="module")
def signer():
    return Signer()


class Machine:
    def __init__(self, folder):
        home = Home(folder / "home")
        home.make()
        self.account = home.certificates / "account" / "key.pem"
        self.child = IssuingHere(home, FakeClock(NOW))
        self.lineages = DiskLineages(home, self.child, FakeClock(NOW))
        self.old = folder / "letsencrypt"

    def take(self, sites=None):
        taking = CertbotImporter(self.lineages, self.child, self.account)
        called = {frozenset(names): site for site, names in (sites or {}).items()}
        return asyncio.run(taking.take(self.old, lambda names: called.get(frozenset(names))))

    def keep(self, name, signed, names, folder, issuer=SERVER, profile=None):
        key = signed.key_file(folder)
        about = Provenance(issuer, profile)
        return asyncio.run(self.lineages.store(name, names, signed.chain, key, about))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_certificate_goes_over_with_its_settings_and_certbot_leaves_it_alone(machine, signer):
    params = "authenticator = webroot\nrenew_hook = systemctl reload exim4\nautorenew = True\n"
    signed = signer.sign("a.test", "www.a.test", at=NOW - DAY)
    write_lineage(
        machine.old, "a.test-0001", signed, params=f"{params}[[webroot_map]]\na.test = /w\n"
    )
    write_account(machine.old)
    taken = machine.take()
    assert (taken.skipped, taken.notes) == ([], [])
    [over] = taken.lineages
    assert (over.name, over.names) == ("a.test", ("a.test", "www.a.test"))
    assert over.settings == {
        "issuer": SERVER,
        "email": "ops@a.test",
        "key_type": "ecdsa-p256",
        "challenge": "http-01",
        "deploy_hook": ["/bin/sh", "-c", "systemctl reload exim4"],
    }
    held = machine.lineages.held("a.test")
    assert machine.lineages.current("a.test") == held
    assert (Path(held.files.certificate).read_text(), held.issuer) == (signed.chain, SERVER)
    conf = (machine.old / "renewal" / "a.test-0001.conf").read_text()
    assert conf.count("autorenew") == conf.count("\nautorenew = False\n") == 1
    assert "[[webroot_map]]\na.test = /w" in conf
    assert machine.take().lineages[0].names == over.names, "a second time changes nothing"
    assert machine.lineages.held("a.test") == held


def test_a_site_with_the_same_names_gives_its_name_to_the_lineage(machine, signer):
    write_lineage(machine.old, "old", signer.sign("a.test", "b.test", at=NOW - DAY))
    [over] = machine.take({"b.test": ("b.test", "a.test")}).lineages
    assert over.name == "b.test"


def test_what_the_authority_has_counted_is_told(machine, signer):
    for number, days in enumerate((9, 2, 1), 1):
        write_lineage(
            machine.old, "a.test", signer.sign("a.test", at=NOW - days * DAY), number=number
        )
    [over] = machine.take().lineages
    assert sorted(round((NOW - at) / DAY) for at in over.signed.values()) == [1, 2, 9]


def test_nothing_is_taken_over_while_certbot_works_there(machine, signer):
    write_lineage(machine.old, "a.test", signer.sign("a.test", at=NOW - DAY))
    lock = machine.old / ".certbot.lock"
    hold = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); "
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        with pytest.raises(Refused, match=r"certbot is running in .*; try again"):
            machine.take()
        other.communicate(b"\n")
    assert machine.lineages.held("a.test") is None
    assert machine.take().lineages
    assert not lock.exists()


def test_the_account_goes_over_once_and_its_key_stays_secret(machine, signer):
    write_lineage(machine.old, "a.test", signer.sign("a.test", at=NOW - DAY))
    key = write_account(machine.old)
    assert machine.take().account == ACCOUNT_URL
    pem = machine.account.read_bytes()
    numbers = load_pem_private_key(pem, None).private_numbers()
    assert numbers == key.key.private_numbers()
    assert stat.S_IMODE(machine.account.stat().st_mode) == 0o600
    remembered = json.loads(machine.account.with_suffix(".json").read_text())
    assert remembered == {SERVER: ACCOUNT_URL}
    again = machine.take()
    assert (again.account, again.notes) == ("", [])
    machine.account.write_text("another key")
    assert machine.take().notes == [
        "certbot's account is not imported: there already is an account"
    ]
    assert machine.account.read_text() == "another key"


def test_one_that_cannot_be_used_stays_with_certbot_and_holds_up_no_other(machine, signer):
    write_lineage(machine.old, "good.test", signer.sign("good.test", at=NOW - DAY))
    write_lineage(machine.old, "old.test", signer.sign("old.test", at=NOW - 100 * DAY))
    (machine.old / "renewal" / "broken.test.conf").write_text("what is this\n")
    taken = machine.take()
    assert [each.name for each in taken.lineages] == ["good.test"]
    assert len(taken.skipped) == 2
    assert any("broken.test.conf: " in why and "at line 1" in why for why in taken.skipped)
    assert any(why.startswith("old.test: ") and "expired" in why for why in taken.skipped)
    assert "autorenew" not in (machine.old / "renewal" / "old.test.conf").read_text()


def test_a_newer_certificate_here_is_not_replaced_by_an_older_one(machine, signer, tmp_path):
    write_lineage(machine.old, "a.test", signer.sign("a.test", at=NOW - 9 * DAY))
    mine = machine.keep("a.test", signer.sign("a.test", at=NOW - DAY), ("a.test",), tmp_path)
    [over] = machine.take().lineages
    assert over.notes[-1] == "the certificate here is newer and was kept"
    assert machine.lineages.held("a.test") == mine


def test_a_certificate_for_fewer_names_takes_nobodys_place(machine, signer, tmp_path):
    names = ("a.test", "www.a.test")
    mine = machine.keep("a.test", signer.sign(*names, at=NOW - 9 * DAY), names, tmp_path)
    write_lineage(machine.old, "a.test", signer.sign("a.test", at=NOW - DAY))
    [why] = machine.take().skipped
    assert why == "a.test: a.test already has a certificate here, for a.test, www.a.test"
    assert machine.lineages.held("a.test") == mine
    assert "autorenew" not in (machine.old / "renewal" / "a.test.conf").read_text()


def test_what_is_exported_and_imported_again_is_the_same(machine, signer, tmp_path):
    stored = machine.keep("a.test", signer.sign("a.test", at=NOW - DAY), ("a.test",), tmp_path)
    assert export(machine.old, [stored]) == ["a.test"]
    key = machine.old / "archive" / "a.test" / "privkey1.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    other = Machine(tmp_path / "other")
    other.old = machine.old
    taken = other.take()
    [over] = taken.lineages
    assert over.notes == ("certbot does not renew it: autorenew = False",)
    again = other.lineages.held("a.test")
    assert (again.serial, again.issuer, again.ari_id) == (stored.serial, SERVER, stored.ari_id)


@pytest.mark.slow
def test_certbot_lists_what_was_exported_and_renews_nothing_of_it(
    machine, signer, tmp_path, certbot
):
    names = ("*.a.test", "a.test")
    first = machine.keep("*.a.test", signer.sign(*names, at=NOW - DAY), names, tmp_path)
    key = rsa_key()
    rsa = machine.keep(
        "b.test", signer.sign("b.test", at=NOW - DAY, key=key), ("b.test",), tmp_path
    )
    export(machine.old, [first, rsa])
    newer = machine.keep("*.a.test", signer.sign(*names, at=NOW - DAY / 2), names, tmp_path)
    assert export(machine.old, [newer]) == ["_.a.test"]
    said = certbot(machine.old, "certificates")
    assert "Certificate Name: _.a.test" in said
    assert re.search(
        r"(Domains|Identifiers): (\*\.a\.test a\.test|a\.test \*\.a\.test)\n", said
    ), said
    assert f"Serial Number: {newer.serial}" in said
    assert "Key Type: ECDSA" in said
    assert "Key Type: RSA" in said
    renewed = certbot(machine.old, "renew")
    assert "No renewals were attempted" in renewed, renewed


@needs_pebble
@pytest.mark.slow
def test_a_folder_that_certbot_wrote_is_taken_over_and_left_alone(machine, tmp_path, certbot):
    with running(tmp_path / "pebble") as pebble:
        trusting = {"REQUESTS_CA_BUNDLE": str(pebble.root)}
        said = certbot(
            machine.old,
            *("certonly", "--standalone", "--http-01-port", str(pebble.http), "--non-interactive"),
            *("--agree-tos", "--email", "ops@example.com", "--server", pebble.directory),
            *("-d", "a.example.com", "-d", "b.example.com", "--deploy-hook", "true"),
            environ=trusting,
        )
        taken = machine.take()
        assert (taken.skipped, taken.notes) == ([], []), said
        [over] = taken.lineages
        assert over.names == ("a.example.com", "b.example.com")
        settings = dict(over.settings)
        assert settings.pop("email", "ops@example.com") == "ops@example.com"
        assert settings == {
            "issuer": pebble.directory,
            "key_type": "ecdsa-p256",
            "challenge": "http-01",
            "deploy_hook": ["/bin/sh", "-c", "true"],
        }
        assert taken.account.startswith(pebble.directory.removesuffix("/dir"))
        conf = machine.old / "renewal" / "a.example.com.conf"
        conf.write_text(f"renew_before_expiry = 900 days\n{conf.read_text()}")
        renewed = certbot(machine.old, "renew", "--no-random-sleep-on-renew", environ=trusting)
        assert "No renewals were attempted" in renewed, renewed
        conf.write_text(conf.read_text().replace("autorenew = False\n", ""))
        renewed = certbot(machine.old, "renew", "--no-random-sleep-on-renew", environ=trusting)
        assert "No renewals were attempted" not in renewed, "it would have been due"
        acme = Acme(machine.account.parent, pebble.server)
        account = acme.account(key=str(machine.account), contact=())
        assert (account.url, account.created) == (taken.account, False)


def test_a_key_that_is_none_is_refused_in_words(machine):
    for text in ("{}", "nothing", '{"kty": "oct", "k": "AyM"}'):
        with pytest.raises(Failed, match="cannot read an account's key"):
            asyncio.run(machine.child.account_key(text))


@pytest.mark.parametrize("bits", ["ec", "rsa"])
def test_account_keys_come_back_from_the_other_form(machine, signer, bits):
    signed = signer.sign("a.test", at=NOW, key=rsa_key() if bits == "rsa" else None)
    key = load_pem_private_key(signed.key.encode(), None)
    jwk = (JWKRSA if bits == "rsa" else JWKEC)(key=key).to_json()
    assert asyncio.run(machine.child.account_key(json.dumps(jwk))) == signed.key

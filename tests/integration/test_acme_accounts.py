from __future__ import annotations

import asyncio
import json
import subprocess
import time

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from portico.adapters.acme.authorities import Authorities
from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.portable import files_of, take_account
from portico.adapters.acme.wire import AccountRequest, NoAccount, Server
from portico.core.model.certificate import Binding
from portico.core.model.order import Accounts
from portico.ports.certificates import AuthorityError
from tests.addresses import free_port
from tests.fakes.pebble import EAB_KEY, running
from tests.orders import Acme, needs_pebble

pytestmark = needs_pebble


@pytest.fixture(scope="module")
def pebble(tmp_path_factory):
    with running(tmp_path_factory.mktemp("pebble")) as pebble:
        yield pebble


@pytest.fixture
def acme(tmp_path, pebble):
    return Acme(tmp_path, pebble.server)


def refused(acme, do=None, **more):
    with pytest.raises(AcmeFailure) as caught:
        acme.ask_account(do) if do else acme.account(**more)
    return caught.value.failure


def test_an_account_is_made_once_and_found_again(acme):
    made = acme.account()
    found = acme.account()

    assert (made.created, made.status, made.contact) == (True, "valid", ("ops@example.com",))
    assert (found.created, found.url) == (False, made.url)


def test_a_key_alone_finds_its_account_again(acme):
    made = acme.account()
    acme.key.with_suffix(".json").unlink()

    found = acme.account()

    assert (found.created, found.url) == (False, made.url)


def test_where_no_account_may_be_made_one_that_is_there_is_found_and_none_is_made(acme, pebble):
    until = time.time() + 3600
    none_now = NoAccount("10 of 10 new accounts used", until)

    failure = refused(acme, none_now=none_now)
    made = acme.account()
    acme.key.with_suffix(".json").unlink()
    found = acme.account(none_now=none_now)

    assert failure.text.endswith("now: 10 of 10 new accounts used")
    assert failure.retry_at == until
    assert (made.created, found.created, found.url) == (True, False, made.url)


def test_a_thumbprint_can_be_had_while_the_authority_is_down(acme):
    down = acme.at(Server(f"https://127.0.0.1:{free_port()}/dir"))

    assert down.ask_account("key") == down.ask_account("key")
    assert acme.account().thumbprint == down.ask_account("key").thumbprint


def test_accounts_are_told_without_a_child_while_the_key_is_the_one_that_was_noted(acme):
    daemon = Authorities(acme.folder, "/there/is/no/python", alpn="", tokens="")
    made, key = acme.account(), acme.key.read_bytes()
    there = {acme.server.directory: made.url}
    assert asyncio.run(daemon.accounts()) == Accounts(made.thumbprint, there, {})

    acme.key.unlink()
    with pytest.raises(AuthorityError, match="cannot run /there/is/no/python"):
        asyncio.run(daemon.accounts())
    other = acme.ask_account("key").thumbprint
    assert asyncio.run(daemon.accounts()) == Accounts(other, {}, {})
    acme.key.write_bytes(key)
    with pytest.raises(AuthorityError, match="cannot run /there/is/no/python"):
        asyncio.run(daemon.accounts())


def test_the_key_of_an_account_is_for_its_owner_alone_and_repaired_if_it_was_not(acme):
    acme.ask_account("key")
    assert acme.key.stat().st_mode & 0o777 == 0o600
    acme.key.chmod(0o644)

    acme.account()

    assert acme.key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ec:P-384"])
def test_an_account_of_another_client_goes_on_with_its_own_kind_of_key(acme, kind):
    acme.key.parent.mkdir()
    name, size = kind.split(":")
    options = {"rsa": f"rsa_keygen_bits:{size}", "ec": f"ec_paramgen_curve:{size}"}[name]
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", name, "-pkeyopt", options, "-out", acme.key],
        check=True,
        capture_output=True,
        timeout=60,
    )

    assert acme.account().status == "valid"


@pytest.mark.parametrize(
    ("key", "why"), [("nothing", "cannot use the key"), (None, "cannot read the key")]
)
def test_a_key_that_cannot_be_used_is_told_and_never_replaced(acme, key, why):
    acme.key.parent.mkdir()
    acme.key.write_text(key) if key else acme.key.mkdir()

    failure = refused(acme)

    assert (failure.kind, failure.text.startswith(f"{why} {acme.key}: ")) == ("unready", True)


def test_the_account_is_given_the_contact_that_is_configured_now(acme):
    made = acme.account()
    changed = acme.account(contact=("new@example.com", "two@example.com"))
    again = acme.account(contact=("new@example.com", "two@example.com"))
    without = acme.account(contact=())
    refused_one = acme.account(contact=("nobody",))

    assert (made.contact, changed.url) == (("ops@example.com",), made.url)
    assert changed.contact == ("new@example.com", "two@example.com")
    assert again.contact == without.contact == refused_one.contact == changed.contact
    assert [each.step for each in acme.said] == ["note"]
    assert "its former addresses are kept" in acme.said[0].text


def test_an_authority_that_shows_no_contact_is_sent_the_same_one_once(acme):
    made = acme.account()
    sent = acme.key.with_suffix(".contact.json")
    assert json.loads(sent.read_text()) == {acme.server.directory: "ops@example.com"}

    sent.write_text(json.dumps({acme.server.directory: "new@example.com"}))

    assert acme.account(contact=("new@example.com",)).contact == made.contact


def test_after_a_rollover_the_new_key_is_in_force_for_the_same_account(acme):
    before, old = acme.account(), acme.key.read_bytes()

    after = acme.ask_account("rollover")

    assert after.accounts == {acme.server.directory: before.url}
    assert after.thumbprint != before.thumbprint
    assert acme.key.read_bytes() != old
    assert acme.key.stat().st_mode & 0o777 == 0o600
    assert acme.account().url == before.url
    acme.key.write_bytes(old)
    assert acme.account().url != before.url, "it is not the key of that account any more"


@pytest.mark.parametrize("is_replaced", [False, True])
def test_another_machine_that_has_the_prepared_key_continues_the_rollover(
    acme, tmp_path, is_replaced
):
    before, other = acme.account(), Acme(tmp_path / "other", acme.server)
    prepared = acme.ask_account("prepare")
    take_account(other.key.parent, files_of(acme.key.parent))
    thumbprint = acme.ask_account("rollover").thumbprint if is_replaced else None

    assert (prepared.thumbprint, prepared.halfway) == (before.thumbprint, True)
    after = other.ask_account("rollover")
    assert after.thumbprint != before.thumbprint
    assert after.thumbprint == (thumbprint or after.thumbprint)
    assert not after.halfway
    assert other.account().url == before.url


def test_accounts_at_two_authorities_have_one_key_and_get_a_new_one_together(acme, tmp_path):
    with running(tmp_path / "other") as other:
        there = acme.at(other.server)
        urls = acme.account().url, there.account().url
        key = acme.key.read_bytes()

        failure = refused(acme, "rollover")
        assert acme.key.read_bytes() == key
        new = acme.answer(AccountRequest(acme.own(), "rollover", also=(other.server,)))
        found = acme.account(), there.account()

        assert failure.text.endswith(f"accounts at {other.directory}, which would be lost")
        assert tuple(each.url for each in found) == urls
        assert {each.thumbprint for each in found} == {new.thumbprint}
        assert acme.key.read_bytes() != key
        there.ask_account("deactivate")
        assert (acme.account().url, acme.key.exists()) == (urls[0], True)


def test_an_account_that_is_deactivated_is_so_for_ever_and_a_new_key_gets_a_new_one(acme):
    before, key = acme.account(), acme.key.read_bytes()

    given_up = acme.ask_account("deactivate")

    there = {acme.server.directory: before.url}
    assert (given_up.accounts, given_up.deactivated) == ({}, there)
    failure = refused(acme)
    assert failure.kind == "unready"
    assert "was deactivated and cannot be created again with the same key" in failure.text
    assert acme.key.read_bytes() == key
    assert "no account at" in refused(acme, "deactivate").text
    renewed = acme.ask_account("rollover")
    assert (renewed.accounts, renewed.deactivated, renewed.halfway) == ({}, {}, False)
    assert renewed.thumbprint != before.thumbprint
    after = acme.account()
    assert (after.created, after.url != before.url) == (True, True)


def test_an_account_that_was_deactivated_unseen_is_known_to_be_so_when_it_is_again(acme):
    before = acme.account()
    acme.ask_account("deactivate")
    there = {acme.server.directory: before.url}
    marks, urls = acme.key.with_suffix(".deactivated.json"), acme.key.with_suffix(".json")
    marks.unlink()  # as a run leaves it that was killed before it could write
    urls.write_text(json.dumps(there))

    assert "deactivated" in refused(acme).text
    assert acme.ask_account("deactivate").deactivated == there
    urls.write_text(json.dumps(there))  # or between the two files
    assert acme.ask_account("key").accounts == {}
    assert acme.ask_account("rollover").deactivated == {}
    assert acme.account().created


def test_no_account_is_made_to_be_given_a_new_key(acme):
    before = acme.ask_account("key")

    after = acme.ask_account("rollover")

    assert (after.accounts, after.thumbprint != before.thumbprint) == ({}, True)
    assert acme.account().created


def test_where_one_of_two_authorities_is_down_the_replacement_of_the_key_is_not_begun(acme):
    acme.account()
    down = Server(f"https://127.0.0.1:{free_port()}/dir")
    urls = json.loads(acme.key.with_suffix(".json").read_text())
    both = json.dumps({**urls, down.directory: "https://127.0.0.1/1"})
    acme.key.with_suffix(".json").write_text(both)
    before = acme.ask_account("key")

    with pytest.raises(AcmeFailure):
        acme.answer(AccountRequest(acme.own(), "rollover", also=(down,), deadline=2.0))

    assert acme.ask_account("key") == before
    assert not before.halfway


def test_an_authority_that_has_forgotten_everything_gets_a_new_account_and_a_new_order(tmp_path):
    with running(tmp_path / "p") as pebble:
        acme = Acme(tmp_path, pebble.server)
        before = acme.account()
        acme.fail("a.test")
        pebble.restart()

        with acme.answering(pebble.http):
            acme.issue("a.test")
        steps, after = acme.steps, acme.account()

    assert steps.count("account") == steps.count("order") == 1
    assert after.url != before.url
    assert load_pem_private_key(acme.key.read_bytes(), None)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_an_authority_for_customers_takes_an_account_that_is_bound(tmp_path, algorithm):
    key_id, secret = EAB_KEY
    config = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {key_id: secret}}
    with running(tmp_path / "p", **config) as pebble:
        acme = Acme(tmp_path, pebble.server)

        without = refused(acme)
        unknown = refused(acme, binding=Binding("other", secret, algorithm))
        wrong = refused(acme, binding=Binding(key_id, "not base64url!", algorithm))
        bound = acme.account(binding=Binding(key_id, secret, algorithm))
        later = acme.account()

    assert without.kind == "unready"
    assert "set eab to the key id and HMAC key that it gave you" in without.text
    assert (unknown.kind, wrong.kind) == ("refused", "unready")
    assert secret not in unknown.text + repr(Binding(key_id, secret, algorithm))
    assert (bound.created, later.created) == (True, False)


def test_a_contact_that_the_authority_refuses_is_told_in_its_words(acme):
    failure = refused(acme, contact=("nobody",))

    assert failure.kind == "refused"
    assert failure.text.startswith("cannot create an account: 127.0.0.1:")

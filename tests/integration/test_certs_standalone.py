"""`portico certs issue --standalone`: no nginx, and no daemon before or after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509

from tests.fakes import pebble
from tests.stack import Stack
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with pebble.running(tmp_path_factory.mktemp("pebble")) as running:
        yield running


@pytest.fixture(scope="module")
def refusing():
    """A home in which nothing is obtained."""
    with Stack() as stack:
        stack.status()  # else the first command would begin a daemon for itself
        yield stack


def orders(authority):
    return authority.log.count("order-plz")


def words(authority, *names, hook="true"):
    return (
        *("certs", "issue", "--standalone", "--no-preflight", "--http-port", str(authority.http)),
        *(word for name in names for word in ("--domain", name)),
        *("--issuer", authority.directory, "--ca-bundle", str(authority.root)),
        *("--email", "ops@example.com", "--key-type", "rsa2048", "--deploy-hook", hook),
    )


def held(stack):
    return json.loads(stack.done("certs", "--json").stdout)


def test_a_certificate_for_other_programs_is_obtained_kept_and_renewed(stack, authority):
    hook = f"echo $RENEWED_DOMAINS >> {stack.root}/renewed"
    ask = words(authority, "mail.example.com", "imap.lab.internal", hook=hook)
    told = stack.done(*ask).stderr
    [view] = held(stack)
    folder = Path(view["folder"])
    assert f"mail.example.com: {folder}/fullchain.pem and privkey.pem are valid until" in told
    leaf = x509.load_pem_x509_certificate((folder / "fullchain.pem").read_bytes())
    assert f"{leaf.serial_number:x}" == view["serial"]
    assert (view["issuer"], view["wanted"]) == (authority.directory, True)
    assert (folder / "privkey.pem").stat().st_mode & 0o777 == 0o600
    assert (stack.root / "renewed").read_text() == "mail.example.com imap.lab.internal\n"
    assert view["ledger"] == [], "no limit of this authority is known"
    assert stack.status()["nginx"]["pid"] is None

    again = json.loads(stack.done(*ask, "--json").stdout)
    assert "mail.example.com: skipped, not due before 20" in again["lines"][-2]
    assert held(stack)[0]["serial"] == view["serial"]
    stack.done("certs", "renew", "--force")
    [renewed] = held(stack)
    assert renewed["serial"] != view["serial"]
    assert len((stack.root / "renewed").read_text().splitlines()) == 2
    quiet = stack.done("certs", "renew", "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    told = stack.done("certs", "renew").stderr
    assert "mail.example.com: skipped, not due before 20" in told
    stack.done("certs", "forget", "mail.example.com")
    assert (held(stack), folder.exists()) == ([], False)
    eventually(lambda: not (stack.home / "api.sock").exists(), 60)


@pytest.mark.parametrize(
    ("names", "hook", "code", "says"),
    [
        (("*.example.com",), "true", 2, "*.example.com can only be validated in DNS"),
        (("app.localhost",), "true", 2, "app.localhost is not a public name"),
        (("no name",), "true", 2, "nothing was changed"),
        ((), "true", 2, "needs a --domain NAME"),
        (("a.example.com",), "exit 3", 1, "the hook of a.example.com failed: /bin/sh exited"),
    ],
    ids=["wildcard", "local", "malformed", "none", "hook"],
)
def test_what_cannot_be_is_said_before_anything_is_ordered(
    refusing, authority, names, hook, code, says
):
    before = orders(authority)
    told = refusing.portico(*words(authority, *names, hook=hook))
    assert (told.returncode, told.stdout) == (code, "")
    assert says in told.stderr
    if code == 2:
        assert orders(authority) == before


def test_at_the_port_of_our_nginx_the_file_is_what_to_write_and_nothing_is_ordered(
    stack, authority
):
    stack.http, stack.https = authority.http, authority.tls
    before = orders(authority)
    file = '[tls]\nissuer = "local"\n[sites."shop.example.com"]\nfolder = "."\n'
    stack.up(file, bind=["127.0.0.1"])
    told = stack.portico(*words(authority, "mail.example.com"))
    assert told.returncode == 2
    assert f"nginx of this Portico listens on port {authority.http}" in told.stderr
    assert '[sites."mail.example.com"]' in told.stderr
    assert held(stack) == [], "what could not be had at all is not kept"
    told = stack.portico(*words(authority, "shop.example.com"))
    assert "shop.example.com is a site of the file in force" in told.stderr
    assert orders(authority) == before

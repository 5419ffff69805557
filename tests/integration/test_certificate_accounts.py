"""The account at an authority (pebble) in the hands of the operator, through the daemon."""

from __future__ import annotations

import json
import shutil
import urllib.request

import pytest

from tests.fakes import pebble
from tests.tls import served_serial
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(pebble.MISSING), reason=pebble.WHY_SKIPPED),
]

SITE = "shop.example.com"
FILE = """
[tls]
issuer = "{directory}"
ca_bundle = "{root}"
email = "ops@example.com"
preflight = false
limits = {{ same_names = "5/7d", orders = "300/3h", accounts = "10/3h" }}

[sites."shop.example.com"]
redirect = "https://elsewhere.example.com"
"""


@pytest.fixture
def authority(tmp_path):
    with pebble.running(tmp_path / "pebble") as running:
        yield running


def start(stack, authority):
    stack.http, stack.https = authority.http, authority.tls
    text = FILE.format(directory=authority.directory, root=authority.root)
    assert stack.up(text, bind=["127.0.0.1"]).returncode == 0
    eventually(lambda: certificate(stack)["served"], 60)


def certificate(stack):
    (view,) = stack.api("/v1/certificates")
    return view


def shown(stack):
    view = json.loads(stack.done("certs", "account", "--json").stdout)
    (account,) = view["accounts"]
    return view["thumbprint"], account


def answered(stack):
    """The thumbprint that nginx proves names with."""
    url = f"http://127.0.0.1:{stack.http}/.well-known/acme-challenge/token"
    request = urllib.request.Request(url, headers={"Host": SITE})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode().removeprefix("token.")


def renewed(stack):
    before = certificate(stack)["serial"]
    stack.done("certs", "renew", SITE, "--force")
    view = certificate(stack)
    assert view["served"]
    assert view["serial"] != before
    assert served_serial(stack.https, SITE) == view["serial"].lstrip("0")
    return {limit["limit"]: limit["used"] for limit in view["ledger"]}


def test_an_account_is_shown_gets_a_new_key_is_given_up_and_another_one_follows(stack, authority):
    start(stack, authority)
    first, account = shown(stack)
    assert account == {
        "directory": authority.directory,
        "url": account["url"],
        "contact": ["ops@example.com"],
        "deactivated": False,
        "wanted": True,
    }
    assert answered(stack) == first

    told = stack.done("certs", "rollover").stderr
    second, same = shown(stack)
    assert f"new thumbprint {second}" in told
    assert second != first
    assert same == account
    assert answered(stack) == second
    assert renewed(stack)["accounts"] == 1

    told = stack.done("certs", "deactivate", authority.directory).stderr
    assert f"{account['url']} is deactivated permanently" in told
    assert shown(stack) == (second, {**account, "deactivated": True})
    again = stack.portico("certs", "deactivate", authority.directory)
    assert (again.returncode, "is already deactivated" in again.stderr) == (2, True)
    served = certificate(stack)["serial"]
    refused = stack.portico("certs", "renew", SITE, "--force")
    assert refused.returncode == 1
    assert "was deactivated and cannot be created again with the same key" in refused.stderr
    assert served_serial(stack.https, SITE) == served.lstrip("0")

    stack.done("certs", "rollover")
    third, none = shown(stack)
    assert (none["url"], none["deactivated"]) == ("", False)
    assert answered(stack) == third != second
    assert renewed(stack)["accounts"] == 2
    assert shown(stack)[1]["url"] not in {"", account["url"]}

    key = stack.home / "certificates/account/key.pem"
    key.unlink()
    assert renewed(stack)["accounts"] == 3, "the account of another key is not this one's"
    fourth, _ = shown(stack)
    assert answered(stack) == fourth != third
    shutil.rmtree(key.parent)
    assert renewed(stack)["accounts"] == 4
    assert answered(stack) == shown(stack)[0] != fourth

"""`portico certs import` and `export` with the real daemon and nginx."""

from __future__ import annotations

import json
import time
import tomllib

import pytest

from tests.certbot_folder import SERVER, write_account, write_lineage
from tests.signing import Signer
from tests.stack import Stack
from tests.tls import served_serial
from tests.waiting import eventually

DAY = 86400.0
NAMES = ("shop.example.com", "www.example.com")
SITE = """
[tls]
limits = { same_names = "5/7d", orders = "300/3h" }

[sites."shop.example.com"]
aliases = ["www.example.com"]
folder = "."
"""


@pytest.fixture(scope="module")
def signer():
    return Signer()


@pytest.fixture
def stack(stack):
    """With a daemon, which the first command would begin for itself."""
    stack.status()
    return stack


def certbots(stack: Stack, signer, *names, at, name=None, **more):
    folder = stack.root / "letsencrypt"
    signed = signer.sign(*names, at=at)
    params = f"authenticator = standalone\nrenew_hook = touch {stack.root}/hook\n"
    write_lineage(folder, name or names[0], signed, params=params, **more)
    return folder


def held(stack):
    return stack.api("/v1/certificates")


def test_what_certbot_kept_is_served_with_settings_to_put_into_the_file(stack, signer):
    folder = certbots(stack, signer, *NAMES, at=time.time() - DAY)
    certbots(stack, signer, "old.example.com", at=time.time() - 100 * DAY)
    write_account(folder)
    told = stack.done("certs", "import", str(folder)).stdout
    assert "shop.example.com: imported for shop.example.com, www.example.com" in told
    assert "not imported, certbot keeps renewing it: old.example.com: " in told
    settings = told[told.index("# add this to portico.toml") :].partition("note:")[0]
    tls = tomllib.loads(settings)["sites"]["shop.example.com"]["tls"]
    assert (tls["issuer"], tls["email"]) == (SERVER, "ops@a.test")
    [before] = json.loads(stack.done("certs", "--json").stdout)
    assert (before["wanted"], before["next"]) == (False, "nothing")

    stack.up(SITE + settings, bind=["127.0.0.1"])
    [view] = eventually(lambda: [v for v in held(stack) if v["served"]])
    assert (view["serial"], view["issuer"]) == (before["serial"], SERVER)
    assert served_serial(stack.https, "www.example.com") == view["serial"]
    assert eventually((stack.root / "hook").exists)
    counted = {limit["limit"]: limit["used"] for limit in view["ledger"]}
    assert counted["same names"] == 1, "certbot obtained it within the week"
    assert counted["orders"] == 0

    again = json.loads(stack.done("certs", "import", str(folder), "--json").stdout)
    assert again["taken"][0]["settings"] == {}
    assert again["account"] == ""
    [view] = held(stack)
    assert {limit["limit"]: limit["used"] for limit in view["ledger"]} == counted

    refused = stack.portico("certs", "forget", "shop.example.com")
    assert (refused.returncode, "is for a site of the file" in refused.stderr) == (2, True)

    out = stack.root / "out"
    for _ in range(2):
        told = json.loads(stack.done("certs", "export", str(out), "--json").stdout)
        assert told == {"folder": str(out), "names": {"shop.example.com": "shop.example.com"}}
    assert len(list((out / "archive" / "shop.example.com").iterdir())) == 4
    live = (out / "live" / "shop.example.com" / "fullchain.pem").read_text()
    assert live == (folder / "live" / "shop.example.com" / "fullchain.pem").read_text()
    assert "autorenew = False" in (out / "renewal" / "shop.example.com.conf").read_text()
    stack.done("certs", "export", str(folder))
    assert len(list((folder / "archive" / "shop.example.com").iterdir())) == 4


def test_a_folder_of_nobody_or_of_expired_certificates_changes_nothing(stack, signer):
    told = stack.portico("certs", "import", str(stack.root))
    assert told.returncode == 2
    assert "is not a certbot folder" in told.stderr
    folder = certbots(stack, signer, "old.example.com", at=time.time() - 100 * DAY)
    told = stack.portico("certs", "import", str(folder), "--json")
    assert told.returncode == 1
    assert "certbot keeps renewing:\n  old.example.com: " in json.loads(told.stdout)["error"]
    assert held(stack) == []
    assert "nothing was written" in stack.portico("certs", "export", str(folder)).stderr

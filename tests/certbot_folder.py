"""A folder as certbot 5.8 writes it, and certbot itself, from PyPI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC

CERTBOT = Path(sys.prefix) / "certbot/bin/certbot"
KINDS = ("cert", "chain", "fullchain", "privkey")
SERVER = "https://ca.test:14000/dir"
ACCOUNT = "0123456789abcdef0123456789abcdef"
ACCOUNT_URL = "https://ca.test:14000/acct/7"


def write_lineage(folder: Path, name, signed, *, params="", number=3, key_type="ecdsa"):
    """`params` are further lines of [renewalparams]."""
    archive, live = folder / "archive" / name, folder / "live" / name
    for place in (archive, live, folder / "renewal"):
        place.mkdir(parents=True, exist_ok=True)
    first, rest = _split(signed.chain)
    texts = {"cert": first, "chain": rest, "fullchain": signed.chain, "privkey": signed.key}
    for kind in KINDS:
        file = archive / f"{kind}{number}.pem"
        file.write_text(texts[kind])
        file.chmod(0o600 if kind == "privkey" else 0o644)
        (live / f"{kind}.pem").unlink(missing_ok=True)
        (live / f"{kind}.pem").symlink_to(f"../../archive/{name}/{kind}{number}.pem")
    (folder / "renewal" / f"{name}.conf").write_text(
        f"# renew_before_expiry = 30 days\nversion = 5.8.0\narchive_dir = {archive}\n"
        + "".join(f"{kind} = {live}/{kind}.pem\n" for kind in KINDS)
        + "\n# Options used in the renewal process\n[renewalparams]\n"
        + f"account = {ACCOUNT}\nserver = {SERVER}\nkey_type = {key_type}\n{params}"
    )


def write_account(folder: Path, contact=("mailto:ops@a.test",)):
    place = folder / "accounts" / "ca.test:14000" / "dir" / ACCOUNT
    place.mkdir(parents=True)
    key = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
    (place / "private_key.json").write_text(json.dumps(key.to_json()))
    body = {"body": {"contact": list(contact)}, "uri": ACCOUNT_URL}
    (place / "regr.json").write_text(json.dumps(body))
    (place / "meta.json").write_text("{}")
    return key


def _split(chain):
    end = "-----END CERTIFICATE-----\n"
    first, _, rest = chain.partition(end)
    return first + end, rest


@pytest.fixture(scope="session")
def certbot(tmp_path_factory):
    """Runs certbot on a folder and returns what it says."""
    if not CERTBOT.exists():
        pytest.skip("needs certbot; scripts/setup gets it from PyPI")
    place = tmp_path_factory.mktemp("certbot")

    def run(folder, *more, environ=None):
        folders = ("--config-dir", folder, "--work-dir", place / "w", "--logs-dir", place / "l")
        command = (CERTBOT, *more, *folders)
        given = {**os.environ, **(environ or {})}
        ran = subprocess.run(
            command, check=False, capture_output=True, timeout=400, text=True, env=given
        )
        return ran.stdout + ran.stderr

    return run

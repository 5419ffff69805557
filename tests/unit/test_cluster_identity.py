"""Who this machine is among the machines of a cluster, as its files say."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509

from portico.core.model.cluster import machine_host
from portico.errors import Failed
from portico.system.cluster_identity import (
    AUTHORITY,
    AUTHORITY_KEY,
    MachineIdentity,
    read_identity,
    write_identity,
)
from portico.system.files import write_new
from portico.system.home import Home
from portico.system.machine_certificates import MachineAuthority
from portico.system.x509 import names_of

CLUSTER = "6f2d7a52-6f5e-4b5e-8a59-2f0f6a1e2d11"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Of machine m1, with the authority's key."""
    home, authority = Home(tmp_path), MachineAuthority.create(CLUSTER, time.time())
    home.cluster.mkdir(mode=0o700)
    write_new(home.cluster / AUTHORITY, authority.pem)
    write_new(home.cluster / AUTHORITY_KEY, authority.key_pem)
    pair = authority.sign("m1", machine_host("m1"), time.time())
    write_identity(home.cluster, CLUSTER, "m1", pair.serial, pair.certificate, pair.key)
    return home


def identity(home: Home) -> MachineIdentity:
    found = read_identity(home)
    assert found
    return found


def test_a_machine_is_in_no_cluster_until_it_has_joined_one(tmp_path: Path) -> None:
    assert read_identity(Home(tmp_path)) is None


def test_what_was_written_is_read_and_is_for_this_user_alone(home: Home) -> None:
    found = identity(home)
    assert (found.cluster, found.name) == (CLUSTER, "m1")
    assert machine_host(found.name) == "m1.machine.portico.internal"
    modes = {path.stat().st_mode & 0o777 for path in home.cluster.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_openssl_accepts_the_files_on_both_sides_of_a_connection(home: Home) -> None:
    found = identity(home)
    leaf = x509.load_pem_x509_certificate(Path(found.certificate).read_bytes())
    assert names_of(leaf) == {machine_host(found.name)}
    assert leaf.subject.rfc4514_string() == f"OU=m1,O={CLUSTER}"
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=found.authority)
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=found.authority)
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (server, client):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(found.certificate, found.key)
    assert _shake_hands(server, client, machine_host(found.name)) == ("TLSv1.3", "TLSv1.3")


def test_a_newer_certificate_leaves_the_files_of_the_older_one(home: Home) -> None:
    before, authority = identity(home), MachineAuthority.read(home.cluster)
    pair = authority.sign("m1", machine_host("m1"), time.time())
    write_identity(home.cluster, CLUSTER, "m1", pair.serial, pair.certificate, pair.key)
    assert identity(home).certificate != before.certificate
    assert Path(before.key).exists()
    with pytest.raises(OSError, match="not empty"):
        write_identity(home.cluster, CLUSTER, "m1", pair.serial, pair.certificate, pair.key)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "machine.json: it does not exist; restore the folder, or remove it and join"),
        ("", "cannot read who this machine is"),
        ("[]", "cannot read who this machine is"),
        ('{"v": 1, "cluster": "x", "name": "m1"}', "'files'"),
        ('{"v": 1, "cluster": "x", "name": "m1", "files": "77"}', "does not exist"),
        ('{"v": 2}', "another version of Portico"),
    ],
)
def test_a_damaged_identity_is_no_absent_one(home: Home, text: str | None, why: str) -> None:
    file = home.cluster / "machine.json"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(Failed, match=why):
        read_identity(home)


def test_an_authority_is_read_only_with_its_own_key(home: Home) -> None:
    other = MachineAuthority.create(CLUSTER, time.time())
    (home.cluster / AUTHORITY_KEY).write_bytes(other.key_pem)
    with pytest.raises(Failed, match="not the key of"):
        MachineAuthority.read(home.cluster)


def test_reading_an_identity_needs_no_cryptography() -> None:
    code = "import sys, portico.system.cluster_identity; print('cryptography' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def _shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, host: str
) -> tuple[str | None, str | None]:
    """The versions of TLS that the two sides agree on."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there, server_hostname=host)
    two = server.wrap_bio(there, back, server_side=True)
    waiting = [one, two]
    for _ in range(8):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert waiting == []
    return one.version(), two.version()

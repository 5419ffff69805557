"""An operator's own certificate and key, which others renew while nginx serves them."""

from __future__ import annotations

import time

from cryptography import x509

from tests.signing import Signer
from tests.tls import served_serial
from tests.waiting import eventually

DAY = 86400.0
NAME = "own.example.com"
FILE = f"""
[sites."{NAME}"]
redirect = "https://elsewhere.example.com"
certificate = "live/cert.pem"
key = "live/key.pem"

[sites."other.localhost"]
redirect = "https://elsewhere.example.com"
"""
SIGNER = Signer()


def renewed(stack, number, *, days=90.0, age=0.0):
    """Another certificate and key in the folder of that number; its serial."""
    signed = SIGNER.sign(NAME, at=time.time() - age * DAY, days=days)
    folder = stack.folder / f"archive{number}"
    folder.mkdir(exist_ok=True)
    (folder / "cert.pem").write_text(signed.chain)
    (folder / "key.pem").write_text(signed.key)
    (folder / "key.pem").chmod(0o600)
    return f"{x509.load_pem_x509_certificate(signed.chain.encode()).serial_number:x}"


def link(stack, file, number):
    """As certbot does it: the path stays, and leads to another file."""
    live = stack.folder / "live"
    live.mkdir(exist_ok=True)
    new = live / f"{file}.new"
    new.symlink_to(f"../archive{number}/{file}")
    new.rename(live / file)


def troubles(stack):
    return [each for each in stack.status()["troubles"] if NAME in each]


def view(stack):
    (found,) = [each for each in stack.api("/v1/certificates") if each["source"]]
    return found


def test_own_files_that_are_renewed_are_served_as_soon_as_both_fit_and_warned_of(stack):
    first = renewed(stack, 1)
    for file in ("cert.pem", "key.pem"):
        link(stack, file, 1)
    stack.up(FILE)
    assert served_serial(stack.https, NAME) == first

    second = renewed(stack, 2)
    link(stack, "cert.pem", 2)
    eventually(lambda: troubles(stack), 60)
    (said,) = troubles(stack)
    assert "does not match the certificate in" in said
    assert said.endswith("the previous one is still served")
    stack.done("pause", "other.localhost")
    assert served_serial(stack.https, NAME) == first, "nor does another change need the pair"
    link(stack, "key.pem", 2)
    eventually(lambda: served_serial(stack.https, NAME) == second, 60)
    eventually(lambda: not troubles(stack), 60)
    said = "its files were renewed; valid until"
    eventually(lambda: said in stack.done("events").stdout, 60)

    third = renewed(stack, 2, days=10, age=9.5)
    eventually(lambda: served_serial(stack.https, NAME) == third, 60)
    eventually(lambda: troubles(stack), 60)
    eventually(lambda: view(stack)["served"], 60)  # which a handshake of ours shows
    shown = view(stack)
    assert (shown["name"], shown["serial"].lstrip("0")) == (NAME, third)
    assert "less than a tenth of its lifetime left" in shown["warning"]
    assert NAME in stack.done("certs").stdout
    assert f'portico_certificate_warning{{certificate="{NAME}"}} 1' in stack.done("metrics").stdout

    (stack.folder / "archive2/key.pem").unlink()
    stack.kill_daemon()
    stack.done("status")
    eventually(lambda: any("No such file" in each for each in troubles(stack)), 60)
    assert served_serial(stack.https, NAME) == third

"""Certificates that clients show, proved by handshakes with the real nginx."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.clients import Client
from tests.edge import Edge
from tests.fakes.backend import Backend
from tests.fakes.discovery import FakeDiscovery
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

FILE = """
[apps.web]
command = "run"

[sites."open.test"]
app = "web"

[sites."first.test"]
app = "web"
default = true
client_certificates = {authority = "other.pem"}

[sites."closed.test"]
app = "web"
client_certificates = {authority = "authority.pem", crl = "authority.crl"}

[sites."half.test"]
app = "web"
redirect_http = false
client_certificates = {authority = "authority.pem", verify = "optional"}
[sites."half.test".routes."/admin"]
require_client_certificate = true
[sites."half.test".routes."/files"]
folder = "files"
require_client_certificate = true
"""


class Authority:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._signed(self._subject, self._key.public_key(), is_authority=True)
        (folder / f"{name}.pem").write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def client(self, name: str) -> str:
        """The path of a file with a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.last = self._signed(subject, key.public_key(), is_authority=False)
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret = key.private_bytes(*form, serialization.NoEncryption())
        path = self.folder / f"{name}.client.pem"
        path.write_bytes(self.last.public_bytes(serialization.Encoding.PEM) + secret)
        return str(path)

    def revoke(self, certificate: x509.Certificate) -> None:
        now = datetime.now(UTC)
        revoked = x509.RevokedCertificateBuilder(certificate.serial_number, now).build()
        crl = (
            x509.CertificateRevocationListBuilder(self._subject, now, now + timedelta(days=1))
            .add_revoked_certificate(revoked)
            .sign(self._key, hashes.SHA256())
        )
        pem = crl.public_bytes(serialization.Encoding.PEM)
        (self.folder / f"{self.name}.crl").write_bytes(pem)

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, is_authority: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        serial = x509.random_serial_number()
        return (
            x509.CertificateBuilder(self._subject, subject, key, serial)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


class Clients:
    """Their certificates, by name; `certificate` is ann's."""

    def __init__(self, folder: Path) -> None:
        authority, other = Authority(folder, "authority"), Authority(folder, "other")
        self.files = {"ann": authority.client("ann")}
        self.certificate = authority.last
        self.files |= {"revoked": authority.client("revoked")}
        authority.revoke(authority.last)
        self.files |= {"stranger": other.client("stranger")}


@pytest.fixture(scope="module")
def clients(tmp_path_factory) -> Clients:
    return Clients(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def edge(clients) -> Iterator[Edge]:
    with Backend() as backend, FakeDiscovery(web=[backend.port]) as discovery:
        edge = Edge(FILE, discovery.address, thumbprint="thumb")
        for name in ("authority.pem", "authority.crl", "other.pem"):
            source = Path(clients.files["ann"]).with_name(name)
            edge.file(name, source.read_text())
        edge.file("files/a.txt", "a file")
        with edge:
            eventually(lambda: edge.get("open.test").status == 200)
            yield edge


def context(edge: Edge, file: str = "", version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    made = edge.tls()
    made.check_hostname = False
    if file:
        made.load_cert_chain(file)
    if version:
        made.maximum_version = version
    return made


def status(
    edge: Edge,
    host: str,
    path: str = "/",
    *,
    file: str = "",
    sni: str | None = "",
    headers: str = "",
    version: ssl.TLSVersion | None = None,
) -> tuple[int, str]:
    """The status and the rest of the answer; `sni` is `host` if empty, and None sends none."""
    name = host if sni == "" else sni
    with edge.handshake(name, context(edge, file, version)) as tls:
        return ask(tls, host, path, headers)


def ask(tls: ssl.SSLSocket, host: str, path: str = "/", headers: str = "") -> tuple[int, str]:
    tls.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n{headers}\r\n".encode())
    answer = b""
    with suppress(ssl.SSLError):
        while more := tls.recv(65536):
            answer += more
    return int(answer.split()[1]), answer.decode()


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_site_that_requires_a_certificate_is_served_only_with_one(edge, clients, version):
    assert status(edge, "closed.test", version=version)[0] == 400
    assert status(edge, "closed.test", file=clients.files["ann"], version=version)[0] == 200


@pytest.mark.parametrize("site", ["closed.test", "half.test"])
def test_a_certificate_of_another_authority_is_refused(edge, clients, site):
    assert status(edge, site, file=clients.files["stranger"])[0] == 400


def test_a_revoked_certificate_is_refused(edge, clients):
    assert status(edge, "closed.test", file=clients.files["revoked"])[0] == 400
    assert status(edge, "half.test", file=clients.files["revoked"])[0] == 200


@pytest.mark.parametrize(("path", "without"), [("/", 200), ("/admin", 403), ("/files/a.txt", 403)])
def test_a_route_requires_what_is_optional_for_the_site(edge, clients, path, without):
    assert status(edge, "half.test", path)[0] == without
    assert status(edge, "half.test", path, file=clients.files["ann"])[0] == 200
    assert edge.plain("half.test", path).status == without


FORGED = "".join(
    f"{name}: eve\r\n{name.replace('-', '_')}: eve\r\n"
    for name in ("X-Client-Verify", "X-Client-Subject", "X-Client-Fingerprint", "X-Client-Cert")
)


@pytest.mark.parametrize("site", ["closed.test", "half.test", "open.test"])
def test_the_app_hears_of_the_certificate_and_of_nothing_else(edge, clients, site):
    code, answer = status(edge, site, file=clients.files["ann"], headers=FORGED)
    assert code == 200
    assert "eve" not in answer
    if site == "open.test":
        assert "X-Client" not in answer
        return
    pem = clients.certificate.public_bytes(serialization.Encoding.PEM).decode()
    assert '"X-Client-Verify": "SUCCESS"' in answer
    assert '"X-Client-Subject": "CN=ann"' in answer
    print_of = clients.certificate.fingerprint(hashes.SHA1()).hex()
    assert f'"X-Client-Fingerprint": "{print_of}"' in answer
    sent = answer.partition('"X-Client-Cert": "')[2].partition('"')[0]
    assert unquote(sent) == pem


def test_the_app_hears_that_there_is_no_certificate(edge):
    code, answer = status(edge, "half.test", headers=FORGED)
    assert (code, "eve" in answer) == (200, False)
    assert '"X-Client-Verify": "NONE"' in answer


@pytest.mark.parametrize("sni", ["open.test", "half.test", "first.test", "unknown.test", None])
@pytest.mark.parametrize("name", ["", "ann", "stranger"])
def test_a_handshake_for_another_site_does_not_do(edge, clients, sni, name):
    """https://github.com/nginx/nginx.org/pull/302: without a name in the handshake, a certificate
    for the default server was good for every other one.
    """
    file = clients.files[name] if name else ""
    code, _ = status(edge, "closed.test", sni=sni, file=file)
    assert code in {400, 421}


def test_the_default_site_needs_no_name_in_the_handshake(edge, clients):
    stranger = clients.files["stranger"]
    assert status(edge, "first.test", sni=None, file=stranger)[0] == 200
    assert status(edge, "first.test", sni=None)[0] == 400
    assert status(edge, "unknown.test", sni="unknown.test", file=stranger)[0] == 200


def test_a_site_without_certificates_does_not_mind(edge, clients):
    assert status(edge, "open.test", file=clients.files["stranger"])[0] == 200


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("first", ["open.test", "half.test", "first.test"])
def test_a_session_of_another_site_is_not_resumed(edge, clients, version, first):
    """CVE-2025-23419: a session that began at one site was resumed at another one, past its
    authority.
    """
    shared = context(edge, clients.files["stranger"] if first == "first.test" else "", version)
    with edge.handshake(first, shared) as tls:
        assert ask(tls, first)[0] == 200
        session = tls.session
    with (
        edge.handshake("closed.test", shared, session=session) as tls,
    ):
        assert ask(tls, "closed.test")[0] in {400, 421}


def test_what_is_for_others_stays_open(edge):
    assert edge.plain("closed.test", "/x").status == 308
    edge.wait_for_token("token")
    challenge = edge.plain("closed.test", "/.well-known/acme-challenge/token")
    assert (challenge.status, challenge.body) == (200, b"token.thumb")


def test_another_authority_takes_effect_when_it_is_there_and_what_is_none_never(stack, clients):
    """Nginx serves from copies, so that contents are part of what is in force."""
    folder = Path(clients.files["ann"]).parent
    text = f'[apps.web]\ncommand = "python3 {PROGRAMS / "echo.py"}"\n'
    text += '[sites."app.localhost"]\napp = "web"\n'
    file = stack.folder / "clients.pem"
    stack.up(text)
    file.write_text("no authority")
    stack.write(text + 'client_certificates = {authority = "clients.pem"}\n')
    refused = stack.portico("up", str(stack.folder))
    assert refused.returncode != 0
    assert "clients.pem has no certificate in PEM form" in refused.stderr
    assert stack.answers("app.localhost")
    for name, codes in (("authority", [200, 400]), ("other", [400, 200])):
        file.write_bytes((folder / f"{name}.pem").read_bytes())
        if name == "authority":
            stack.up()
        eventually(lambda codes=codes: _codes(stack, clients) == codes)

    file.write_text("no authority")
    (said,) = eventually(lambda: stack.status()["troubles"])
    assert said.endswith("no certificate in PEM form; the former contents are still in effect")
    stack.done("pause")  # which nginx is reloaded for
    stack.done("resume")
    assert _codes(stack, clients) == [400, 200]
    file.write_bytes((folder / "authority.pem").read_bytes())
    eventually(lambda: _codes(stack, clients) == [200, 400])
    eventually(lambda: stack.status()["troubles"] == [])
    eventually(lambda: "clients.pem was renewed" in stack.done("events").stdout)


def _codes(stack: Stack, clients: Clients) -> list[int]:
    found = []
    for name in ("ann", "stranger"):
        shown = stack.tls()
        shown.load_cert_chain(clients.files[name])
        client = Client("app.localhost", stack.https, shown)
        found.append(client.ask("GET").status)
        client.close()
    return found

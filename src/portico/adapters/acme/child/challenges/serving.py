"""Answers an authority's HTTP-01 and TLS-ALPN-01 questions while they are asked, and no longer."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import os
import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from portico.adapters.acme.child.challenges.responses import WELL_KNOWN, Proof, server_name
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.failures import setup_failure
from portico.adapters.acme.methods import Standalone, TlsAlpn

CLIENT_TIMEOUT: Final = 10.0  # seconds for one client
MAX_PROXY_LINE_LENGTH: Final = 107  # PROXY protocol, 2.1
ACME_TLS: Final = "acme-tls/1"
ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_LIFETIME: Final = timedelta(days=1)


def listen(where: Standalone | TlsAlpn) -> socket.socket:
    """Raises AcmeFailure when the port cannot be had."""
    if isinstance(where, TlsAlpn) and where.socket:
        return _listen_inside(Path(where.socket))
    dual = not where.address and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in where.address else socket.AF_INET
    try:
        return socket.create_server(
            (where.address, where.port), family=family, dualstack_ipv6=dual, backlog=64
        )
    except OSError as error:
        raise setup_failure(
            f"cannot answer the challenge on port {where.port}: {os.strerror(error.errno or 0)}; "
            "stop the program that listens there, or let nginx answer (http-01)"
        ) from error


def _listen_inside(path: Path) -> socket.socket:
    """Open to nginx's workers, another user, who alone may enter its folder."""
    try:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(64)
    except OSError as error:
        raise setup_failure(
            f"cannot answer the challenge at {path}: {os.strerror(error.errno or 0)}"
        ) from error
    return listener


@contextlib.contextmanager
def answering_http(where: Standalone, proofs: Sequence[Proof]) -> Iterator[None]:
    answers = {WELL_KNOWN + p.challenge.token: p.key_authorization for p in proofs}

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = CLIENT_TIMEOUT

        def do_GET(self) -> None:
            found = answers.get(self.path)
            body = (found or "this server only answers ACME challenges\n").encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(listen(where), Handler):
        yield


@contextlib.contextmanager
def answering_tls(where: TlsAlpn, proofs: Sequence[Proof], context: RunContext) -> Iterator[None]:
    """RFC 8737 3: a certificate that holds the proof, for whoever speaks `acme-tls/1`."""
    now = datetime.fromtimestamp(context.now(), UTC)
    contexts = {server_name(p.identifier): _context(p, now) for p in proofs}
    chosen = _by_name(contexts)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(CLIENT_TIMEOUT)
            if where.socket:
                _pass_over_proxy_line(self.request)
            # Scanners and a client that leaves in the middle are no business of ours.
            with contextlib.suppress(OSError), chosen.wrap_socket(self.request, server_side=True):
                pass

    with _serving(listen(where), Handler):
        yield


def _pass_over_proxy_line(connection: socket.socket) -> None:
    """Byte by byte: what comes after it is the handshake's."""
    line = b""
    with contextlib.suppress(OSError):
        while not line.endswith(b"\n") and len(line) < MAX_PROXY_LINE_LENGTH:
            byte = connection.recv(1)
            if not byte:
                return
            line += byte


def _by_name(contexts: Mapping[str, ssl.SSLContext]) -> ssl.SSLContext:
    def choose(connection: ssl.SSLObject, name: str | None, _: object) -> int | None:
        if name is None or name.lower() not in contexts:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = contexts[name.lower()]
        return None

    first = next(iter(contexts.values()))
    first.sni_callback = choose
    return first


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextlib.contextmanager
def _serving(
    listener: socket.socket, handler: type[socketserver.BaseRequestHandler]
) -> Iterator[None]:
    with _Server(("", 0), handler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listener
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _context(proof: Proof, now: datetime) -> ssl.SSLContext:
    certificate, key = _validation(proof, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([ACME_TLS])
    with tempfile.TemporaryDirectory(prefix="portico-") as folder:  # load_cert_chain takes files
        file = Path(folder) / "pair.pem"
        file.touch(mode=0o600)
        file.write_bytes(certificate + key)
        context.load_cert_chain(file)
    return context


def _validation(proof: Proof, now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    digest = sha256(proof.key_authorization.encode()).digest()
    octets = b"\x04" + bytes([len(digest)]) + digest  # DER OCTET STRING
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFETIME)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(proof)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(ACME_IDENTIFIER, octets), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), pem


def _general_name(proof: Proof) -> x509.GeneralName:
    if proof.identifier.type == "ip":
        return x509.IPAddress(ipaddress.ip_address(proof.name))
    return x509.DNSName(proof.name)

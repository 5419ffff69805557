"""The certificates that all peers share, signed by themselves: an ECDSA one and an RSA one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NAME = "localhost"
"""The site of every peer: the load generators resolve it, and send it as SNI."""
RSA_NAME = "rsa.localhost"
MORE = "{}.bench.localhost"
"""Where a peer has more sites; clients accept no wildcard right below a last label."""


class Certificates:
    """`ecdsa.pem`, `ecdsa.key`, `rsa.pem`, `rsa.key`, and `all.pem` for clients that verify;
    HAProxy wants each with its key in one file, `ecdsa.both` and `rsa.both`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        keys = {"ecdsa": ec.generate_private_key(ec.SECP256R1())}
        keys["rsa"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificates = [_issue(folder, name, key) for name, key in keys.items()]
        (folder / "all.pem").write_bytes(b"".join(certificates))

    @property
    def authority(self) -> Path:
        return self.folder / "all.pem"

    def certificate(self, kind: str) -> Path:
        return self.folder / f"{kind}.pem"

    def key(self, kind: str) -> Path:
        return self.folder / f"{kind}.key"


def _issue(folder: Path, kind: str, key) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"bench {kind}")])
    names = x509.SubjectAlternativeName(
        [x509.DNSName(each) for each in (NAME, RSA_NAME, MORE.format("*"))]
    )
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / f"{kind}.pem").write_bytes(certificate)
    (folder / f"{kind}.key").write_bytes(secret)
    (folder / f"{kind}.both").write_bytes(certificate + secret)
    return certificate

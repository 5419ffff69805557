"""An authority of the tests' own: signs certificates for any names and dates, with a chain."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Signed:
    chain: str
    """PEM, the certificate first."""
    key: str
    """PEM."""

    def key_file(self, folder: Path) -> str:
        path = folder / "order.key"
        path.write_text(self.key)
        path.chmod(0o600)
        return str(path)


class Signer:
    def __init__(self, name="Test", began=0.0):
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root = _name(f"{name} Root")
        self.name = f"{name} Intermediate"
        years = (dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
        builder = _builder(_name(self.name), root, self._key.public_key(), *years)
        self.intermediate = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).sign(self._root_key, hashes.SHA256())

    def sign(self, *names, at, days=90.0, key=None) -> Signed:
        """Valid from `at`, in seconds since 1970."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        start = dt.datetime.fromtimestamp(at, dt.UTC)
        years = (start, start + dt.timedelta(days=days))
        subject = _name(names[0].removeprefix("*."))
        builder = _builder(subject, self.intermediate.subject, key.public_key(), *years)
        leaf = (
            builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        pems = [each.public_bytes(Encoding.PEM).decode() for each in (leaf, self.intermediate)]
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Signed("".join(pems), secret.decode())


def rsa_key(bits=2048):
    return rsa.generate_private_key(65537, bits)


def _builder(subject, issuer, key, start, end):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

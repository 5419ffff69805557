"""The authority of a cluster's machines, in HOME/cluster of the first one.

For commands alone: the daemon does not import `cryptography`. A certificate has no common name,
because etcd's gateway refuses clients with one; the receiving nginx knows a machine by `O` and
`OU`, and the sending one by the DNS name. RFC 5280 for the fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portico.errors import Failed
from portico.system.cluster_identity import AUTHORITY, AUTHORITY_KEY, machine_host
from portico.system.x509 import PARSE_ERRORS

AUTHORITY_LIFE: Final = timedelta(days=7305)
MACHINE_LIFE: Final = timedelta(days=3652)
"""What ends the rights of a machine is its removal from `[machines]`, not time."""
BACKDATING: Final = timedelta(hours=1)  # for machines whose clock is behind


@dataclass(frozen=True, slots=True)
class MachinePair:
    certificate: bytes
    """PEM, as the key."""
    key: bytes
    serial: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True)
class MachineAuthority:
    cluster: str
    """A UUID."""
    root: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, cluster: str, now: float) -> Self:
        key, moment = ec.generate_private_key(ec.SECP256R1()), datetime.fromtimestamp(now, UTC)
        subject = _subject(cluster, NameOID.COMMON_NAME, "Portico machines")
        root = (
            _builder(subject, subject, key.public_key())
            .not_valid_before(moment - BACKDATING)
            .not_valid_after(moment + AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(cluster, root, key)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of HOME/cluster. Raises Failed where it is damaged, FileNotFoundError where the
        folder has no key of an authority.
        """
        pem = (folder / AUTHORITY_KEY).read_bytes()
        try:
            root = x509.load_pem_x509_certificate((folder / AUTHORITY).read_bytes())
            key = load_pem_private_key(pem, None)
            (cluster,) = root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        except (OSError, TypeError, *PARSE_ERRORS) as error:
            raise _damaged(folder, str(error)) from error
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or key.public_key() != root.public_key()
        ):
            raise _damaged(folder, f"{AUTHORITY_KEY} is not the key of {AUTHORITY}")
        return cls(str(cluster.value), root, key)

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return _pem(self.key)

    def sign(self, name: str, now: float) -> MachinePair:
        """A new key of a machine, with its certificate."""
        key, moment = ec.generate_private_key(ec.SECP256R1()), datetime.fromtimestamp(now, UTC)
        subject = _subject(self.cluster, NameOID.ORGANIZATIONAL_UNIT_NAME, name)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        names = [x509.DNSName(machine_host(name))]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        leaf = (
            _builder(subject, self.root.subject, key.public_key())
            .not_valid_before(moment - BACKDATING)
            .not_valid_after(min(moment + MACHINE_LIFE, self.root.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return MachinePair(leaf.public_bytes(Encoding.PEM), _pem(key), f"{leaf.serial_number:x}")


def _damaged(folder: Path, why: str) -> Failed:
    return Failed(
        f"the authority of the machines in {folder} is damaged: {why}; restore {AUTHORITY} and "
        f"{AUTHORITY_KEY} from a backup. Machines that have joined keep their certificates"
    )


def _subject(cluster: str, kind: x509.ObjectIdentifier, name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster), x509.NameAttribute(kind, name)]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

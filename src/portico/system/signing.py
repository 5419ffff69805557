"""Roots and certificates of the authorities that are Portico's own. RFC 5280 for the fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

BACKDATING: Final = timedelta(hours=1)  # for those whose clock is behind


@dataclass(frozen=True, slots=True)
class KeyPair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_root(subject: x509.Name, now: float, life: timedelta) -> KeyPair:
    key, moment = ec.generate_private_key(ec.SECP256R1()), datetime.fromtimestamp(now, UTC)
    root = (
        _builder(subject, subject, key.public_key(), moment, moment + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(root, key)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a certificate that signs no others has, whoever signs it."""

    subject: x509.Name
    names: Iterable[x509.GeneralName]
    usages: Iterable[x509.ObjectIdentifier]
    life: timedelta


def new_certificate(root: KeyPair, leaf: Leaf, now: float) -> KeyPair:
    """One with a key of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    return KeyPair(certificate_of_key(root, key.public_key(), leaf, now), key)


def certificate_of_key(
    root: KeyPair, key: ec.EllipticCurvePublicKey, leaf: Leaf, now: float
) -> x509.Certificate:
    """One that is valid no longer than the root."""
    moment = datetime.fromtimestamp(now, UTC)
    end = min(moment + leaf.life, root.certificate.not_valid_after_utc)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    return (
        _builder(leaf.subject, root.certificate.subject, key, moment, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(leaf.usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(leaf.names), critical=False)
        .add_extension(issuer, critical=False)
        .sign(root.key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    moment: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - BACKDATING)
        .not_valid_after(end)
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

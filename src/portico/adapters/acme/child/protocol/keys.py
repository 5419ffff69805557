"""Private keys of accounts and certificates: made, read, and what is signed with them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from acme.crypto_util import make_csr
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.jwa import ES256, ES384, ES512, RS256, JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA

from portico.adapters.acme.child.failures import setup_failure
from portico.core.model.certificate import KeyType
from portico.system.files import write

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_ALGORITHMS: Final[Mapping[str, JWASignature]] = {
    "secp256r1": ES256,
    "secp384r1": ES384,
    "secp521r1": ES512,
}


def make_key(path: Path, key_type: KeyType) -> None:
    """Write a new one, for this user alone, on disk before anybody uses it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = _new(key_type)
    write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _new(key_type: KeyType) -> Key:
    match key_type:
        case "ecdsa-p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ecdsa-p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "rsa2048":
            return rsa.generate_private_key(65537, 2048)
        case "rsa4096":
            return rsa.generate_private_key(65537, 4096)


def read_key(path: Path) -> Key:
    try:
        path.chmod(0o600)  # repaired rather than refused
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise setup_failure(f"cannot read the key {path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise setup_failure(f"cannot use the key {path}: {error}") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise setup_failure(f"cannot use the key {path}: neither RSA nor ECDSA")
    return key


def read_jwk(path: Path) -> JWK:
    """A key as requests are signed with it."""
    key = read_key(path)
    return JWKRSA(key=key) if isinstance(key, rsa.RSAPrivateKey) else JWKEC(key=key)


def algorithm(key: JWK) -> JWASignature:
    """The one that fits a key. RFC 7518 3.1."""
    if isinstance(key, JWKRSA):
        return RS256
    curve = key.key.curve.name
    if curve not in _ALGORITHMS:
        raise setup_failure(f"cannot sign with a key on {curve}; use P-256, P-384 or RSA")
    return _ALGORITHMS[curve]


def signing_request(key: Path, names: Sequence[str]) -> x509.CertificateSigningRequest:
    """The names are in subjectAltName only: RFC 8555 7.4 wants no common name."""
    addresses = [name for name in names if _is_address(name)]
    pem = make_csr(
        key.read_bytes(),
        [name for name in names if name not in addresses],
        ipaddrs=[ipaddress.ip_address(each) for each in addresses],
    )
    return x509.load_pem_x509_csr(pem)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

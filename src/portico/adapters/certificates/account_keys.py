"""An account's private key in the two forms that ACME clients keep it in: PEM and JSON Web Key."""

from __future__ import annotations

import json
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from josepy.errors import Error
from josepy.jwk import JWK, JWKEC, JWKRSA

from portico.errors import Failed

_NONSENSE: Final = (
    Error,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
    UnsupportedAlgorithm,
)
"""What the library raises over texts: errors of its own, and whatever a strange one leads to."""


def pem_of(jwk: str) -> str:
    """Raises Failed for a text that is no private key of a kind that accounts have."""
    try:
        key = JWK.json_loads(jwk)
    except _NONSENSE as error:
        raise Failed(f"not a JSON Web Key: {error}") from error
    if not isinstance(key, JWKRSA | JWKEC) or not hasattr(key.key, "private_bytes"):
        raise Failed("not an RSA or ECDSA private key")
    pem = key.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return bytes(pem).decode()


def jwk_of(pem: str) -> str:
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Failed(f"not a private key in PEM format: {error}") from error
    if isinstance(key, rsa.RSAPrivateKey):
        return json.dumps(JWKRSA(key=key).to_json())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return json.dumps(JWKEC(key=key).to_json())
    raise Failed("not an RSA or ECDSA private key")

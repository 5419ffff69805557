"""An account's private key, which certbot keeps as a JSON Web Key and Portico as PEM."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from josepy.errors import Error
from josepy.jwk import JWK, JWKEC, JWKRSA

from portico.errors import Failed

_PARSE_ERRORS: Final = (
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
    except _PARSE_ERRORS as error:
        raise Failed(f"not a JSON Web Key: {error}") from error
    if not isinstance(key, JWKRSA | JWKEC) or not hasattr(key.key, "private_bytes"):
        raise Failed("not an RSA or ECDSA private key")
    pem = key.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return bytes(pem).decode()

"""Files of certificates, keys and parameters, and what is in them."""

from __future__ import annotations

import stat
from base64 import b64decode
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import AuthorityInformationAccessOID

from portico.stack.doctor.machine import FileFacts
from portico.system.x509 import PARSE_ERRORS, names_of, read_chain

_MAX_PEM_SIZE: Final = 1 << 20


def file_facts(path: Path) -> FileFacts:
    """Raises OSError where its folder cannot be looked at."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return FileFacts(exists=False)
    facts = FileFacts(mode=stat.S_IMODE(found.st_mode), owner=found.st_uid)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_PEM_SIZE:
        return facts
    try:
        pem = path.read_bytes()
    except OSError:
        return facts
    return _read(pem, facts)


def _read(pem: bytes, facts: FileFacts) -> FileFacts:
    with suppress(*PARSE_ERRORS, TypeError):
        if b"-BEGIN CERTIFICATE-" in pem:
            chain = read_chain(pem)
            leaf = chain[0]
            return replace(
                facts,
                public_key=_digest(leaf.public_key()),
                names=tuple(sorted(names_of(leaf))),
                expires=leaf.not_valid_after_utc.timestamp(),
                has_ocsp=_has_ocsp(leaf),
                certificates=len(chain),
                self_signed=leaf.issuer == leaf.subject,
            )
        if b"PRIVATE KEY-" in pem:
            key = load_pem_private_key(pem, None)
            return replace(facts, public_key=_digest(key.public_key()))
        if b"-BEGIN DH PARAMETERS-" in pem:
            return replace(facts, key_bits=_bits_of_prime(pem))
    return facts


def _digest(key: PublicKeyTypes) -> str:
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _has_ocsp(leaf: x509.Certificate) -> bool:
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return False
    return any(e.access_method == AuthorityInformationAccessOID.OCSP for e in access)


def _bits_of_prime(pem: bytes) -> int:
    """Of DH parameters: a SEQUENCE whose first INTEGER is the prime (PKCS #3). Raises ValueError;
    `cryptography` warns that it will not read them any more.
    """
    body = pem.partition(b"PARAMETERS-----")[2].partition(b"-----END")[0]
    der = b64decode(body)
    prime = _content(_content(der, 0x30), 0x02)
    return int.from_bytes(prime).bit_length()


def _content(der: bytes, tag: int) -> bytes:
    """Of what stands first in it (X.690 8.1)."""
    if len(der) < 2 or der[0] != tag:  # noqa: PLR2004
        raise ValueError("not DER")
    size, start = der[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[2:start])
    return der[start : start + size]

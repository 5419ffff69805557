"""When a certificate of our own authority expires.

The daemon has no `cryptography`, which is 7 MB of memory: so this reads the one field itself.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


def end_of(pem: str) -> float:
    """Unix time of notAfter (RFC 5280 4.1.2.5) of the first certificate. Raises ValueError."""
    first = pem.partition(ssl.PEM_FOOTER)[0] + ssl.PEM_FOOTER
    try:
        [(_, certificate)] = _parts(ssl.PEM_cert_to_DER_cert(first))
        _, signed = next(_parts(certificate))
        fields = [each for each in _parts(signed) if each[0] != _VERSION]
        _, _, _, (_, validity), *_ = fields  # after serial number, algorithm and issuer
        _, (tag, text) = _parts(validity)
    except (IndexError, StopIteration) as error:
        raise ValueError("it is not a certificate") from error
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode(), form).replace(tzinfo=UTC).timestamp()


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value (X.690 8.1)."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        yield tag, der[at : at + length]
        at += length

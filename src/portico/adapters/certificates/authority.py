"""The local certificate authority: one root of ten years that signs for this machine.

It is trusted by nobody until `portico trust` or an operator says so. RFC 5280 for the fields.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portico.adapters.certificates.index import AUTHORITY, ROOT
from portico.adapters.certificates.lineage import write_folder
from portico.errors import Failed
from portico.system.signing import KeyPair, Leaf, new_certificate, new_root
from portico.system.x509 import PARSE_ERRORS

ROOT_LIFETIME: Final = timedelta(days=3652)
LEAF_LIFETIME: Final = timedelta(days=90)
_KEY: Final = "key.pem"
_MAX_HOST_LENGTH: Final = 26  # a common name has at most 64 characters: RFC 5280 appendix A.1


@dataclass(frozen=True, slots=True)
class Authority:
    root: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def sign(self, names: Sequence[str], now: float) -> tuple[bytes, bytes]:
        """A new certificate for the names with its key, both PEM."""
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Portico local")])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        leaf = Leaf(subject, map(_general_name, names), usages, LEAF_LIFETIME)
        pair = new_certificate(KeyPair(self.root, self.key), leaf, now)
        return pair.certificate_pem, pair.key_pem

    def has_signed(self, leaf: x509.Certificate) -> bool:
        try:
            leaf.verify_directly_issued_by(self.root)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def local_authority(folder: Path, host: str, now: float) -> Authority:
    """The authority of this folder, made if there is none or if it soon ends.

    Raises Failed when it is there and cannot be used: a new one would not be trusted any more.
    """
    place = folder / AUTHORITY
    if place.exists():
        authority = _read(place)
        if datetime.fromtimestamp(now, UTC) + LEAF_LIFETIME < authority.root.not_valid_after_utc:
            return authority
        place.rename(folder / f"_{AUTHORITY}-{authority.root.serial_number:x}")
    with contextlib.suppress(FileExistsError):
        _make(place, host, now)
    return _read(place)


def _read(place: Path) -> Authority:
    try:
        root = x509.load_pem_x509_certificate((place / ROOT).read_bytes())
        key = load_pem_private_key((place / _KEY).read_bytes(), None)
    except (OSError, TypeError, *PARSE_ERRORS) as error:
        raise _damage_error(place, str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != root.public_key():
        raise _damage_error(place, f"{_KEY} is not the key of {ROOT}")
    return Authority(root, key)


def _damage_error(place: Path, why: str) -> Failed:
    return Failed(
        f"the local authority in {place} is damaged: {why}; certificates that it signed remain "
        "in use. To create a new one, remove that folder and run `portico trust` again"
    )


def _make(place: Path, host: str, now: float) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    common = f"Portico local authority ({host[:_MAX_HOST_LENGTH]}, {moment:%Y-%m-%d})"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    root = new_root(name, now, ROOT_LIFETIME)
    write_folder(place, {ROOT: root.certificate_pem, _KEY: root.key_pem})


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

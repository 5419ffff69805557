"""The authority of a cluster's machines, in HOME/cluster of the first one.

For commands alone: the daemon does not import `cryptography`. A certificate has no common name,
because etcd's gateway refuses clients with one; the receiving nginx knows a machine by `O` and
`OU`, and the sending one by the DNS name. RFC 5280 for the fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portico.errors import Failed
from portico.system.cluster_identity import AUTHORITY, AUTHORITY_KEY
from portico.system.signing import key_pem, new_certificate, new_root
from portico.system.x509 import PARSE_ERRORS

AUTHORITY_LIFE: Final = timedelta(days=7305)
MACHINE_LIFE: Final = timedelta(days=3652)
"""What ends the rights of a machine is its removal from `[machines]`, not time."""


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
        subject = _subject(cluster, NameOID.COMMON_NAME, "Portico machines")
        root = new_root(subject, now, AUTHORITY_LIFE)
        return cls(cluster, root.certificate, root.key)

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
        return key_pem(self.key)

    def sign(self, name: str, host: str, now: float) -> MachinePair:
        """A new key of a machine, with its certificate; `host` is its DNS name there."""
        pair = new_certificate(
            self.root,
            self.key,
            _subject(self.cluster, NameOID.ORGANIZATIONAL_UNIT_NAME, name),
            [x509.DNSName(host)],
            now=now,
            life=MACHINE_LIFE,
            usages=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
        )
        serial = f"{pair.certificate.serial_number:x}"
        return MachinePair(pair.certificate_pem, pair.key_pem, serial)


def _damaged(folder: Path, why: str) -> Failed:
    return Failed(
        f"the authority of the machines in {folder} is damaged: {why}; restore {AUTHORITY} and "
        f"{AUTHORITY_KEY} from a backup. Machines that have joined keep their certificates"
    )


def _subject(cluster: str, kind: x509.ObjectIdentifier, name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster), x509.NameAttribute(kind, name)]
    )

"""The authority of a cluster's machines, in HOME/cluster of the first one.

For commands alone: the daemon does not import `cryptography`. A certificate has no common name,
because etcd's gateway refuses clients with one; the receiving nginx knows a machine by `O` and
`OU`, and the sending one by the DNS name. RFC 5280 for the fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portico.errors import Failed
from portico.system.cluster_identity import AUTHORITY, AUTHORITY_KEY
from portico.system.signing import (
    KeyPair,
    Leaf,
    certificate_of_key,
    key_pem,
    new_certificate,
    new_root,
)
from portico.system.x509 import PARSE_ERRORS

AUTHORITY_LIFETIME: Final = timedelta(days=7305)
MACHINE_LIFETIME: Final = timedelta(days=3652)
"""What ends the rights of a machine is its removal from the list of machines, not time."""
_USAGES: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


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
        root = new_root(subject, now, AUTHORITY_LIFETIME)
        return cls(cluster, root.certificate, root.key)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of HOME/cluster. Raises Failed where it is damaged, FileNotFoundError where the
        folder has no key of an authority.
        """
        pem = (folder / AUTHORITY_KEY).read_bytes()
        try:
            return cls.of_pem((folder / AUTHORITY).read_bytes(), pem)
        except (OSError, ValueError) as error:
            raise _damage_error(folder, str(error)) from error

    @classmethod
    def of_pem(cls, certificate: bytes, key: bytes) -> Self:
        """Raises ValueError."""
        try:
            root, own = (
                x509.load_pem_x509_certificate(certificate),
                load_pem_private_key(key, None),
            )
            (cluster,) = root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        except (TypeError, *PARSE_ERRORS) as error:
            raise ValueError(str(error)) from error
        if (
            not isinstance(own, ec.EllipticCurvePrivateKey)
            or own.public_key() != root.public_key()
        ):
            raise ValueError(f"{AUTHORITY_KEY} is not the key of {AUTHORITY}")
        return cls(str(cluster.value), root, own)

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)

    def sign(self, name: str, host: str, now: float) -> MachinePair:
        """A new key of a machine, with its certificate; `host` is its DNS name there."""
        return self._sign(self._leaf(name, [x509.DNSName(host)]), now)

    def sign_request(
        self, name: str, host: str, request: bytes, now: float, address: str = ""
    ) -> tuple[bytes, str]:
        """The certificate (PEM) and its serial, for the key of a signing request of anyone (PEM):
        of the machine with that DNS name, or of the member of etcd at that address.
        Raises ValueError.
        """
        unit = member_unit(name) if address else name
        names = _addresses(address) if address else [x509.DNSName(host)]
        signed = certificate_of_key(
            self._pair, _requested_key(request), self._leaf(unit, names), now
        )
        return signed.public_bytes(Encoding.PEM), f"{signed.serial_number:x}"

    def sign_member(self, name: str, address: str, now: float) -> MachinePair:
        """A key and certificate of a member of etcd, which is client and server of the others. It
        is reached at its address, and on loopback.
        """
        return self._sign(self._leaf(member_unit(name), _addresses(address)), now)

    def _sign(self, leaf: Leaf, now: float) -> MachinePair:
        pair = new_certificate(self._pair, leaf, now)
        serial = f"{pair.certificate.serial_number:x}"
        return MachinePair(pair.certificate_pem, pair.key_pem, serial)

    @property
    def _pair(self) -> KeyPair:
        return KeyPair(self.root, self.key)

    def _leaf(self, unit: str, names: Sequence[x509.GeneralName]) -> Leaf:
        subject = _subject(self.cluster, NameOID.ORGANIZATIONAL_UNIT_NAME, unit)
        return Leaf(subject, names, _USAGES, MACHINE_LIFETIME)


def member_unit(name: str) -> str:
    """The OU of a member of etcd, which no machine can have."""
    return f"etcd {name}"


def _addresses(address: str) -> list[x509.GeneralName]:
    return [x509.IPAddress(ip_address(each)) for each in dict.fromkeys((address, "127.0.0.1"))]


def new_request() -> tuple[bytes, bytes]:
    """A new key and a signing request for it, both PEM. Who signs it decides on all names."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return key_pem(key), builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _requested_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(pem)
        is_signed, key = request.is_signature_valid, request.public_key()
    except (TypeError, *PARSE_ERRORS) as error:
        raise ValueError(f"the signing request cannot be read: {error}") from error
    is_usual = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not is_signed or not is_usual:
        raise ValueError("the signing request is not signed by its own key, or that is not P-256")
    return cast("ec.EllipticCurvePublicKey", key)


def _damage_error(folder: Path, why: str) -> Failed:
    return Failed(
        f"the authority of the machines in {folder} is damaged: {why}; restore {AUTHORITY} and "
        f"{AUTHORITY_KEY} from a backup. Machines that have joined keep their certificates"
    )


def _subject(cluster: str, kind: x509.ObjectIdentifier, name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster), x509.NameAttribute(kind, name)]
    )

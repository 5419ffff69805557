"""What a certificate says of itself (RFC 5280), for whoever made it and whoever checks it."""

from __future__ import annotations

import ipaddress
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from portico.system.base64url import base64url

Chain = list[x509.Certificate]
"""The certificate itself first."""

PARSE_ERRORS: Final = (
    ValueError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
)
"""What reading a certificate may raise."""


def read_chain(pem: bytes) -> Chain:
    """Certificates of which all that is looked at can be read. Raises PARSE_ERRORS."""
    chain = x509.load_pem_x509_certificates(pem)
    for each in chain:
        # None of it is read before it is asked for.
        _ = each.public_key(), each.extensions, each.subject, each.issuer
        _ = each.not_valid_before_utc, each.not_valid_after_utc, each.signature_hash_algorithm
    return chain


def is_readable(pem: bytes, *, is_crl: bool) -> bool:
    """Whether there are certificates in it, or a list of revoked ones."""
    try:
        _ = x509.load_pem_x509_crl(pem) if is_crl else read_chain(pem)
    except PARSE_ERRORS:
        return False
    return True


def names_of(leaf: x509.Certificate) -> set[str]:
    """The names it is for, as `plain` writes them; only its subjectAltName counts (RFC 9525 2)."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    dns = found.get_values_for_type(x509.DNSName)
    return {*map(str.lower, dns), *map(str, found.get_values_for_type(x509.IPAddress))}


def plain(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def is_signed_by(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer has signed it."""
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def ari_id(leaf: x509.Certificate) -> str:
    """By which RFC 9773 4.1 knows it; empty when it does not name its issuer's key."""
    kind = x509.AuthorityKeyIdentifier
    try:
        issuer = leaf.extensions.get_extension_for_class(kind).value.key_identifier
    except x509.ExtensionNotFound:
        return ""
    serial = leaf.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)  # as DER has it
    return f"{base64url(issuer)}.{base64url(octets)}" if issuer else ""

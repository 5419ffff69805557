"""Looks at an operator's own certificate and key, and says what is wrong in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final, TypedDict

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import AuthorityInformationAccessOID

from portico.adapters.certificates.own_copies import MAX_FILE_SIZE, read
from portico.adapters.certificates.wire import Pair
from portico.core.model.moments import moment
from portico.core.planning.served_certificates import covers
from portico.system.x509 import PARSE_ERRORS, is_signed_by, names_of, read_chain

EXPIRY_NOTICE: Final = timedelta(days=14)
MIN_RSA_BITS: Final = 2048
_KEY: Final = re.compile(
    rb"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL
)
_WEAK_HASHES: Final = frozenset({"md5", "sha1"})


class Examination(TypedDict):
    problems: list[str]
    notes: list[str]


class _UnusableFile(Exception):
    """A file from which nothing can be read; its text is the problem."""


def examine(pair: Pair, now: float) -> Examination:
    at = datetime.fromtimestamp(now, UTC)
    problems: list[str] = []
    notes: list[str] = []
    chain: list[x509.Certificate] = []
    key: PrivateKeyTypes | None = None
    try:
        chain = _read_chain(pair["certificate"])
    except _UnusableFile as unusable:
        problems.append(str(unusable))
    try:
        key = _read_key(pair["key"])
        notes.extend(_open_to_all(pair["key"]))
    except _UnusableFile as unusable:
        problems.append(str(unusable))
    notes.extend(_certbot_notes(pair["certificate"]))
    if chain:
        problems.extend(_date_problems(pair["certificate"], chain[0], at))
        problems.extend(_name_problems(pair["certificate"], chain[0], pair["names"]))
        problems.extend(_weaknesses(pair["certificate"], chain))
        notes.extend(_date_notes(pair["certificate"], chain[0], at))
        notes.extend(_chain_notes(pair["certificate"], chain))
    if chain and key:
        problems.extend(_match_problems(pair, chain, key))
    return {"problems": problems, "notes": notes}


def _certbot_notes(path: str) -> Iterator[str]:
    """`live/NAME/fullchain.pem` is a link to what certbot has renewed last."""
    live = Path(path).parent
    conf = live.parent.parent / "renewal" / f"{live.name}.conf"
    if live.parent.name == "live" and conf.exists() and not Path(path).is_symlink():
        yield (
            f"{path} is not a symbolic link, so certbot does not renew it: {live.parent.parent} "
            "was copied without its links; copy it with `cp -a` or `rsync -a`"
        )


def _read_chain(path: str) -> list[x509.Certificate]:
    data = _read(path)
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise _UnusableFile(
            f"{path} holds no certificate in PEM format{_other_form(data, 'x509')}"
        )
    try:
        return read_chain(data)
    except PARSE_ERRORS as error:
        raise _UnusableFile(f"{path} holds a certificate that cannot be read: {error}") from error


def _read_key(path: str) -> PrivateKeyTypes:
    data = _read(path)
    # A block may follow others: EC parameters, or the certificate in the same file.
    block = _KEY.search(data)
    if not block:
        raise _UnusableFile(
            f"{path} holds no private key in PEM format{_other_form(data, 'pkey')}"
        )
    try:
        return load_pem_private_key(block[0], None)
    except TypeError:
        raise _UnusableFile(
            f"the key in {path} is encrypted, which is not supported; decrypt it with `openssl "
            f"pkey -in {path} -out NEWFILE` and use that file"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _UnusableFile(f"{path} holds a key that cannot be read: {error}") from error


def _read(path: str) -> bytes:
    try:
        data = read(path)
    except OSError as error:
        raise _UnusableFile(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_FILE_SIZE:
        raise _UnusableFile(f"{path} is larger than 1 MB, too large for a certificate or key")
    return data


def _other_form(data: bytes, command: str) -> str:
    if data[:1] != b"\x30":  # what ASN.1 begins with, DER and PKCS #12 alike
        return ""
    return (
        f"; it looks like DER or PKCS #12: convert it with `openssl {command} -inform der` "
        "or `openssl pkcs12 -nodes`"
    )


def _open_to_all(path: str) -> Iterator[str]:
    mode = Path(path).stat().st_mode & 0o777
    if mode & 0o004:
        yield f"{path} is readable by every user (mode {mode:04o}); run `chmod 600 {path}`"


def _date_problems(path: str, leaf: x509.Certificate, now: datetime) -> Iterator[str]:
    if now < leaf.not_valid_before_utc:
        begin = moment(leaf.not_valid_before_utc.timestamp())
        yield f"the certificate in {path} is not valid before {begin}"
    if now > leaf.not_valid_after_utc:
        end = moment(leaf.not_valid_after_utc.timestamp())
        yield f"the certificate in {path} expired on {end}"


def _date_notes(path: str, leaf: x509.Certificate, now: datetime) -> Iterator[str]:
    left = leaf.not_valid_after_utc - now
    if timedelta(0) <= left < EXPIRY_NOTICE:
        end = moment(leaf.not_valid_after_utc.timestamp())
        yield f"the certificate in {path} expires on {end}, in {left.days} days"


def _name_problems(path: str, leaf: x509.Certificate, wanted: list[str]) -> Iterator[str]:
    held = names_of(leaf)
    if missing := [name for name in wanted if not covers(held, name)]:
        names = ", ".join(sorted(held)) or "no name (it has no subjectAltName)"
        yield f"the certificate in {path} does not cover {', '.join(missing)}; it is for {names}"


def _weaknesses(path: str, chain: list[x509.Certificate]) -> Iterator[str]:
    for number, certificate in enumerate(chain, 1):
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
            yield (
                f"certificate {number} in {path} has an RSA key of {key.key_size} bits; clients "
                f"and nginx require at least {MIN_RSA_BITS}"
            )
        algorithm = certificate.signature_hash_algorithm
        is_root = certificate.issuer == certificate.subject  # trusted for itself, not its hash
        if algorithm and algorithm.name in _WEAK_HASHES and (number == 1 or not is_root):
            yield f"certificate {number} in {path} is signed with {algorithm.name.upper()}"


def _chain_notes(path: str, chain: list[x509.Certificate]) -> Iterator[str]:
    if len(chain) == 1 and _names_issuer(chain[0]):
        yield (
            f"{path} has no intermediate certificate ({chain[0].issuer.rfc4514_string()}); append "
            "it, or most clients will reject the certificate"
        )
    for number, (one, following) in enumerate(pairwise(chain), 1):
        if not is_signed_by(one, following):
            yield (
                f"the chain in {path} is out of order: certificate {number + 1} "
                f"({following.subject.rfc4514_string()}) did not sign certificate {number}"
            )
            return


def _names_issuer(leaf: x509.Certificate) -> bool:
    """Whether it says where its issuer's certificate is, as all of public authorities do."""
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return False
    return any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in access)


def _match_problems(
    pair: Pair, chain: list[x509.Certificate], key: PrivateKeyTypes
) -> Iterator[str]:
    mine = key.public_key()
    if chain[0].public_key() == mine:
        return
    if any(each.public_key() == mine for each in chain):
        yield (
            f"the chain in {pair['certificate']} is out of order: the certificate for the key in "
            f"{pair['key']} must come first"
        )
    else:
        yield f"the key in {pair['key']} does not match the certificate in {pair['certificate']}"

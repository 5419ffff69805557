"""What a certificate of an authority says of itself, and whether it may be used with its key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from portico.adapters.certificates.examine import examine
from portico.adapters.certificates.wire import Pair
from portico.core.model.certificate import KeyType
from portico.core.model.pair import Facts
from portico.system.x509 import ari_id, common_name, is_signed_by, names_of, plain

MAX_CLOCK_SKEW: Final = 300.0  # seconds by which an authority's clock may be ahead of ours


def facts(pair: Pair, now: float) -> dict[str, object]:
    """Facts, as JSON values. `names` must be exactly the certificate's, unless there are none."""
    if problems := examine(pair, now + MAX_CLOCK_SKEW)["problems"]:
        return asdict(Facts(tuple(problems)))
    chain = x509.load_pem_x509_certificates(Path(pair["certificate"]).read_bytes())
    leaf = chain[0]
    found = (*_more_names(leaf, pair["names"]), *_links(chain))
    return asdict(replace(facts_of(leaf), problems=found))


def facts_of(leaf: x509.Certificate) -> Facts:
    """What it says of itself."""
    return Facts(
        problems=(),
        names=tuple(sorted(names_of(leaf))),
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        issuer=common_name(leaf.issuer),
        ari_id=ari_id(leaf),
        key_type=_key_type(leaf),
    )


def _more_names(leaf: x509.Certificate, wanted: list[str]) -> Iterator[str]:
    more = sorted(names_of(leaf) - set(map(plain, wanted)))
    if wanted and more:
        yield f"the certificate also has {', '.join(more)}, which was not requested"


def _links(chain: list[x509.Certificate]) -> Iterator[str]:
    for number, (one, following) in enumerate(pairwise(chain), 1):
        if not is_signed_by(one, following):
            yield f"certificate {number + 1} of the chain did not sign certificate {number}"
        if not _may_sign(following):
            yield f"certificate {number + 1} of the chain may not sign certificates"


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _key_type(leaf: x509.Certificate) -> KeyType | None:
    key = leaf.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        curves: dict[str, KeyType] = {"secp256r1": "ecdsa-p256", "secp384r1": "ecdsa-p384"}
        return curves.get(key.curve.name)
    if isinstance(key, rsa.RSAPublicKey):
        sizes: dict[int, KeyType] = {2048: "rsa2048", 4096: "rsa4096"}
        return sizes.get(key.key_size)
    return None

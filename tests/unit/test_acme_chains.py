from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.child.orders.chains import choose, read_chain
from portico.adapters.certificates.facts import facts
from portico.system.x509 import ari_id

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY, ISSUER, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))


def signed(name="leaf", issuer="middle", *, key=KEY, by=ISSUER, days=(-1, 89), **more):
    """One certificate; `days` from now, for `names`, which may sign others if it is a `ca`."""
    kinds = {"dns": x509.DNSName, "addresses": lambda each: x509.IPAddress(ip_address(each))}
    names = [kinds[kind](each) for kind in kinds for each in more.get(kind, ())]
    extensions = [x509.BasicConstraints(ca=more.get("ca", False), path_length=None)]
    extensions += [x509.SubjectAlternativeName(names)] if names else []
    extensions += more.get("extensions", [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(common(name))
        .issuer_name(common(issuer))
        .public_key(key.public_key())
        .serial_number(more.get("serial", 7))
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(by, hashes.SHA256())


def common(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def pem(*chain):
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in chain)


LEAF = signed(dns=["a.test", "*.a.test"])
MIDDLE = signed("middle", "Old Root", key=ISSUER, by=OTHER, ca=True)
CROSS = signed("middle", "New Root", key=ISSUER, by=OTHER, ca=True)


def problems(folder, *chain, names=("a.test", "*.a.test"), key=KEY):
    """What keeps this chain from being used, as it is stored with this key."""
    stored = {"certificate": folder / "chain.pem", "key": folder / "key.pem"}
    stored["certificate"].write_text(pem(*chain))
    stored["key"].touch(0o600)
    stored["key"].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pair = {name: str(path) for name, path in stored.items()} | {"names": list(names)}
    return facts(pair, NOW.timestamp())["problems"]


def test_a_good_certificate_has_nothing_wrong(tmp_path):
    assert problems(tmp_path, LEAF, MIDDLE) == ()


@pytest.mark.parametrize(
    ("chain", "more", "problem"),
    [
        ((LEAF, MIDDLE), {"key": OTHER}, "does not match the certificate"),
        ((LEAF, MIDDLE), {"names": ("a.test", "b.test")}, "does not cover b.test"),
        ((LEAF, MIDDLE), {"names": ("a.test",)}, "also has *.a.test, which was not requested"),
        ((signed(), MIDDLE), {}, "it is for no name"),
        (
            (LEAF, signed("other", "root", by=OTHER, key=OTHER, ca=True)),
            {},
            "certificate 2 of the chain did not sign",
        ),
        (
            (LEAF, signed("middle", "root", key=ISSUER, by=OTHER)),
            {},
            "may not sign certificates",
        ),
        (
            (signed(dns=["a.test"], days=(-90, -1)), MIDDLE),
            {"names": ("a.test",)},
            "expired on 2026-11-21",
        ),
        (
            (signed(dns=["a.test"], days=(1, 90)), MIDDLE),
            {"names": ("a.test",)},
            "is not valid before 2026-11-23",
        ),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told(tmp_path, chain, more, problem):
    (found,) = problems(tmp_path, *chain, **more)
    assert problem in found


def test_the_clock_of_an_authority_may_be_some_minutes_ahead(tmp_path):
    leaf = signed(days=(1 / 500, 90), dns=["a.test"])
    assert problems(tmp_path, leaf, MIDDLE, names=["a.test"]) == ()


def test_addresses_are_the_same_in_whatever_way_they_are_written(tmp_path):
    leaf = signed(addresses=["2001:db8::1"])
    assert problems(tmp_path, leaf, MIDDLE, names=["2001:DB8:0::1"]) == ()


@pytest.mark.parametrize(
    ("preferred", "number", "note"),
    [
        (None, 0, ""),
        ("Old Root", 0, ""),
        ("New Root", 1, ""),
        ("middle", 0, ""),
        ("Nobody", 0, "no chain was issued by Nobody; available: Old Root, New Root"),
    ],
)
def test_a_chain_is_preferred_by_its_topmost_issuer_then_by_any(preferred, number, note):
    chains = [pem(LEAF, MIDDLE), pem(LEAF, CROSS)]

    chosen = choose(chains, preferred)

    assert (chosen.pem, chosen.note) == (chains[number], note)


def test_what_is_no_certificate_is_told():
    with pytest.raises(AcmeFailure, match="cannot read the certificate that it sent"):
        read_chain("<html>")


def with_issuer_key(serial, key_identifier):
    extension = x509.AuthorityKeyIdentifier(key_identifier, None, None)
    return signed(serial=serial, extensions=[extension])


def test_the_id_is_that_of_the_example_in_rfc_9773():
    key = bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4")

    assert ari_id(with_issuer_key(0x87654321, key)) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    assert ari_id(LEAF) == ""


@given(st.integers(min_value=1, max_value=2**158))
def test_the_serial_in_an_id_is_the_shortest_that_is_not_negative(serial):
    text = ari_id(with_issuer_key(serial, b"key")).split(".")[1]
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    assert int.from_bytes(octets, "big", signed=True) == serial
    assert len(octets) == 1 or octets[0] or octets[1] >= 128

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portico.system.certificate_end import end_of


@pytest.mark.parametrize("year", [1999, 2036, 2049, 2050, 2999])
def test_the_end_is_that_of_the_first_certificate(year):
    end = datetime(year, 11, 29, 12, 30, 5, tzinfo=UTC)
    pem = certificate(end)
    assert end_of(pem + certificate(datetime(2030, 1, 1, tzinfo=UTC))) == end.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAMwATA=\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_certificate_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        end_of(text)


def certificate(end: datetime) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "m1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime(1990, 1, 1, tzinfo=UTC)).not_valid_after(end)
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()

from __future__ import annotations

from dataclasses import replace

from portico.core.render.directive import to_text
from portico.core.render.tls import tls_basics
from tests.rendered import WHEEL


def test_the_profile_has_forward_secrecy_and_no_old_protocol():
    lines = to_text(tls_basics(WHEEL)).splitlines()
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in lines
    (ciphers,) = [line.split()[1] for line in lines if line.startswith("ssl_ciphers")]
    assert all(cipher.startswith("ECDHE-") for cipher in ciphers.rstrip(";").split(":"))
    assert not [line for line in lines if "stapling" in line or "dhparam" in line]


def test_the_post_quantum_key_exchange_is_offered_where_the_build_has_it():
    assert "ssl_ecdh_curve X25519:prime256v1:secp384r1;" in to_text(tls_basics(WHEEL))
    newer = replace(WHEEL, can=WHEEL.can | {"X25519MLKEM768"})
    assert "ssl_ecdh_curve X25519MLKEM768:X25519:prime256v1:secp384r1;" in to_text(
        tls_basics(newer)
    )

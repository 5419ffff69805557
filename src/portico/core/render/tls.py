"""TLS: Mozilla's intermediate profile, guideline 6.0, as far as the build can do it."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.model.place import Build, CertificateFiles
from portico.core.render.directive import Directive, directive

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
POST_QUANTUM = "X25519MLKEM768"
"""From OpenSSL 3.5 on; an older one makes nginx refuse the whole file."""
CURVES = ("X25519", "prime256v1", "secp384r1")


def tls_basics(build: Build, cache: str = "portico") -> Iterator[Directive]:
    """For every site, or every stream; `cache` is the name of their cache of sessions.

    No stapling: Let's Encrypt has had no OCSP since 2025.

    Tickets are on: nginx rotates their keys, which all workers and the next generation share
    with the session cache (1.23.2), so that the reason to switch them off is gone. A cache of
    certificates would do nothing: it is for paths with variables in them.
    """
    curves = CURVES if POST_QUANTUM not in build.can else (POST_QUANTUM, *CURVES)
    yield directive("ssl_protocols", "TLSv1.2", "TLSv1.3")
    yield directive("ssl_ciphers", ":".join(CIPHERS))
    yield directive("ssl_ecdh_curve", ":".join(curves))
    yield directive("ssl_prefer_server_ciphers", "off")
    yield directive("ssl_session_cache", f"shared:{cache}:10m")  # about 40,000 sessions
    yield directive("ssl_session_timeout", "1d")
    yield directive("ssl_session_tickets", "on")


def certificate(files: CertificateFiles) -> Iterator[Directive]:
    yield directive("ssl_certificate", files.certificate)
    yield directive("ssl_certificate_key", files.key)

"""Lineages, certificates and ledgers as the tests of planning need them."""

from __future__ import annotations

from portico.core.model.certificate import LETS_ENCRYPT_LIMITS, Certificate, Issuer, Lineage
from portico.core.model.place import CertificateFiles
from portico.core.planning.ledger import Ledger

NOW = 1_800_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
FIRST = Issuer("https://first.test/directory", limits=LETS_ENCRYPT_LIMITS)
SECOND = Issuer("https://second.test/directory", limits=LETS_ENCRYPT_LIMITS)
ARI_ID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


def lineage(*names, issuers=(FIRST,), **more):
    names = names or ("a.test",)
    return Lineage(names[0], names, issuers, **more)


def certificate(*names, at=NOW, days=90.0, serial="8765", **more):
    """One that was issued and stored at `at`."""
    said = {
        "lineage": names[0] if names else "a.test",
        "generation": 1,
        "files": CertificateFiles("/c", "/k"),
        "cert": "/c",
        "chain": "/c",
        "issuer": FIRST.directory,
        "serial": serial,
        "not_before": at,
        "not_after": at + days * DAY,
        "names": names or ("a.test",),
        "key_type": "ecdsa-p256",
        "stored": at,
        "ari_id": ARI_ID,
    }
    return Certificate(**said | more)


def empty_ledger(now=NOW):
    return Ledger([], now)

"""Operators' own certificates, and the files beside their file."""

from __future__ import annotations

from portico.core.model.desired import Desired, absolute
from portico.core.model.place import CertificateFiles


def own_pair(desired: Desired, name: str) -> CertificateFiles | None:
    """The operator's own certificate and key for a site, as absolute paths."""
    site, tls = desired.sites[name], desired.tls
    certificate, key = site.certificate or tls.certificate, site.key or tls.key
    if certificate is None or key is None:
        return None
    return CertificateFiles(absolute(certificate, desired.folder), absolute(key, desired.folder))

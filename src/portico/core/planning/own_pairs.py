"""Operators' own certificates and keys: which pairs there are, and for which names."""

from __future__ import annotations

from collections import defaultdict

from portico.core.model.desired import Desired
from portico.core.model.pair import OwnPair
from portico.core.model.place import CertificateFiles


def own_pairs(desired: Desired) -> dict[OwnPair, tuple[str, ...]]:
    """Every pair once, with the names of all sites that are served with it, and these sites."""
    sites: defaultdict[CertificateFiles, list[str]] = defaultdict(list)
    for name, site in desired.sites.items():
        if site.https and (files := desired.own_certificate(name)):
            sites[files].append(name)
    return {
        OwnPair(files.certificate, files.key, _names(desired, served)): tuple(served)
        for files, served in sites.items()
    }


def _names(desired: Desired, sites: list[str]) -> tuple[str, ...]:
    every = (each for name in sites for each in (name, *desired.sites[name].aliases))
    return tuple(dict.fromkeys(every))


def not_renewed(desired: Desired, name: str) -> str:
    """Why there is nothing to renew by a name of a site; empty if no site has the name."""
    sites = desired.sites.items()
    site = next((key for key, each in sites if name in {key, *each.aliases}), None)
    if site is None:
        return ""
    if (files := desired.own_certificate(site)) is not None:
        return (
            f"{name} is served with your own certificate {files.certificate}, which Portico does "
            "not renew; it serves what that file has as soon as it is replaced"
        )
    if not desired.sites[site].https:
        return f"{name} has no certificate: its site has https = false"
    if desired.issuance(site) is not None and name != site:
        return f"{name} is in the certificate {site}"
    return (
        f"{name} is served with a certificate of the local authority, which Portico renews when "
        "it is due"
    )

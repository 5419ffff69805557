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

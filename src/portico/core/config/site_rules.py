"""Rules of sites: whose a domain is, where requests go, and what HTTPS needs."""

from __future__ import annotations

from collections.abc import Iterator

from portico.core.config.findings import Draft, Finding, Path, path_text
from portico.core.config.grpc_rules import grpc_findings
from portico.core.config.handling_rules import handling_findings
from portico.core.config.internal_rules import internal_findings
from portico.core.config.match_rules import match_findings, takes_all
from portico.core.config.page_rules import page_findings
from portico.core.config.redirect_rules import redirect_findings
from portico.core.config.route_rules import TARGETS, route_findings, target_findings, targets_of
from portico.core.model.document import Document
from portico.core.model.edge import Tls
from portico.core.model.site import Site


def site_findings(draft: Draft) -> Iterator[Finding]:
    document = draft.document
    served = {n for name, site in document.sites.items() for n in (name, *site.aliases)}
    yield from _domains(document)
    yield from _defaults(document)
    yield from _pair(draft, ("tls",), document.tls)
    for name, site in document.sites.items():
        path: Path = ("sites", name)
        yield from _target(draft, path, site)
        yield from target_findings(draft, path, site)
        yield from handling_findings(draft, path, site, targets_of(site))
        yield from route_findings(draft, path, site)
        yield from match_findings(draft, path, site)
        yield from grpc_findings(path, site)
        yield from internal_findings(path, site)
        yield from redirect_findings(name, site, served)
        yield from page_findings(draft, path, site)
        yield from _pair(draft, path, site)
        if site.hsts and not site.https:
            yield Finding((*path, "hsts"), "needs https, but it is false")
        if site.client_certificates and not site.https:
            yield Finding((*path, "client_certificates"), "needs https, but it is false")


def _domains(document: Document) -> Iterator[Finding]:
    served: dict[str, Path] = {}
    for first, site in document.sites.items():
        path: Path = ("sites", first)
        places = {path: first} | {(*path, "aliases", i): a for i, a in enumerate(site.aliases)}
        for place, name in places.items():
            if name in served:
                other = served[name]
                by = f"{path_text(other[:2])} serves" if other[:2] != path else "the site has"
                yield Finding(place, f'{by} "{name}" already')
            served.setdefault(name, place)


def _defaults(document: Document) -> Iterator[Finding]:
    first, *others = [name for name, site in document.sites.items() if site.default] or [""]
    for name in others:
        what = f"is true in {path_text(('sites', first))} already"
        yield Finding(("sites", name, "default"), f"{what}; only one site can answer other names")


def _target(draft: Draft, path: Path, site: Site) -> Iterator[Finding]:
    targets = targets_of(site)
    if targets and takes_all(site.routes.get("/")):
        what = f'has {targets[0]} and a route for "/", which are the same; set only one'
        yield Finding(path, what)
    closed = site.maintenance is True or (site.maintenance and site.maintenance.on)
    if (
        not targets
        and not site.routes
        and not closed
        and not draft.may_be_set(path, *TARGETS, "routes", "maintenance")
    ):
        yield Finding(path, "needs app, upstream, folder, redirect or routes")


def _pair(draft: Draft, path: Path, holder: Site | Tls) -> Iterator[Finding]:
    if draft.may_be_set(path, "certificate", "key"):
        return
    if holder.certificate is not None and holder.key is None:
        yield Finding(path, "has a certificate but no key")
    if holder.key is not None and holder.certificate is None:
        yield Finding(path, "has a key but no certificate")

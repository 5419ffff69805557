"""Objects of Kubernetes for the sites of a file: what lets requests in, and their certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol

from portico.core.model.certificate import is_rsa
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.issuing import ISSUERS, IssuanceSettings
from portico.core.model.site import Route, Site
from portico.stack.export.gateway import Gateway
from portico.stack.export.ingress import Ingresses
from portico.stack.export.kubernetes import Object, file_name, secret_name, site_object
from portico.stack.export.kubernetes_keys import RefusedKey, refused_keys


class RoutingKind(Protocol):
    """What lets requests in: an Ingress, or a Gateway."""

    @property
    def kind(self) -> str:
        """Of the object of one site."""

    @property
    def keys(self) -> frozenset[str]:
        """Those of a site that have an equal here and are refused where they have none."""

    @property
    def solver(self) -> Object:
        """Of an Issuer: what answers for http-01."""

    def rules(self, site: Site) -> Iterator[tuple[tuple[str, *tuple[int, ...]], list[Object]]]:
        """By the place of a route; none for one without an equal. The site is last, as `""`."""

    def losses(self, name: str, site: Site) -> Iterator[str]: ...

    def refused_keys(self, name: str, site: Site) -> Iterator[RefusedKey]:
        """What of `keys` has no equivalent as it is used in this site."""

    def objects(
        self, name: str, site: Site, hosts: Sequence[str], rules: Sequence[Object]
    ) -> Iterator[Object]: ...

    def shared_objects(self) -> Iterator[Object]:
        """Those of all sites."""

    def shared_losses(self) -> Iterator[str]: ...


@dataclass(slots=True)
class SiteObjects:
    objects: list[Object] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: list[RefusedKey] = field(default_factory=list)


def site_objects(
    project: str, document: Document, desired: Desired, gateway_class: str = ""
) -> SiteObjects:
    """By a Gateway of a class, or else by Ingresses."""
    routing: RoutingKind = Ingresses(project, document)
    if gateway_class:
        routing = Gateway(project, gateway_class, document, desired)
    found = SiteObjects(refused=list(refused_keys(document, routing.keys)))
    issuers: dict[str, Object] = {}
    for name, site in document.sites.items():
        found.refused += routing.refused_keys(name, site)
        rules = list(_rules(name, site, routing, found.refused))
        hosts = [each for each in (name, *site.aliases) if not _is_address(each)]
        if not rules or not hosts:
            why = "its name is an address" if rules else "no app answers for it"
            found.lost.append(f"{name}: has no {routing.kind}, because {why}")
            continue
        found.lost += routing.losses(name, site)
        found.objects += routing.objects(name, site, hosts, rules)
        settings = desired.issuance(name)
        names = [each for each in hosts if settings and settings.asks_authority(each)]
        if settings and names:
            found.lost += _issuing_losses(name, settings)
            solver = routing.solver
            found.objects += _certificate(project, name, names, settings, issuers, solver)
        elif site.https:
            found.lost.append(_no_certificate(name, desired))
    found.objects += [*routing.shared_objects(), *issuers.values()]
    found.lost += routing.shared_losses()
    return found


def _rules(
    name: str, site: Site, routing: RoutingKind, refused: list[RefusedKey]
) -> Iterator[Object]:
    """What has no equivalent would be answered by the site itself, or by nobody."""
    routes = dict[tuple[str, *tuple[int, ...]], Route | str | Site](site.placed_routes())
    for place, rules in routing.rules(site):
        key = _lost_key(place, routes.get(place, site))
        if key and not rules:
            advice = f"no rule of an {routing.kind} does the same: let an app answer"
            refused.append(RefusedKey(name, key, advice))
        yield from rules


def _lost_key(place: tuple[str, *tuple[int, ...]], target: Route | Site | str) -> str:
    """Of what has no rule; empty where nobody answers, and for folders, which are refused."""
    if isinstance(target, str):
        return f'routes."{place[0]}"'
    if target.folder or not (target.app or target.upstream or target.redirect):
        return ""
    if isinstance(target, Route):
        return f'routes."{place[0]}"'
    return "redirect" if target.redirect else "upstream" if target.upstream else "app"


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _certificate(
    project: str,
    name: str,
    names: list[str],
    settings: IssuanceSettings,
    issuers: dict[str, Object],
    solver: Object,
) -> Iterator[Object]:
    directory = settings.issuers[0]
    known = {url: issuer for issuer, url in ISSUERS.items()}
    issuer = known.get(directory, "authority")
    server: Object = {"server": directory, "privateKeySecretRef": {"name": f"{issuer}-account"}}
    if settings.email:
        server["email"] = settings.email
    server["solvers"] = [{"http01": solver}]
    issuers[directory] = {
        **site_object("cert-manager.io/v1", "Issuer", issuer, project),
        "spec": {"acme": server},
    }
    yield {
        **site_object("cert-manager.io/v1", "Certificate", file_name(name), project),
        "spec": {
            "secretName": secret_name(name),
            "dnsNames": names,
            "issuerRef": {"kind": "Issuer", "name": issuer},
            "privateKey": {"rotationPolicy": "Always", **_key(settings)},
        },
    }


def _key(settings: IssuanceSettings) -> Mapping[str, object]:
    kind = settings.key_types[0]
    algorithm = "RSA" if is_rsa(kind) else "ECDSA"
    return {"algorithm": algorithm, "size": int(kind.removeprefix("ecdsa-p").removeprefix("rsa"))}


def _issuing_losses(name: str, settings: IssuanceSettings) -> Iterator[str]:
    if settings.challenge not in {None, "http-01"} or name.startswith("*."):
        yield f"{name}: only http-01 is exported; add a dns01 solver to the Issuer"
    if len(settings.issuers) > 1 or len(settings.key_types) > 1:
        yield f"{name}: only the first issuer and key_type are exported"


def _no_certificate(name: str, desired: Desired) -> str:
    if own := desired.own_certificate(name):
        return (
            f"{name}: its certificate is not included: `kubectl create secret tls "
            f"{secret_name(name)} --cert {own.certificate} --key {own.key}`"
        )
    return f"{name}: the local authority's certificate is not exported"

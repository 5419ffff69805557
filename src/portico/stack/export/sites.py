"""Objects of Kubernetes for the sites of a file: what lets requests in, and their certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Protocol

from portico.core.model.certificate import is_rsa
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.issuing import ISSUERS, IssuanceSettings
from portico.core.model.site import Maintenance, RequestSettings, Site
from portico.stack.export.gateway import Gateway
from portico.stack.export.ingress import Ingresses
from portico.stack.export.kubernetes import Object, file_name, secret_name, site_object

_ACCESS_KEYS: Final = frozenset(
    (
        "allow",
        "auth",
        "basic_auth",
        "client_certificates",
        "deny",
        "maintenance",
        "require_client_certificate",
    )
)
"""Without these, requests would be answered that are refused now."""
_KNOWN_KEYS: Final = frozenset(
    (
        "access_log",
        "aliases",
        "app",
        "certificate",
        "default",
        "folder",
        "https",
        "internal",
        "key",
        "match",
        "redirect",
        "redirect_http",
        "routes",
        "satisfy",
        "strip_prefix",
        "tls",
        "upstream",
    )
)


class RoutingKind(Protocol):
    """What lets requests in: an Ingress, or a Gateway."""

    @property
    def kind(self) -> str:
        """Of the object of one site."""

    @property
    def controller(self) -> str:
        """What does what no key of the object says."""

    @property
    def keys(self) -> frozenset[str]:
        """The keys of a site that have an equal, besides those that always have."""

    @property
    def solver(self) -> Object:
        """Of an Issuer: what answers for http-01."""

    def rules(self, site: Site) -> Iterator[tuple[str, list[Object]]]:
        """By route; none for a route without an equal. The site itself is last, as `""`."""

    def losses(self, name: str, site: Site) -> Iterator[str]: ...

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
    refused: list[str] = field(default_factory=list)
    """What must not be exported without."""


def site_objects(
    project: str, document: Document, desired: Desired, gateway_class: str = ""
) -> SiteObjects:
    """By a Gateway of a class, or else by Ingresses."""
    routing: RoutingKind = Ingresses(project, document)
    if gateway_class:
        routing = Gateway(project, gateway_class, document, desired)
    found = SiteObjects()
    issuers: dict[str, Object] = {}
    for name, site in document.sites.items():
        keys = _keys(site)
        found.refused += (f"{name}: {key}" for key in sorted(keys & _ACCESS_KEYS))
        if lost := sorted(keys - _ACCESS_KEYS - _KNOWN_KEYS - routing.keys):
            found.lost.append(f"{name}: {', '.join(lost)}: set this in {routing.controller}")
        rules = list(_rules(name, site, routing, found.lost))
        hosts = [each for each in (name, *site.aliases) if not _is_address(each)]
        if not rules or not hosts:
            why = "it is an address" if rules else "no app answers for it"
            found.lost.append(f"{name}: has no {routing.kind}, because {why}")
            continue
        found.lost += routing.losses(name, site)
        found.objects += routing.objects(name, site, hosts, rules)
        settings = desired.issuing(name)
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


def _rules(name: str, site: Site, routing: RoutingKind, lost: list[str]) -> Iterator[Object]:
    for key, rules in routing.rules(site):
        text = f'{name}: the route "{key}" has no equal in an {routing.kind}, and is left out'
        if key and not rules and text not in lost:
            lost.append(text)
        yield from rules
    if any(each.folder and (each.app or each.upstream) for each in site.handlings()):
        lost.append(f"{name}: the app gets requests for files of its folder, too")


def _keys(site: Site) -> set[str]:
    """What the site or one of its routes sets, unless to what is so anyway."""
    every = list(site.handlings())
    return {key for each in every for key in each.model_fields_set if _is_set(each, key)}


def _is_set(handling: RequestSettings, key: str) -> bool:
    value = getattr(handling, key)
    if isinstance(value, Maintenance):
        return value.on
    return value is not None and value is not False and value != ()


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
    if settings.eab or settings.ca_bundle:
        yield f"{name}: eab and ca_bundle must be added to the Issuer"


def _no_certificate(name: str, desired: Desired) -> str:
    if own := desired.own_certificate(name):
        return (
            f"{name}: its certificate is not included: `kubectl create secret tls "
            f"{secret_name(name)} --cert {own.certificate} --key {own.key}`"
        )
    return f"{name}: the local authority's certificate is not exported"

"""Objects of Kubernetes for the sites of a file: an Ingress each, and their certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from portico.core.model.certificate import is_rsa
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.issuing import ISSUERS, Issuing
from portico.core.model.site import Handling, Maintenance, Route, Site, Target
from portico.stack.export.kubernetes import SERVICE_PORT, Object, object_name

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


@dataclass(slots=True)
class SiteObjects:
    objects: list[Object] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What must not be exported without."""


def site_objects(project: str, document: Document, desired: Desired) -> SiteObjects:
    found = SiteObjects()
    issuers: dict[str, Object] = {}
    for name, site in document.sites.items():
        keys = _keys(site)
        found.refused += (f"{name}: {key}" for key in sorted(keys & _ACCESS_KEYS))
        if lost := sorted(keys - _ACCESS_KEYS - _KNOWN_KEYS):
            found.lost.append(f"{name}: {', '.join(lost)}: set this in the Ingress controller")
        paths = list(_paths(name, site, document, found.lost))
        hosts = [each for each in (name, *site.aliases) if not _is_address(each)]
        if not paths or not hosts:
            why = "it is an address" if paths else "no app answers for it"
            found.lost.append(f"{name}: has no Ingress, because {why}")
            continue
        found.objects.append(_ingress(project, name, site, hosts, paths))
        settings = desired.issuing(name)
        if site.https and settings is None:
            found.lost.append(_no_certificate(name, desired))
        elif settings is not None:
            found.lost += _issuing_losses(name, settings)
            found.objects += _certificate(project, name, hosts, settings, issuers)
    found.objects += issuers.values()
    return found


def _keys(site: Site) -> set[str]:
    """What the site or one of its routes sets, unless to what is so anyway."""
    every = list(site.handlings())
    return {key for each in every for key in each.model_fields_set if _is_set(each, key)}


def _is_set(handling: Handling, key: str) -> bool:
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


def _paths(name: str, site: Site, document: Document, lost: list[str]) -> Iterator[Object]:
    for (key, *index), route in site.placed_routes():
        kind, _, path = key.rpartition(" ")
        table = route if isinstance(route, Route) else None
        service = _service(table, document) if table else _named(str(route), document)
        is_plain = kind in {"", "=", "^~"} and not (table and (table.strip_prefix or table.match))
        if service and is_plain and not index:
            yield _path(path, "Exact" if kind == "=" else "Prefix", service)
        else:
            lost.append(f'{name}: the route "{key}" has no equal in an Ingress, and is left out')
    if service := _service(site, document):
        if site.folder:
            lost.append(f"{name}: the app gets requests for files of its folder, too")
        yield _path("/", "Prefix", service)


def _service(target: Target, document: Document) -> str | None:
    if target.redirect or (target.folder and not (target.app or target.upstream)):
        return None
    return _named(target.app or target.upstream or "", document)


def _named(name: str, document: Document) -> str | None:
    """The Service of an app, or of an upstream that is one app."""
    if name in document.apps:
        return object_name(name)
    upstream = document.upstreams.get(name)
    if upstream and len(upstream.apps) == 1 and not upstream.servers:
        return object_name(upstream.apps[0])
    return None


def _path(path: str, kind: str, service: str) -> Object:
    backend = {"service": {"name": service, "port": {"number": SERVICE_PORT}}}
    return {"path": path, "pathType": kind, "backend": backend}


def _ingress(project: str, name: str, site: Site, hosts: list[str], paths: list[Object]) -> Object:
    rules = [{"host": host, "http": {"paths": paths}} for host in hosts]
    spec: Object = {"rules": [*rules, *([{"http": {"paths": paths}}] if site.default else [])]}
    if site.https:
        spec["tls"] = [{"hosts": hosts, "secretName": _secret(name)}]
    return {**_head("networking.k8s.io/v1", "Ingress", _file_name(name), project), "spec": spec}


def _certificate(
    project: str,
    name: str,
    hosts: list[str],
    settings: Issuing,
    issuers: dict[str, Object],
) -> Iterator[Object]:
    directory = settings.issuers[0]
    known = {url: issuer for issuer, url in ISSUERS.items()}
    issuer = known.get(directory, "authority")
    if (names := [each for each in hosts if settings.asks_authority(each)]) == []:
        return
    server: Object = {"server": directory, "privateKeySecretRef": {"name": f"{issuer}-account"}}
    if settings.email:
        server["email"] = settings.email
    server["solvers"] = [{"http01": {"ingress": {}}}]
    issuers[directory] = {
        **_head("cert-manager.io/v1", "Issuer", issuer, project),
        "spec": {"acme": server},
    }
    yield {
        **_head("cert-manager.io/v1", "Certificate", _file_name(name), project),
        "spec": {
            "secretName": _secret(name),
            "dnsNames": names,
            "issuerRef": {"kind": "Issuer", "name": issuer},
            "privateKey": {"rotationPolicy": "Always", **_key(settings)},
        },
    }


def _key(settings: Issuing) -> Mapping[str, object]:
    kind = settings.key_types[0]
    algorithm = "RSA" if is_rsa(kind) else "ECDSA"
    return {"algorithm": algorithm, "size": int(kind.removeprefix("ecdsa-p").removeprefix("rsa"))}


def _issuing_losses(name: str, settings: Issuing) -> Iterator[str]:
    if settings.challenge not in {None, "http-01"} or name.startswith("*."):
        yield f"{name}: only http-01 is exported; add a dns01 solver to the Issuer"
    if len(settings.issuers) > 1 or len(settings.key_types) > 1:
        yield f"{name}: only the first issuer and key_type are exported"
    if settings.eab or settings.ca_bundle:
        yield f"{name}: eab and ca_bundle must be added to the Issuer"


def _no_certificate(name: str, desired: Desired) -> str:
    if own := desired.own_certificate(name):
        return (
            f"{name}: its certificate is not included: `kubectl create secret tls {_secret(name)} "
            f"--cert {own.certificate} --key {own.key}`"
        )
    return f"{name}: the local authority's certificate is not exported"


def _head(version: str, kind: str, name: str, project: str) -> Object:
    labels = {"app.kubernetes.io/part-of": project}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}}


def _secret(name: str) -> str:
    return f"{_file_name(name)}-tls"


def _file_name(name: str) -> str:
    """A DNS subdomain (RFC 1123)."""
    return name.replace("*", "wildcard")

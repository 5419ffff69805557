"""An Ingress of Kubernetes for each site of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from portico.core.model.document import Document
from portico.core.model.site import Route, Site, Target
from portico.stack.export.kubernetes import (
    SERVICE_PORT,
    Object,
    file_name,
    object_name,
    secret_name,
    site_object,
)
from portico.stack.export.kubernetes_keys import RefusedKey


class Ingresses:
    """Implements `RoutingKind`."""

    kind = "Ingress"
    keys = frozenset[str]()
    solver: Object = {"ingress": {}}  # noqa: RUF012 - nothing changes it

    def __init__(self, project: str, document: Document) -> None:
        self._project, self._document = project, document

    def rules(self, site: Site) -> Iterator[tuple[tuple[str, *tuple[int, ...]], list[Object]]]:
        for (key, *index), route in site.placed_routes():
            kind, _, path = key.rpartition(" ")
            table = route if isinstance(route, Route) else None
            service = self._service(table) if table else self._service_name(str(route))
            is_plain = kind in {"", "=", "^~"} and not (
                table and (table.strip_prefix or table.match)
            )
            has_equal = service and is_plain and not index
            is_exact = kind == "="
            yield (
                (key, *index),
                [_path(path, service, is_exact=is_exact)] if service and has_equal else [],
            )
        service = self._service(site)
        yield ("",), [_path("/", service, is_exact=False)] if service else []

    def losses(self, name: str, site: Site) -> Iterator[str]:
        if site.https and site.redirect_http:
            yield f"{name}: whether http redirects to https is decided by the Ingress controller"

    def refused_keys(self, name: str, site: Site) -> Iterator[RefusedKey]:
        del name, site
        return iter(())

    def objects(
        self, name: str, site: Site, hosts: Sequence[str], rules: Sequence[Object]
    ) -> Iterator[Object]:
        paths = {"http": {"paths": list(rules)}}
        of_names = [{"host": host, **paths} for host in hosts]
        spec: Object = {"rules": [*of_names, *([paths] if site.default else [])]}
        if site.https:
            spec["tls"] = [{"hosts": list(hosts), "secretName": secret_name(name)}]
        head = site_object("networking.k8s.io/v1", "Ingress", file_name(name), self._project)
        yield {**head, "spec": spec}

    def shared_objects(self) -> Iterator[Object]:
        return iter(())

    def shared_losses(self) -> Iterator[str]:
        return iter(())

    def _service(self, target: Target) -> str | None:
        if target.redirect or (target.folder and not (target.app or target.upstream)):
            return None
        return self._service_name(target.app or target.upstream or "")

    def _service_name(self, name: str) -> str | None:
        """The Service of an app, or of an upstream that is one app."""
        if name in self._document.apps:
            return object_name(name)
        upstream = self._document.upstreams.get(name)
        if upstream and len(upstream.apps) == 1 and not upstream.servers:
            return object_name(upstream.apps[0])
        return None


def _path(path: str, service: str, *, is_exact: bool) -> Object:
    backend = {"service": {"name": service, "port": {"number": SERVICE_PORT}}}
    return {"path": path, "pathType": "Exact" if is_exact else "Prefix", "backend": backend}

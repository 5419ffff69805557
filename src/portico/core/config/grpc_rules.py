"""Headers of calls of gRPC: nginx has their names in a hash table that no directive enlarges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from portico.core.config.findings import Finding, Path
from portico.core.model.site import Route, Site

MAX_NAME_LENGTH: Final = 46
"""Characters. A bucket has 64 bytes (`hash.bucket_size` in ngx_http_grpc_module.c): a pointer, and
for the only name in it another one and the name with two bytes more, in words of 8 bytes.
"""


def grpc_findings(path: Path, site: Site) -> Iterator[Finding]:
    """What a site sets is set on all of its routes, and what `auth` copies on the whole site."""
    places: dict[Path, Site | Route] = {path: site}
    for key, route in site.placed_routes():
        if isinstance(route, Route):
            places[*path, "routes", *key] = route
    calls = {at for at, each in places.items() if _is_grpc(each, site)}
    for at, each in places.items():
        if at in calls or (calls and at == path):
            for name in ("request_headers", "headers"):
                yield from _long_names((*at, name), getattr(each, name) or ())
        if calls and each.auth:
            yield from _long_names((*at, "auth", "request_headers"), each.auth.app_headers)


def _is_grpc(place: Site | Route, site: Site) -> bool:
    return bool(site.grpc if place.grpc is None else place.grpc)


def _long_names(path: Path, names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        if len(name) > MAX_NAME_LENGTH:
            what = f"has more than {MAX_NAME_LENGTH} characters, which nginx does not support "
            yield Finding((*path, name), what + "where grpc is true")

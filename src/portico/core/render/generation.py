"""A generation: the complete set of files that nginx serves from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.render.alpn import stream
from portico.core.render.basics import http_basics, main_block
from portico.core.render.claims import claim_maps
from portico.core.render.directive import Directive, to_text
from portico.core.render.headers import FROM_TRUSTED, hsts_maps
from portico.core.render.limits import htpasswd_files, limit_zones
from portico.core.render.listeners import Listening, shared_servers
from portico.core.render.pages import maintenance_maps
from portico.core.render.scope import Scope, scopes
from portico.core.render.site_server import includes, site_server
from portico.core.render.upstream_block import upstream_blocks
from portico.errors import Refused

MAIN = "nginx.conf"


def render_generation(desired: Desired, place: RenderContext) -> dict[str, str]:
    """Name to text; `nginx.conf` is the main file, and names are relative to its folder.

    Raises Refused for text that nginx cannot be given, and changes nothing.
    """
    sites = [
        tuple(scopes(name, site, desired.folder, place.secret))
        for name, site in desired.sites.items()
    ]
    blocks = (*main_block(desired, place, _http(sites, desired, place)), *stream(desired, place))
    files = {MAIN: to_text(blocks)}
    for places in sites:
        files.update(htpasswd_files(places))
    return files


def fingerprint(files: Mapping[str, str]) -> str:
    """Names a generation by its content: 16 hex digits."""
    content = sha256()
    for name, text in sorted(files.items()):
        for part in (name, text):
            data = part.encode()
            content.update(len(data).to_bytes(8, "big") + data)
    return content.hexdigest()[:16]


def _http(
    sites: list[tuple[Scope, ...]], desired: Desired, place: RenderContext
) -> Iterator[Directive]:
    listening = Listening.of(desired, place)
    yield from http_basics(desired, place)
    yield from includes(desired.folder, desired.edge.include)
    yield from hsts_maps(desired)
    yield from claim_maps(desired, FROM_TRUSTED)
    yield from maintenance_maps(desired)
    for places in sites:
        yield from limit_zones(places)
    yield from upstream_blocks(desired, place)
    yield from shared_servers(desired, listening, place)
    for places in sites:
        yield _site(places, desired, listening, place)


def _site(
    places: tuple[Scope, ...], desired: Desired, listening: Listening, place: RenderContext
) -> Directive:
    try:
        return site_server(places, desired, listening, place)
    except Refused as error:
        raise Refused(f'sites."{places[0].name}": {error}') from None

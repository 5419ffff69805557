"""A generation: the complete set of files that nginx serves from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import chain

from portico.core.model.desired import Desired
from portico.core.model.place import RenderContext
from portico.core.model.site import ENCODERS, Site
from portico.core.render.access_log import log_format
from portico.core.render.auth import auth_maps, with_auth_upstreams
from portico.core.render.basics import http_basics, main_block
from portico.core.render.cache import cache_maps, cache_zones
from portico.core.render.challenge import challenge_maps
from portico.core.render.choice import choice_maps, is_choice, route_groups
from portico.core.render.claims import claim_maps
from portico.core.render.client_certificates import authority_files, handshake_map
from portico.core.render.directive import Directive, to_text
from portico.core.render.headers import hsts_maps
from portico.core.render.holding import hold_maps
from portico.core.render.identity import identity_names
from portico.core.render.limits import htpasswd_files, limit_zones, refusal_maps
from portico.core.render.listeners import Sockets, shared_servers
from portico.core.render.machine_server import crossing_maps, machine_servers
from portico.core.render.machines import streamed_upstreams
from portico.core.render.mime import encoder_basics
from portico.core.render.mirror import share_maps
from portico.core.render.pages import maintenance_maps
from portico.core.render.passing import rest_maps
from portico.core.render.quic import quic_basics, quic_files
from portico.core.render.redirect import redirect_maps
from portico.core.render.relay import relay_servers
from portico.core.render.route_locations import stripped_prefixes
from portico.core.render.scope import Scope, scopes
from portico.core.render.site_server import includes, site_servers
from portico.core.render.static import directory_maps, static_maps
from portico.core.render.streams import stream_block
from portico.core.render.upstream_block import upstream_blocks
from portico.core.render.waiting import wait_maps
from portico.errors import Refused

MAIN = "nginx.conf"


def render_generation(desired: Desired, context: RenderContext) -> dict[str, str]:
    """Name to text; `nginx.conf` is the main file, and names are relative to its folder.

    Raises Refused for text that nginx cannot be given, and changes nothing.
    """
    desired = with_auth_upstreams(desired)
    identity = identity_names(desired)
    sites = [
        _scopes(name, site, desired, context, identity[name])
        for name, site in desired.sites.items()
    ]
    blocks = (
        *main_block(desired, context, _http(sites, desired, context)),
        *stream_block(desired, context),
    )
    files = {MAIN: to_text(blocks)}
    files.update(quic_files(desired, context))
    for site_scopes in sites:
        files.update(htpasswd_files(site_scopes))
        files.update(authority_files(site_scopes[0], context))
    return files


def _scopes(
    name: str, site: Site, desired: Desired, context: RenderContext, identity: tuple[str, ...]
) -> tuple[Scope, ...]:
    whole = Scope(
        name,
        site,
        desired.origin(name).folder,
        secret=context.secret,
        identity=identity,
        encoders=context.build.can.intersection(ENCODERS),
        http3=desired.listeners.http3,
    )
    return tuple(scopes(whole))


def fingerprint(files: Mapping[str, str]) -> str:
    """Names a generation by its content: 16 hex digits."""
    content = sha256()
    for name, text in sorted(files.items()):
        for part in (name, text):
            data = part.encode()
            content.update(len(data).to_bytes(8, "big") + data)
    return content.hexdigest()[:16]


def _http(
    sites: list[tuple[Scope, ...]], desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    sockets = Sockets.of(desired, context)
    yield from http_basics(desired, context)
    yield from log_format(desired)
    yield from encoder_basics(chain.from_iterable(sites))
    yield from quic_basics(desired)
    yield from includes("/", desired.edge.include)
    yield from hsts_maps(desired)
    yield from claim_maps(desired, sockets.https_origin)
    yield from challenge_maps(desired, context)
    yield from maintenance_maps(desired)
    yield from static_maps(chain.from_iterable(sites))
    if any(is_choice(group) for scopes in sites for group in route_groups(scopes)):
        yield from directory_maps()
        yield from choice_maps(sites)
    yield from refusal_maps(chain.from_iterable(sites))
    yield from redirect_maps(list(chain.from_iterable(sites)))
    yield from auth_maps(desired)
    yield from cache_maps(chain.from_iterable(sites))
    yield from handshake_map(desired)
    yield from share_maps(chain.from_iterable(sites))
    yield from wait_maps(chain.from_iterable(sites), is_held=bool(desired.holds))
    if desired.holds:
        yield from hold_maps()
    yield from rest_maps(chain.from_iterable(map(stripped_prefixes, sites)))
    for site_scopes in sites:
        yield from limit_zones(site_scopes)
        yield from cache_zones(site_scopes, desired, context)
    streamed = streamed_upstreams(chain.from_iterable(sites), desired)
    yield from upstream_blocks(desired, context, streamed)
    yield from crossing_maps(desired, context)
    yield from machine_servers(desired, context)
    yield from relay_servers(streamed, desired, context)
    if desired.sites or not (desired.streams or desired.serials):
        yield from shared_servers(desired, sockets, context)
    for site_scopes in sites:
        yield from _site(site_scopes, desired, sockets, context)


def _site(
    site_scopes: tuple[Scope, ...],
    desired: Desired,
    sockets: Sockets,
    context: RenderContext,
) -> Iterator[Directive]:
    try:
        yield from site_servers(site_scopes, desired, sockets, context)
    except Refused as error:
        raise Refused(f'sites."{site_scopes[0].name}": {error}') from None

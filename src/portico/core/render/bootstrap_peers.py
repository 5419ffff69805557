"""Peers for an nginx to begin with that takes the place of another.

nginx takes connections before discovery has answered its first question, and until then it knows
no instance: it answers 502, to a POST too (measured on nginx 1.31 under load: a few requests, at
every replacement of its program, and for up to a second after all of its processes had died).
Every upstream of apps therefore includes a file for each app, which is there only until nginx has
asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from portico.core.model.desired import Desired
from portico.core.model.names import far_label, label_of, streams_label, url_host
from portico.core.model.place import RenderContext
from portico.core.model.upstream import Upstream
from portico.core.model.world import Endpoint, FarEndpoint
from portico.core.render.directive import Directive, directive, to_text

FOLDER = "seeds"
"""In HOME/nginx."""


def bootstrap_includes(
    name: str, upstream: Upstream, desired: Desired, context: RenderContext
) -> Iterator[Directive]:
    """A pattern may match no file, where the name of a file that is not there is an error."""
    is_shared = len(upstream.apps) + len(upstream.servers) > 1
    known = [
        each
        for each in upstream.apps
        if not (is_shared and (desired.apps[each].app.backup or desired.apps[each].app.down))
    ]
    for each in (*known, *((name,) if upstream.check else ())):
        yield directive("include", f"{context.home}/nginx/{FOLDER}/{label_of(each)}.*")


def far_include(app: str, context: RenderContext) -> Directive:
    """The same for the other machines of the cluster that the app is on."""
    return directive("include", f"{context.home}/nginx/{FOLDER}/{far_label(app)}.*")


def streams_include(app: str, context: RenderContext) -> Directive:
    """The same for those that take streams by a key: other machines, and this one."""
    return directive("include", f"{context.home}/nginx/{FOLDER}/{streams_label(app)}.*")


def bootstrap_files(
    endpoints: Mapping[str, tuple[Endpoint, ...]],
    far: Mapping[str, tuple[FarEndpoint, ...]] = {},
) -> dict[str, str]:
    """Name to text of what the includes find: the peers of each app that are no backup."""
    texts = {
        **{f"{label_of(app)}.conf": to_text(_servers(peers)) for app, peers in endpoints.items()},
        **{f"{far_label(app)}.conf": to_text(_far_servers(peers)) for app, peers in far.items()},
        **{
            f"{streams_label(app)}.conf": to_text(map(_server, peers))
            for app, peers in far.items()
            if any(peer.is_own for peer in peers)
        },
    }
    return {name: text for name, text in texts.items() if text}


def _servers(peers: tuple[Endpoint, ...]) -> Iterator[Directive]:
    for peer in peers:
        if not peer.backup:
            yield _server(peer)


def _far_servers(peers: tuple[FarEndpoint, ...]) -> Iterator[Directive]:
    return (_server(peer) for peer in peers if not peer.is_own)


def _server(peer: Endpoint | FarEndpoint) -> Directive:
    return directive("server", f"{url_host(peer.address)}:{peer.port}", f"weight={peer.weight}")

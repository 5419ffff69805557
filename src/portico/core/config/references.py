"""Names in a file that stand for an app or an upstream elsewhere in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from portico.core.config.findings import Draft, Finding, Path, did_you_mean, nearest
from portico.core.model.document import Document
from portico.core.model.site import Site, Target
from portico.core.model.stream import Stream
from portico.core.model.upstream import Upstream


def app_named(draft: Draft, path: Path, name: str) -> Iterator[Finding]:
    """`path` is the key that names an app to pass requests to."""
    app = draft.document.apps.get(name)
    if app is None:
        if name in draft.document.upstreams:
            yield Finding(path, f'there is no app "{name}"', f'write upstream = "{name}"')
        elif not draft.may_be_set(("apps",), name):
            right = nearest(name, draft.document.apps)
            yield Finding(path, f'there is no app "{name}"', did_you_mean(right))
    elif not app.listens:
        yield Finding(path, f'app "{name}" has no port: its port is false')


def upstream_named(draft: Draft, path: Path, name: str) -> Iterator[Finding]:
    document = draft.document
    if name in document.upstreams or draft.may_be_set(("upstreams",), name):
        return
    if name in document.apps:
        yield Finding(path, f'there is no upstream "{name}"', f'write app = "{name}"')
    else:
        right = nearest(name, document.upstreams)
        yield Finding(path, f'there is no upstream "{name}"', did_you_mean(right))


def target_named(draft: Draft, path: Path, name: str) -> Iterator[Finding]:
    """A route may have the name of an app or an upstream instead of a table."""
    document = draft.document
    if name in document.apps:
        yield from app_named(draft, path, name)
    elif name.startswith(("/", ".", "http:", "https:")):
        yield Finding(
            path,
            f'there is no app or upstream "{name}"',
            'write { folder = "..." } or { redirect = "..." }',
        )
    elif name not in document.upstreams and not (
        draft.may_be_set(("apps",), name) or draft.may_be_set(("upstreams",), name)
    ):
        right = nearest(name, [*document.apps, *document.upstreams])
        yield Finding(path, f'there is no app or upstream "{name}"', did_you_mean(right))


def names_reached(document: Document) -> set[str]:
    """`names_served` of a whole file."""
    entrances: list[Site | Stream] = [*document.sites.values(), *document.streams.values()]
    return names_served(entrances, document.upstreams)


def waits(document: Document) -> dict[str, float]:
    """By app: `DesiredApp.wait`."""
    found: dict[str, float] = {}
    for name, wait in _waits(document):
        upstream = document.upstreams.get(name)
        for app in upstream.apps if upstream else (name,):
            found[app] = min(wait, found.get(app, wait))
    return found


def _waits(document: Document) -> Iterator[tuple[str, float]]:
    """For each place that sends requests, or connections, to an app or upstream."""
    for stream in document.streams.values():
        yield from ((name, 0.0) for name in stream.targets)
    for site in document.sites.values():
        for place in (site, *(route for _, route in site.placed_routes())):
            own = site if isinstance(place, str) else place
            held = own.held or site.held
            is_grpc = site.grpc if own.grpc is None else own.grpc
            wait = held.timeout if held and not is_grpc else 0.0
            yield from ((name, wait) for name in _target_names(place) or _target_names(site))
            if own.auth:
                yield from ((name, 0.0) for name in (own.auth.app, own.auth.upstream) if name)


def _target_names(place: Target | str) -> list[str]:
    if isinstance(place, str):
        return [place]
    return [name for name in (place.app, place.upstream) if name]


def names_served(sites: Iterable[Site | Stream], upstreams: Mapping[str, Upstream]) -> set[str]:
    """The apps and upstreams that requests reach, through a site or one of its routes, or that
    decide about them or get a copy, or that connections reach through a stream.
    """
    served: set[str] = set()
    for site in sites:
        routes = site.placed_routes() if isinstance(site, Site) else ()
        more = site.targets if isinstance(site, Stream) else (route for _, route in routes)
        for target in (site, *more):
            if isinstance(target, str):
                served.add(target)
                continue
            served.update(name for name in (target.app, target.upstream) if name)
            if not isinstance(target, Stream):
                others = [other for other in (target.auth, target.mirror) if other]
                served.update(n for other in others for n in (other.app, other.upstream) if n)
    for name in served & upstreams.keys():
        served.update(upstreams[name].apps)
    return served

"""The files of several projects as one: their names, what is the machine's, and what two of them
cannot both have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from portico.core.config.desired import absolute_edge, listeners, stream_addresses
from portico.core.config.edge_rules import (
    Machine,
    Span,
    app_spans,
    edge_spans,
    stream_spans,
)
from portico.core.config.findings import path_text
from portico.core.model.auth import Auth
from portico.core.model.cluster import Machine as ClusterMachine
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.core.model.edge import Edge
from portico.core.model.mirror import Mirror
from portico.core.model.names import PROJECT, qualified_name
from portico.core.model.site import Route, Site
from portico.core.model.stream import Stream
from portico.errors import Problem

_HINT = "set it in one of them, or in edge.toml of PORTICO_HOME"


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A file that has been read: a project's, or that of the machine's own settings."""

    source: str
    folder: str
    document: Document
    """With the names that are written in it."""


def qualified_document(document: Document, project: str) -> Document:
    """The same with names of apps and upstreams that no other project has."""
    if project == PROJECT:
        return document

    apps = {qualified_name(project, name): app for name, app in document.apps.items()}
    upstreams = {
        qualified_name(project, name): each.model_copy(
            update={"apps": tuple(qualified_name(project, app) for app in each.apps)}
        )
        for name, each in document.upstreams.items()
    }
    sites = {name: _qualified_site(site, project) for name, site in document.sites.items()}
    streams = {key: _qualified_stream(stream, project) for key, stream in document.streams.items()}
    return document.model_copy(
        update={"apps": apps, "upstreams": upstreams, "sites": sites, "streams": streams}
    )


def merge(
    parts: Sequence[Desired],
    edge: Edge,
    machine: Machine,
    machines: Mapping[str, ClusterMachine] = {},
) -> Desired:
    """All of them at once, behind one nginx; `edge` as `merged_edge` returns it."""
    sites = {name: site for part in parts for name, site in part.sites.items()}
    return Desired(
        apps={name: app for part in parts for name, app in part.apps.items()},
        upstreams={name: each for part in parts for name, each in part.upstreams.items()},
        sites=sites,
        origins={name: origin for part in parts for name, origin in part.origins.items()},
        streams={
            key: replace(stream, addresses=stream_addresses(key, edge))
            for part in parts
            for key, stream in part.streams.items()
        },
        notify={name: each for part in parts for name, each in part.notify.items()},
        edge=edge,
        listeners=listeners(edge, sites, machine),
        machines=machines,
    )


def merged_edge(files: Iterable[ProjectFile]) -> Edge:
    """What any of them sets, with absolute paths; of two that differ the first one."""
    values: dict[str, object] = {}
    for file in files:
        values = {**_edge_values(file), **values}
    return Edge().model_copy(update=values)


def merged_machines(files: Iterable[ProjectFile]) -> Mapping[str, ClusterMachine]:
    """Those of the first file that has any."""
    return next((file.document.machines for file in files if file.document.machines), {})


def conflicts(files: Sequence[ProjectFile], edge: Edge, machine: Machine) -> Iterator[Problem]:
    """What two of them cannot both have; each problem names both files."""
    for one, other in combinations(files, 2):
        yield from _edge_conflicts(one, other)
        yield from _machine_conflicts(one, other)
        yield from _site_conflicts(one, other)
        yield from _port_conflicts(one, _spans(one.document, machine), other, machine, _spans)
    for file in files:
        sets_ports = bool(file.document.edge.model_fields_set & {"http", "https"})
        for other in files if sets_ports or file.document.sites else ():
            if other is not file:
                taken = _spans if sets_ports else _stream_spans
                yield from _port_conflicts(file, edge_spans(edge, machine), other, machine, taken)


def _qualified_site(site: Site, project: str) -> Site:
    routes = {path: _qualified_route(route, project) for path, route in site.routes.items()}
    return site.model_copy(update={**_targets(site, project), "routes": routes})


def _qualified_stream(stream: Stream, project: str) -> Stream:
    names = {name: qualified_name(project, to) for name, to in stream.server_names.items()}
    return stream.model_copy(update={**_names(stream, project), "server_names": names})


def _qualified_route(
    route: Route | str | tuple[Route, ...], project: str
) -> Route | str | tuple[Route, ...]:
    if isinstance(route, str):
        return qualified_name(project, route)
    if isinstance(route, tuple):
        return tuple(each.model_copy(update=_targets(each, project)) for each in route)
    return route.model_copy(update=_targets(route, project))


def _targets(of: Site | Route, project: str) -> dict[str, object]:
    auth = of.auth and of.auth.model_copy(update=_names(of.auth, project))
    mirror = of.mirror and of.mirror.model_copy(update=_names(of.mirror, project))
    return {**_names(of, project), "auth": auth, "mirror": mirror}


def _names(of: Site | Route | Auth | Mirror | Stream, project: str) -> dict[str, str]:
    named = {"app": of.app, "upstream": of.upstream}
    return {key: qualified_name(project, name) for key, name in named.items() if name}


def _edge_values(file: ProjectFile) -> dict[str, object]:
    edge = file.document.edge
    here = absolute_edge(edge, file.folder)
    return {key: getattr(here, key) for key in edge.model_fields_set}


def _edge_conflicts(one: ProjectFile, other: ProjectFile) -> Iterator[Problem]:
    first, second = _edge_values(one), _edge_values(other)
    for key in sorted(first.keys() & second.keys()):
        if first[key] != second[key]:
            what = (
                f"is {_value_text(first[key])} in {one.source}, and {_value_text(second[key])} in "
            )
            yield Problem(f"edge.{key}", what + other.source, _HINT)


def _machine_conflicts(one: ProjectFile, other: ProjectFile) -> Iterator[Problem]:
    first, second = one.document.machines, other.document.machines
    if first and second and first != second:
        what = f"differ in {one.source} and {other.source}"
        yield Problem("machines", what, _HINT)


def _value_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _site_conflicts(one: ProjectFile, other: ProjectFile) -> Iterator[Problem]:
    first, second = _domains(one.document), _domains(other.document)
    for name in first.keys() & second.keys():
        both = f'"{name}" is in {one.source} and in {other.source}'
        yield Problem(path_text(("sites", first[name])), both, "one project can have a domain")
    defaults = [
        name for file in (one, other) for name, site in file.document.sites.items() if site.default
    ]
    if len(defaults) > 1:
        where = path_text(("sites", defaults[0], "default"))
        what = f"is true in {one.source} and in {other.source}"
        yield Problem(where, what, "only one site can answer other names")


def _domains(document: Document) -> dict[str, str]:
    """Each with the site that it is of."""
    return {
        name: first for first, site in document.sites.items() for name in (first, *site.aliases)
    }


def _port_conflicts(
    one: ProjectFile,
    spans: Iterable[Span],
    other: ProjectFile,
    machine: Machine,
    taken: Callable[[Document, Machine], Iterator[Span]],
) -> Iterator[Problem]:
    there_spans = list(taken(other.document, machine))
    for span in spans:
        for there in there_spans:
            if (port := span.common_port(there)) is not None:
                what = f"has port {port} in {one.source}, as {path_text(there.path)} in "
                yield Problem(path_text(span.path), what + other.source)


def _spans(document: Document, machine: Machine) -> Iterator[Span]:
    yield from app_spans(document, machine)
    yield from stream_spans(document)


def _stream_spans(document: Document, _: Machine) -> Iterator[Span]:
    return stream_spans(document)

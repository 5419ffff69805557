"""From a sound document to what is wanted: counts, ports, versions and upstreams resolved."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from portico.core.config.edge_rules import Machine, edge_ports
from portico.core.config.peers import scaled_apps
from portico.core.config.references import names_reached, waits
from portico.core.model.app import App
from portico.core.model.desired import (
    WEIGHT_SCALE,
    Desired,
    DesiredApp,
    DesiredStream,
    Listeners,
    Origin,
    Spec,
    absolute,
    paths,
)
from portico.core.model.document import Document
from portico.core.model.edge import Edge
from portico.core.model.names import PROJECT, is_local_name, qualified_name
from portico.core.model.notification import NotifyTarget
from portico.core.model.shell import inherited_variables
from portico.core.model.site import Maintenance, Site
from portico.core.model.stream import Stream, parse_listen
from portico.core.model.upstream import Upstream

PROCESS_KEYS: Final = frozenset(
    {
        "command",
        "script",
        "args",
        "interpreter",
        "interpreter_args",
        "cwd",
        "env",
        "env_file",
        "stdin",
        "inherit_env",
        "user",
        "group",
        "port",
        "port_env",
        "port_fallback",
        "instance_env",
        "schedule",
        "wait_ready",
    }
)
"""The keys of an app that its processes are started with, with some of `logs`."""
_LOOPBACK: Final = ("127.0.0.1", "[::1]")


def desired_from(  # noqa: PLR0913 - each is one fact that the file does not say
    document: Document,
    *,
    folder: str,
    environ: Mapping[str, str],
    cores: int,
    root: bool,
    asked: Mapping[str, int] = {},
    paused: frozenset[str] = frozenset(),
    project: str = PROJECT,
) -> Desired:
    """`folder` is the file's, absolute; `asked` has how often a reload or restart of an app was
    asked for; `environ` is that of the operator's shell; `paused` names the sites that
    `portico pause` has closed; `project` is the key whose names the document has.
    """
    machine = Machine(root=root, cores=cores)
    scaled = scaled_apps(document)
    reached, waited = names_reached(document), waits(document)
    awaited = {qualified_name(project, n) for app in document.apps.values() for n in app.after}
    apps = {
        name: DesiredApp(
            name,
            app.total or (cores if app.instances == "max" else app.instances),
            spec_of(name, app, folder=folder, environ=environ, asked=asked.get(name, 0)),
            reached=name in reached,
            wait=waited.get(name, 0.0),
            must_end=name in awaited and app.runs_once,
            scale=WEIGHT_SCALE if name in scaled else 1,
        )
        for name, app in document.apps.items()
    }
    own = {name: _own_upstream(name, app) for name, app in document.apps.items() if app.listens}
    edge = absolute_edge(document.edge, folder)
    return Desired(
        apps=apps,
        upstreams={**own, **document.upstreams},
        sites={
            n: _with_maintenance(site, paused=n in paused) for n, site in document.sites.items()
        },
        origins=dict.fromkeys(document.sites, Origin(project, folder, document.tls)),
        streams={
            key: _stream(key, stream, edge, project, folder)
            for key, stream in document.streams.items()
        },
        notify=notify_targets(document, folder, project),
        edge=edge,
        listeners=listeners(edge, document.sites, machine),
        machines=document.machines,
    )


def notify_targets(document: Document, folder: str, project: str) -> dict[str, NotifyTarget]:
    """By qualified name, with absolute paths."""
    found: dict[str, NotifyTarget] = {}
    for name, table in document.notify.items():
        secret = absolute(table.secret_file, folder) if table.secret_file else None
        here = table.model_copy(update={"secret_file": secret})
        found[qualified_name(project, name)] = NotifyTarget(name, project, here)
    return found


def absolute_edge(edge: Edge, folder: str) -> Edge:
    """With its paths as they are seen from the file's folder."""
    include = paths(edge.include, folder)
    nginx = absolute(edge.nginx, folder) if edge.nginx else None
    return edge.model_copy(update={"include": include, "nginx": nginx})


def listeners(edge: Edge, sites: Mapping[str, Site], machine: Machine) -> Listeners:
    ports = edge_ports(edge, machine)
    addresses = _addresses(edge, sites)
    return Listeners(*ports, addresses, edge.public_http, edge.public_https, edge.http3)


def _with_maintenance(site: Site, *, paused: bool) -> Site:
    """The site with its maintenance switched as the file, and the operator's hand, have it."""
    kept = isinstance(site.maintenance, Maintenance) and not site.maintenance.on
    if paused and not site.maintenance:
        return site.model_copy(update={"maintenance": True})
    if kept and not paused:
        return site.model_copy(update={"maintenance": False})
    return site


def spec_of(
    name: str, app: App, *, folder: str, environ: Mapping[str, str], asked: int = 0
) -> Spec:
    """The version of an app's program, with an id that is the same for the same program.

    Defaults are left out: a version of Portico with more keys changes no program's id.
    """
    process = app.model_dump(mode="json", include=set(PROCESS_KEYS), exclude_defaults=True)
    outputs = [app.logs.stdout, app.logs.stderr]
    outputs += [app.logs.timestamp] if app.logs.timestamp else []
    text = json.dumps([name, folder, process, outputs], sort_keys=True)
    shell = inherited_variables(environ, everything=app.inherit_env)
    return version_of(Spec(_digest(text, 12), name, app, folder, shell), asked=asked)


def version_of(program: Spec, *, asked: int, links: Mapping[str, str] = {}) -> Spec:
    """The version of a program that was asked for so often, where links led there (`Spec.links`).

    Both are in its id, after a `+` and an `@`: `3f0c2a9d1b7e@8d42f1+2`.
    """
    of_links = f"@{_digest(json.dumps(links, sort_keys=True), 6)}" if links else ""
    of_asked = f"+{asked}" if asked else ""
    return replace(
        program, id=f"{program_id(program)}{of_links}{of_asked}", asked=asked, links=links
    )


def program_id(version: Spec) -> str:
    """The same for all versions of one program."""
    return re.split("[@+]", version.id, maxsplit=1)[0]


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def version_in_file(version: Spec, file: Spec) -> Spec:
    """A version of an app as it is wanted where the file holds another one: its program is the
    version's, and all other settings are the file's.
    """
    if program_id(version) == program_id(file):
        return replace(version, app=file.app)
    program = {key: getattr(version.app, key) for key in PROCESS_KEYS}
    outputs = {key: getattr(version.app.logs, key) for key in ("stdout", "stderr", "timestamp")}
    logs = file.app.logs.model_copy(update=outputs)
    return replace(version, app=file.app.model_copy(update={**program, "logs": logs}))


def _own_upstream(name: str, app: App) -> Upstream:
    upstream = Upstream(balance=app.balance, sticky=app.sticky, keepalive=app.keepalive)
    return upstream.model_copy(update={"apps": (name,)})


def _addresses(edge: Edge, sites: Mapping[str, Site]) -> tuple[str, ...]:
    """A public name of a site is what asks for more than this machine."""
    if edge.bind is not None:
        return edge.bind
    names = (name for site in sites for name in (site, *sites[site].aliases))
    return _LOOPBACK if all(map(is_local_name, names)) else ("*", "[::]")


def stream_addresses(key: str, edge: Edge) -> tuple[str, ...]:
    """Those of its key, or of `bind`; a public name of a site opens no port but the site's."""
    own = parse_listen(key).address
    return (own,) if own else edge.bind or _LOOPBACK


def _stream(key: str, stream: Stream, edge: Edge, project: str, folder: str) -> DesiredStream:
    listen = parse_listen(key)
    return DesiredStream(
        stream, stream_addresses(key, edge), listen.port, listen.udp, project, folder
    )

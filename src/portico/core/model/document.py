"""A whole file of the operator: its tables by name."""

from __future__ import annotations

from pydantic import Field

from portico.core.model.app import App
from portico.core.model.cluster import Machine, MachineName
from portico.core.model.edge import Edge, Tls
from portico.core.model.name_types import AppName, Domain
from portico.core.model.notification import Notify
from portico.core.model.site import Site
from portico.core.model.stream import Stream, StreamKey
from portico.core.model.units import Table
from portico.core.model.upstream import Upstream


class Document(Table):
    """What `portico up` puts in force: apps, sites in front of them, and nginx itself."""

    project: AppName | None = Field(
        None,
        description="Name of the project; default: the name of the file's folder. A file with "
        "another name is added to those in force.",
    )
    apps: dict[AppName, App] = Field(default_factory=dict, description="What runs, by name.")
    upstreams: dict[AppName, Upstream] = Field(
        default_factory=dict, description="Groups of other servers or of several apps, by name."
    )
    sites: dict[Domain, Site] = Field(
        default_factory=dict, description="Where requests go, by the first domain name of a site."
    )
    streams: dict[StreamKey, Stream] = Field(
        default_factory=dict, description="Ports of TCP and UDP, and where their connections go."
    )
    notify: dict[AppName, Notify] = Field(
        default_factory=dict, description="Where events are sent, by a name of your choice."
    )
    tls: Tls = Field(Tls(), description="The certificate of sites without their own.")
    edge: Edge = Field(Edge(), description="nginx and its listeners.")
    machines: dict[MachineName, Machine] = Field(
        default_factory=dict, description="The machines that serve this together, by name."
    )
    ecosystem: str | None = Field(
        None,
        description="A PM2 file whose apps are added to these; settings here take precedence.",
    )

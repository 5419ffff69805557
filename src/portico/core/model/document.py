"""A whole file of the operator: its tables by name."""

from __future__ import annotations

from pydantic import Field

from portico.core.model.app import App
from portico.core.model.edge import Edge, Tls
from portico.core.model.names import AppName, Domain
from portico.core.model.site import Site
from portico.core.model.units import Table
from portico.core.model.upstream import Upstream


class Document(Table):
    """What `portico up` puts in force: apps, sites in front of them, and nginx itself."""

    apps: dict[AppName, App] = Field(default_factory=dict, description="What runs, by name.")
    upstreams: dict[AppName, Upstream] = Field(
        default_factory=dict, description="Servers elsewhere, or several apps together, by name."
    )
    sites: dict[Domain, Site] = Field(
        default_factory=dict, description="Where requests go, by the first domain name of a site."
    )
    tls: Tls = Field(Tls(), description="The certificate of sites that have none of their own.")
    edge: Edge = Field(Edge(), description="nginx and its listeners.")
    ecosystem: str | None = Field(
        None,
        description="A file of PM2 whose apps join these; what is said here of one wins. "
        "Whoever reads the file joins them: here the apps are already in their place.",
    )

"""What the API shows and takes about the members of a cluster, as JSON."""

from __future__ import annotations

from pydantic import Field

from portico.core.model.cluster import CROSSING_PORT
from portico.core.model.views import View


class ClusterRequest(View):
    """The first machine of a cluster, with its files, which are not in place yet."""

    cluster: str = Field(description="A UUID.")
    name: str
    address: str
    port: int = CROSSING_PORT
    labels: tuple[str, ...] = ()
    folder: str = Field(description="Absolute folder that becomes `cluster` of PORTICO_HOME.")
    serial: str = Field(
        description="Of its certificate, whose files are in a folder of that name."
    )
    user: str = Field(
        "", description="Of the store, who may create users; empty where it has none."
    )
    password: str = ""
    another: bool = Field(False, description="Also where etcd has the data of another cluster.")


class TokenRequest(View):
    replaces: str = Field("", description="Name of the machine that may be replaced.")


class RemovalRequest(View):
    force: bool = Field(False, description="Also if the daemon of that machine runs.")


class MembershipView(View):
    cluster: str
    name: str


class TokenView(View):
    token: str
    address: str
    """Where a machine joins with it: `10.0.0.1:8445`."""
    until: float
    """Unix time, seconds."""

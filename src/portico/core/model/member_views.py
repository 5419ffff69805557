"""What the API shows and takes about the members of a cluster, as JSON."""

from __future__ import annotations

from typing import Literal

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


class EtcdMemberRequest(View):
    name: str = Field(description="Of a member of etcd that is new, or has to be renewed.")
    address: str
    request: str = Field(description="PKCS #10 (RFC 2986), PEM. Only its key counts.")


class EtcdMemberRemoval(View):
    address: str = Field("", description="Of a member that has not started, and has no name yet.")


class EtcdMemberView(View):
    """What `portico cluster etcd` has done about a member of the cluster's etcd."""

    cluster: str
    done: Literal["added", "promoted", "renewed", "removed"]
    endpoints: tuple[str, ...] = Field(description="Where the machines reach etcd now.")
    authority: str = Field("", description="PEM, as the one below; empty if none was issued.")
    certificate: str = ""
    peers: dict[str, str] = Field({}, description="URLs of its members for each other, by name.")

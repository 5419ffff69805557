"""What is shown of a cluster with a store, as JSON."""

from __future__ import annotations

from pydantic import Field

from portico.core.model.views import View


class MemberView(View):
    """A machine of the cluster, as the store has it."""

    name: str
    address: str
    port: int
    labels: tuple[str, ...] = ()
    state: str = Field(description="`in`, `drained`, `down`, or `leaving`.")
    present: bool = Field(description="Whether its daemon is connected to the store.")
    version: str = Field("", description="Of Portico there; empty while it is not present.")


class ClusterView(View):
    machine: str = Field(description="Name of this machine.")
    cluster: str = Field(description="UUID.")
    followed: bool
    trouble: str = Field("", description="Why the store is not followed, or empty.")
    revision: int = Field(description="Of the store, as far as this machine knows it.")
    store_schema: int = Field(0, description="The schema in use there; 0 if it is not known.")
    machines: tuple[MemberView, ...] = ()
    change: str = Field(
        "", description="The change of all machines that is under way, and how far each one is."
    )


class StoreRequest(View):
    act: bool = Field(False, description="Do it; default: only show what it would change.")


class StoreChangeView(View):
    lines: tuple[str, ...] = Field(description="The keys that differ, and how.")
    done: bool
    guarded: bool = Field(
        True, description="Whether etcd asks for the users that the cluster has there, if any."
    )


class MachineSchemaView(View):
    name: str
    version: str = Field(description="Of Portico there; empty while it is not present.")
    knows: int | None = Field(
        description="The newest schema of the store that it knows; null while it is not present."
    )


class SchemaView(View):
    """The schema of the store that all machines use."""

    before: int
    store_schema: int
    machines: tuple[MachineSchemaView, ...]
    problem: str = Field("", description="Why it is not a newer one that some know, or empty.")

"""Raises the schema of the cluster's store to the newest one that all machines know."""

from __future__ import annotations

from msgspec.structs import replace

from portico.core.model.cluster_views import MachineSchemaView, SchemaView
from portico.core.model.event import Requester
from portico.core.model.shared import (
    CLUSTER_KEY,
    MACHINES,
    PRESENCES,
    ClusterRecord,
    Presence,
    encode,
    present_key,
)
from portico.core.model.snapshot import Compare, Put
from portico.core.planning.schema_gate import next_schema
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.events import Events
from portico.errors import Refused


class SchemaUpgrade:
    def __init__(self, shared: ClusterStore, events: Events) -> None:
        self._shared, self._follower, self._events = shared, shared.follower, events

    async def upgrade(self, who: Requester) -> SchemaView:
        """Raises StoreUnavailable, and Refused where a machine has changed meanwhile."""
        self._follower.assert_current()
        present = self._follower.values(Presence, PRESENCES)
        names = sorted(self._follower.items_of(MACHINES))
        machines = tuple(_row(name, present.get(name)) for name in names)
        least = self._follower.schema
        schema, problem = next_schema(least, {each.name: each.knows for each in machines})
        if schema > least:
            await self._raise(schema, names)
            self._events.note_request("upgrade", f"schema {schema} of the cluster's store", who)
        return SchemaView(before=least, store_schema=schema, machines=machines, problem=problem)

    async def _raise(self, schema: int, names: list[str]) -> None:
        """Only while the same programs run on all machines."""
        keys = [CLUSTER_KEY, *map(present_key, names)]
        record = self._follower.value(ClusterRecord, CLUSTER_KEY)
        items = {key: self._follower.item(key) for key in keys}
        compares = [Compare(key, item.revision) for key, item in items.items() if item]
        assert record is not None  # noqa: S101 - a store without it is not followed
        writes = [Put(CLUSTER_KEY, encode(replace(record, least=schema)))]
        if await self._shared.transaction(compares, writes) is None:
            raise Refused(
                "a machine was changed at the same moment; nothing was changed. Try again"
            )


def _row(name: str, presence: Presence | None) -> MachineSchemaView:
    return MachineSchemaView(
        name=name,
        version=presence.version if presence else "",
        knows=presence.schema if presence else None,
    )

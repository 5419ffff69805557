"""What does not work now, each trouble in one sentence: the end of `portico status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from portico.core.model.instance import Instance, InstanceState
from portico.core.model.names import split_name
from portico.core.model.views import NeighbourView
from portico.core.model.world import World
from portico.core.planning.order import AppWait
from portico.core.planning.runs import ended_badly
from portico.engine.engine import Engine
from portico.engine.instances.ownership import Ownership
from portico.engine.server_checks import ServerChecks

S = InstanceState
_TROUBLE_STATES: Final = frozenset({S.FAILED, S.BACKOFF, S.UNREADY, S.RESTARTING})
_EARLIER_FAILURE: Final = "it failed its health check before the daemon was started"


class Machines(Protocol):
    """The other machines of the cluster."""

    machine: str
    """Name of this one."""
    has_store: bool

    def views(self) -> tuple[NeighbourView, ...]: ...


class StatusTroubles:
    def __init__(
        self,
        engine: Engine,
        ownership: Ownership,
        server_checks: ServerChecks,
        machines: Machines | None = None,
    ) -> None:
        self._machines = machines
        self._intent, self._observed = engine.intent, engine.observed
        self._troubles, self._ownership = engine.troubles, ownership
        self._server_checks = server_checks

    def sentences(self, held: Mapping[str, AppWait], world: World) -> Iterator[str]:
        for name, why in self._intent.revert_reasons.items():
            run = self._intent.desired.apps[name].must_end
            yield f"{name} {'failed' if run else 'is running its previous version'}: {why}"
        if world.nginx.outdated:
            yield "the nginx program changed on disk; run `portico upgrade` to switch to it"
        for i in world.instances.values():
            if i.state is S.READY and not i.taken:
                continue
            retried = i.state is S.STARTING and i.last_failure
            if i.state in _TROUBLE_STATES or retried or i.taken or self._ended_badly(i):
                yield f"{i.id} {i.trouble}"
        yield from (f"{name} {note}" for name, note in self._ownership.notes())
        yield from (f"{name} {wait.why}" for name, wait in held.items() if wait.is_blocked)
        if self._observed.unrecorded:
            yield self._observed.unrecorded
        if self._intent.writes.trouble:
            yield f"the latest changes could not be written to disk: {self._intent.writes.trouble}"
        yield from self._apps_without_healthy_instance()
        yield from self._failing_servers()
        yield from self._lost_machines()
        yield from self._troubles.sentences()

    def _lost_machines(self) -> Iterator[str]:
        for each in self._machines.views() if self._machines else ():
            if not each.used:
                yield f"machine {each.name} gets no requests from this one: {each.reason}"

    def _ended_badly(self, i: Instance) -> bool:
        return i.state is S.STOPPED and ended_badly(self._intent.app_of(i), i)

    def _failing_servers(self) -> Iterator[str]:
        for name, servers in self._server_checks.groups():
            upstream = f"upstream {split_name(name)[1]}"
            if servers and not any(each.is_well for each in servers):
                yield (
                    f"every server of {upstream} fails its health check; requests are still sent "
                    f"to them: {servers[0].reason or _EARLIER_FAILURE}"
                )
                continue
            for each in servers:
                if not each.is_well:
                    why = each.reason or _EARLIER_FAILURE
                    yield f"server {each.name} of {upstream} gets no requests: {why}"

    def _apps_without_healthy_instance(self) -> Iterator[str]:
        known = self._observed.instances
        for app, endpoints in self._observed.endpoints.items():
            if {i.state for e in endpoints if (i := known.get(e.instance))} == {S.UNREADY}:
                yield (
                    f"every instance of {app} fails its health check; requests are still sent "
                    "to them"
                )

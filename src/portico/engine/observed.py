"""Everything the daemon knows of the world: in memory, and on disk what must survive it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from portico.core.model.event import Event
from portico.core.model.instance import LEAVING_STATES, Instance, InstanceState
from portico.core.model.names import InstanceId
from portico.core.model.world import Endpoint, FarEndpoint, NginxSeen, World
from portico.core.planning.lifecycle import after_boot, move_event
from portico.engine.events import Events
from portico.errors import Failed
from portico.ports.clock import Clock
from portico.ports.nginx import Discovery, Nginx
from portico.ports.processes import TcpPorts
from portico.ports.state import State

log = logging.getLogger(__name__)

MAX_MOVES: Final = 10_000
"""Kept while the disk is full."""
RECORDS_AT_ONCE: Final = 100
"""Records of instances, and as many moves: a few milliseconds, in one transaction."""
SETTLE_TIME: Final = 1.0
"""Seconds after nginx acknowledged: requests it balanced just before have connected by then."""
COUNT_INTERVAL: Final = 0.2
"""Seconds; the loop looks again a little later while an instance is draining."""
BOOT_SETTING: Final = "boot"
"""Setting: the boot in which the times of instances were written."""
UNASKED_TIME: Final = 4.0
"""nginx asks every second; an app it has not asked about for this long is in no site."""


class ObservedWorld:
    """Only the reconcile loop and what it executes change this; everybody else reads."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        discovery: Discovery,
        nginx: Nginx,
        ports: TcpPorts,
        events: Events,
    ) -> None:
        self._state, self._clock, self._events = state, clock, events
        self._discovery, self._nginx, self._ports = discovery, nginx, ports
        self._started_at = self._all_workers_asked_at = clock.monotonic()
        if nginx.observe().pid is not None or nginx.observe().live:
            self._all_workers_asked_at += UNASKED_TIME
        self.instances: dict[InstanceId, Instance] = {i.id: i for i in state.instances()}
        self.endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self.far: dict[str, tuple[FarEndpoint, ...]] = {}
        self.servers: dict[str, tuple[Endpoint, ...]] = {}
        """By upstream, what discovery hands out of servers that are checked."""
        self.connections: Mapping[InstanceId, int] = {}
        self._counted_at = float("-inf")
        self.refused = ""
        """Fingerprint of the generation that nginx did not take over."""
        self.refused_because = ""
        self.unrecorded = ""
        """Why the newest of some instances is only in memory; empty while all is on disk."""
        self._changed: set[InstanceId] = set()
        """What is to be written by the next `record`."""
        self._moves: deque[Event] = deque(maxlen=MAX_MOVES)
        """Those of instances from state to state, which are written with them."""
        self.nginx_busy = False
        self._nginx_leaving: float | None = None
        self._withdrawn_since: dict[InstanceId, tuple[int, float]] = {}
        """The version of the answers from which on an instance is in none, and when that was."""
        self._acknowledged_at: dict[InstanceId, float] = {}
        """When nginx was first seen to have acknowledged that version."""
        self._versions: dict[str, int] = {}
        self._answered_since: dict[str, float] = {}
        """When this daemon began to answer for an app."""

    def begin(self, boot: str) -> None:
        """After a boot of the machine no process is left, and its clock began anew."""
        if self._state.setting(BOOT_SETTING) != boot:
            now = self._clock.monotonic()
            for i in list(self.instances.values()):
                self.put(after_boot(i, now=now))
            try:
                self._state.put_setting(BOOT_SETTING, boot)
            except Failed as error:  # the next daemon will think so too, and find what runs
                log.warning("%s", error)

    def add(self, starts: Iterable[tuple[str, Callable[[int], Instance]]]) -> list[Instance]:
        """New ones, each of its app and made from its number. All are on disk together, before
        the process of any of them is, which a next daemon must find. Raises Failed; then there
        are none.
        """
        with self._state.transaction(durable=False):
            new = [make(self._state.next_serial(app)) for app, make in starts]
            for instance in new:
                self._state.put_instance(instance)
        self.instances |= {instance.id: instance for instance in new}
        for instance in new:
            self._note_move(None, instance, ())
        return new

    def put(self, instance: Instance, output: Sequence[str] = ()) -> None:
        """What has become of one. It is written with all others, once a round. `output` is what
        it printed last, if it exited.
        """
        self._note_move(self.instances.get(instance.id), instance, output)
        self.instances[instance.id] = instance
        self._changed.add(instance.id)

    def _note_move(self, before: Instance | None, after: Instance, output: Sequence[str]) -> None:
        if found := move_event(before, after, output):
            self._moves.append(self._events.event(found[0], after.id, found[1]))

    async def record(self) -> None:
        """Write what has changed since the last time; others have their turn after each hundred.

        What fails now is tried again in every round: a full disk must not end what keeps sites
        alive, nor hold up what ends.
        """
        while self._changed or self._moves:
            names = set(islice(self._changed, RECORDS_AT_ONCE))
            moves = list(islice(self._moves, RECORDS_AT_ONCE))
            more = len(names) < len(self._changed) or len(moves) < len(self._moves)
            try:
                with self._state.transaction(durable=False, more=more):
                    self._write(names, moves)
            except Failed as error:
                if not self.unrecorded:
                    log.warning("%s", error)
                self.unrecorded = str(error)
                return
            self._changed -= names
            for _ in moves:
                self._moves.popleft()
            self.unrecorded = ""
            await asyncio.sleep(0)  # requests have their turn: with many, each part takes a while

    def _write(self, names: Iterable[InstanceId], moves: Iterable[Event]) -> None:
        for name in names:
            if instance := self.instances.get(name):
                self._state.put_instance(instance)
            else:
                self._state.drop_instance(name)
        for event in moves:
            self._events.record(event)

    def forget(self, instance: InstanceId) -> None:
        del self.instances[instance]
        self._changed.add(instance)
        self._withdrawn_since.pop(instance, None)
        self._acknowledged_at.pop(instance, None)

    def publish(self, app: str, endpoints: tuple[Endpoint, ...]) -> None:
        version = self._discovery.publish(app, endpoints)
        self.endpoints[app], self._versions[app] = endpoints, version
        self._answered_since.setdefault(app, self._clock.monotonic())
        handed_out = {endpoint.instance for endpoint in endpoints}
        for i in self.instances.values():
            if i.app == app and i.id not in handed_out:
                self._withdrawn_since.setdefault(i.id, (version, self._clock.monotonic()))
        for instance in handed_out:
            self._withdrawn_since.pop(instance, None)
            self._acknowledged_at.pop(instance, None)

    def publish_far(self, app: str, machines: tuple[FarEndpoint, ...]) -> None:
        self._discovery.publish_far(app, machines)
        self.far[app] = machines

    def publish_servers(self, upstream: str, endpoints: tuple[Endpoint, ...]) -> None:
        """Those of an upstream whose servers are checked; it is no app, so no plan has it."""
        self._discovery.publish(upstream, endpoints)
        self.servers[upstream] = endpoints

    def forget_servers(self, upstream: str) -> None:
        """They are answered as before: until nginx has the new configuration, it still asks."""
        self.servers.pop(upstream, None)

    def withdraw_instances(self, ended: Collection[InstanceId]) -> None:
        """Remove these from the answers at once; the plan of this round adds others if need be."""
        apps = {self.instances[name].app for name in ended if name in self.instances}
        for app in apps & self.endpoints.keys():
            staying = tuple(e for e in self.endpoints[app] if e.instance not in ended)
            if staying != self.endpoints[app]:
                self.publish(app, staying)

    def withdraw(self, app: str) -> None:
        self._discovery.withdraw(app)
        self.endpoints.pop(app, None)
        self.far.pop(app, None)
        self._versions.pop(app, None)
        self._answered_since.pop(app, None)

    def hold(self, sites: Collection[str]) -> None:
        self._discovery.hold(frozenset(sites))

    def clear_refusal(self) -> None:
        """Let nginx try a refused generation again: what was wrong may be mended."""
        self.refused = self.refused_because = ""

    def mark_nginx_leaving(self) -> None:
        """It was told to quit; until it has finished its requests, it is not told again."""
        if self._nginx_leaving is None:
            self._nginx_leaving = self._clock.monotonic()

    def mark_nginx_serving(self) -> None:
        """The generation that is wanted, whatever was before."""
        self.clear_refusal()
        self._nginx_leaving = None

    def not_acknowledged(self, apps: Iterable[str]) -> list[str]:
        """Those of them whose newest endpoints nginx has not acknowledged, and read, yet."""
        return [
            app
            for app in apps
            if self._discovery.acknowledged_version(app)[0] < self._versions.get(app, 0)
            or not self._discovery.has_read(app)
        ]

    async def look(self) -> World:
        """One snapshot, with the connections of draining instances counted."""
        await self.record()
        seen = self._nginx_seen()
        out = self._not_handed_out()
        settled = frozenset(
            i.id
            for i in self.instances.values()
            if (i.state is InstanceState.DRAINING or i.id in out) and self._is_settled(i, seen)
        )
        await self._count_connections(settled)
        return self._world(seen, settled)

    def now(self) -> World:
        """The same without waiting for anything, for showing."""
        return self._world(self._nginx_seen(), frozenset())

    def _nginx_seen(self) -> NginxSeen:
        seen = self._nginx.observe()
        if seen.pid is None:
            self._nginx_leaving = None
        return replace(
            seen,
            refused=self.refused,
            refused_because=self.refused_because,
            leaving=self._nginx_leaving,
            busy=self.nginx_busy,
        )

    def _world(self, seen: NginxSeen, settled: frozenset[InstanceId]) -> World:
        return World(
            self._clock.monotonic(),
            dict(self.instances),
            dict(self.endpoints),
            dict(self.far),
            settled,
            self.connections,
            seen,
        )

    def _is_settled(self, i: Instance, seen: NginxSeen) -> bool:
        """Whether no nginx worker will send it a new request, now that discovery is silent."""
        withdrawn, withdrawn_at = self._withdrawn_since.get(i.id, (None, i.since))
        if seen.pid is None and seen.busy:
            return False  # one that is being started may have read the answers before
        if seen.pid is None and not seen.live:
            return True
        now, since = self._clock.monotonic(), max(i.since, withdrawn_at)
        if now < self._all_workers_asked_at:
            return False  # a worker may still wait for the answer of the daemon before this one
        version, acknowledged_at = self._discovery.acknowledged_version(i.app)
        if version == 0:
            answered = self._answered_since.get(i.app, self._started_at)
            return now - max(since, answered) > UNASKED_TIME
        if withdrawn is not None and version >= withdrawn:
            acknowledged_at = min(acknowledged_at, self._acknowledged_at.setdefault(i.id, now))
            return now - acknowledged_at > SETTLE_TIME
        return now - max(since, acknowledged_at) > UNASKED_TIME

    def _not_handed_out(self) -> set[InstanceId]:
        """Those that fail their check and are handed out no more."""
        handed_out = {e.instance for endpoints in self.endpoints.values() for e in endpoints}
        return {
            i.id
            for i in self.instances.values()
            if i.state is InstanceState.UNREADY
            and i.app in self.endpoints
            and i.id not in handed_out
        }

    async def _count_connections(self, settled: frozenset[InstanceId]) -> None:
        """At most once in `COUNT_INTERVAL`, however many rounds there are meanwhile."""
        draining = [
            i for i in map(self.instances.__getitem__, settled) if i.state in LEAVING_STATES
        ]
        now = self._clock.monotonic()
        if not draining or now - self._counted_at < COUNT_INTERVAL:
            known = self.connections
            self.connections = {i.id: known[i.id] for i in draining if i.id in known}
            return
        self._counted_at = now
        counted = await self._ports.connection_counts(frozenset(i.port for i in draining))
        self.connections = {i.id: counted.get(i.port, 0) for i in draining}

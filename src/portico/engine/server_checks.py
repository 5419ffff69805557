"""Health checks of servers elsewhere: their addresses, probes, and what discovery hands out.

What an earlier daemon found failing is out until it passes; while no daemon runs, nginx keeps the
servers that it has.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from portico.core.model.check import ServerCheck, TlsToServer
from portico.core.model.desired import absolute
from portico.core.model.names import is_ip, split_name
from portico.core.model.upstream import Server, Upstream
from portico.core.planning.servers import (
    CheckedServer,
    host_and_port,
    server_after,
    server_endpoints,
    with_verdicts,
)
from portico.engine.engine import Engine
from portico.engine.tasks import Task
from portico.errors import Failed
from portico.ports.servers import Servers

log = logging.getLogger(__name__)

RESOLVE_INTERVAL: Final = 10.0
"""Seconds between two looks at the addresses of host names."""
FIRST_RESOLVE_TIMEOUT: Final = 1.0
"""Seconds that a change waits for them, so that nginx has peers from its beginning on."""
FAILING_SETTING: Final = "failing_servers"
"""The setting that holds the names of those that are out."""


@dataclass(eq=False, slots=True)
class Group:
    """The servers of one upstream."""

    upstream: Upstream
    check: ServerCheck
    scale: int
    servers: list[CheckedServer] = field(default_factory=list)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By host, as they were resolved last."""
    tasks: list[Task] = field(default_factory=list)


class ServerChecks:
    def __init__(self, engine: Engine, servers: Servers) -> None:
        self._engine, self._servers = engine, servers
        self._observed, self._tasks, self._clock = engine.observed, engine.tasks, engine.clock
        self._events = engine.events
        self._groups: dict[str, Group] = {}
        self._failing = frozenset(_failing(engine.state.setting(FAILING_SETTING) or "[]"))

    async def begin(self) -> None:
        """Check those that the files in force name now, and no others."""
        desired = self._engine.intent.desired
        wanted = {name: each for name, each in desired.upstreams.items() if each.health}
        for name in self._groups.keys() - wanted.keys():
            self._end(name)
            self._engine.troubles.resolve_all_of(_subject(name))
            self._observed.forget_servers(name)
        changed: dict[str, Group] = {}
        for name, upstream in wanted.items():
            scale = max((desired.apps[app].scale for app in upstream.apps), default=1)
            group = self._groups.get(name)
            is_same = group and (group.upstream, group.scale) == (upstream, scale)
            if not is_same and (check := upstream.check):
                changed[name] = Group(upstream, check, scale)
        await asyncio.gather(*(self._start(name, group) for name, group in changed.items()))

    def groups(self) -> Iterator[tuple[str, Sequence[CheckedServer]]]:
        """By upstream, for `status`."""
        for name, group in self._groups.items():
            yield name, group.servers

    async def _start(self, name: str, group: Group) -> None:
        if before := self._groups.get(name):
            group.servers, group.addresses = before.servers, before.addresses
            self._end(name)
        self._groups[name] = group
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_RESOLVE_TIMEOUT):
                await self._resolve(name, group)
        self._apply(name, group)
        subject = f"servers of {_subject(name)}"
        group.tasks = [
            self._tasks.start(subject, partial(self._keep_probing, name, group)),
            self._tasks.start(subject, partial(self._keep_resolving, name, group)),
        ]

    def _end(self, name: str) -> None:
        for task in self._groups.pop(name).tasks:
            task.cancel()

    async def _keep_resolving(self, name: str, group: Group) -> None:
        if all(is_ip(host_and_port(each)[0]) for each in group.upstream.servers):
            return
        while self._groups.get(name) is group:
            await self._clock.sleep(RESOLVE_INTERVAL)
            await self._resolve(name, group)
            self._apply(name, group)

    async def _resolve(self, name: str, group: Group) -> None:
        """A name that cannot be resolved keeps the addresses that it had."""
        hosts = dict.fromkeys(host_and_port(each)[0] for each in group.upstream.servers)
        for host in hosts:
            subject = f"addresses of {host} in {_subject(name)}"
            with self._tasks.fence(subject, of=_subject(name)):
                group.addresses[host] = await self._servers.addresses(host)
        found = (each for server in group.upstream.servers for each in _of(server, group))
        before = (
            replace(each, is_well=f"{name} {each.name}" not in self._failing) for each in found
        )
        group.servers = with_verdicts(before, group.servers)

    async def _keep_probing(self, name: str, group: Group) -> None:
        while self._groups.get(name) is group:
            if not self._engine.safe_mode.is_on:
                for server in group.servers:
                    work = partial(self._probe, name, group, server)
                    self._tasks.start(f"check of {server.name}", work)
            await self._clock.sleep(group.check.interval)

    async def _probe(self, name: str, group: Group, server: CheckedServer) -> None:
        trouble = await self._servers.probe(
            group.check.as_check.model_copy(
                update={"host": group.check.host or server.server.address}
            ),
            server.address,
            server.port,
            self._tls(name, group.upstream, server),
        )
        if self._groups.get(name) is not group:
            return
        for index, now in enumerate(group.servers):
            if now.name == server.name:
                group.servers[index] = server_after(now, trouble, group.check)
                self._note(name, now, group.servers[index])
        self._apply(name, group)

    def _tls(self, name: str, upstream: Upstream, server: CheckedServer) -> TlsToServer | None:
        if not upstream.tls:
            return None
        revision = self._engine.intent.revisions.get(split_name(name)[0])
        folder = revision.folder if revision else "/"
        authorities = absolute(upstream.tls_ca, folder) if upstream.tls_ca else None
        host = upstream.tls_name or server.host
        return TlsToServer(host, upstream.tls_verify, authorities)

    def _note(self, name: str, before: CheckedServer, after: CheckedServer) -> None:
        if before.is_well is after.is_well:
            return
        what = f"fails its health check: {after.reason}" if after.reason else "passes its check"
        text = f"server {after.name} {what}"
        self._events.note("check", split_name(name)[1], text)
        log.log(logging.INFO if after.is_well else logging.WARNING, "%s: %s", name, text)

    def _apply(self, name: str, group: Group) -> None:
        """Until the addresses are known nothing is published, and nginx keeps what it has."""
        endpoints = server_endpoints(group.servers, scale=group.scale)
        if endpoints and self._observed.servers.get(name) != endpoints:
            self._observed.publish_servers(name, endpoints)
        failing = frozenset(
            f"{of} {each.name}"
            for of, known in self._groups.items()
            for each in known.servers
            if not each.is_well
        )
        if failing != self._failing and all(each.servers for each in self._groups.values()):
            self._failing = failing
            with suppress(Failed):  # it is only for the next daemon, and said where it matters
                self._engine.state.put_setting(FAILING_SETTING, json.dumps(sorted(failing)))


def _subject(name: str) -> str:
    return f"upstream {split_name(name)[1]}"


def _of(server: Server, group: Group) -> Iterator[CheckedServer]:
    host, port = host_and_port(server)
    for address in group.addresses.get(host, ()):
        yield CheckedServer(server, host, address, port)


def _failing(text: str) -> list[str]:
    try:
        return [str(each) for each in json.loads(text)]
    except (ValueError, TypeError):
        log.warning("cannot read which servers failed their check, using none")
        return []

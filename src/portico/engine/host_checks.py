"""What a file needs from the machine around it: programs, files, ports and certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from portico.core.config.findings import path_text
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import LIVE_STATES, Instance
from portico.core.model.launch import Launch
from portico.core.model.names import InstanceId
from portico.core.model.pair import OwnPair
from portico.core.planning.file_effects import is_move_unset
from portico.engine.named_files import file_notes, file_problems, unreadable
from portico.engine.program_ports import ProgramPorts
from portico.errors import Problem
from portico.ports.certificates import Certificates
from portico.system.account import Account, account_if_known
from portico.system.zone import time_zone


class HostChecks:
    def __init__(
        self,
        programs: ProgramPorts,
        certificates: Certificates,
        *,
        instances: Callable[[], Mapping[InstanceId, Instance]],
        in_force: Callable[[], Desired],
        workers: str,
    ) -> None:
        """`workers` as in `RenderContext`."""
        self._processes, self._ports = programs.processes, programs.ports
        self._nginx = programs.nginx
        self._certificates, self._instances = certificates, instances
        self._in_force, self._workers = in_force, workers

    async def findings(self, desired: Desired) -> tuple[list[Problem], list[str]]:
        """Everything that is missing, unreadable or taken, and what is worth knowing although it
        is neither.
        """
        found = [problem async for problem in self._app_problems(desired)]
        found += [problem async for problem in self._listener_problems(desired)]
        of_certificates, notes = await self._certificate_problems(desired)
        found += of_certificates
        found += await asyncio.to_thread(lambda: list(file_problems(desired)))
        account = self._account(desired)
        notes += await asyncio.to_thread(lambda: list(file_notes(desired, account)))
        return found, notes

    async def links_of(self, spec: Spec) -> Mapping[str, str]:
        """As `Processes.links_of`; none of a program with a schedule, which has no rollouts: each
        run is where the links lead then.
        """
        if spec.app.schedule is not None:
            return {}
        return await self._processes.links_of(spec)

    async def unreadable(self, desired: Desired) -> list[str]:
        """What nginx's workers may not read of what they are to answer with."""
        return await asyncio.to_thread(lambda: list(unreadable(desired, self._account(desired))))

    def _account(self, desired: Desired) -> Account:
        user, _, group = (desired.edge.user or self._workers).partition(" ")
        return account_if_known(user or None, group or None)

    async def _app_problems(self, desired: Desired) -> AsyncIterator[Problem]:
        for name, app in desired.apps.items():
            launch = Launch(InstanceId(f"{name}.1.0"), app.spec, 1, app.app.port or 1)
            for what in await self._processes.problems(launch):
                yield Problem(f"apps.{name}", what)
            if app.app.tz is not None:
                try:
                    time_zone(app.app.tz)
                except ValueError as error:
                    yield Problem(f"apps.{name}.tz", str(error))
            async for problem in self._port_problems(name, app):
                yield problem

    async def _port_problems(self, name: str, app: DesiredApp) -> AsyncIterator[Problem]:
        if not app.app.port:
            return
        ours = {i.port for i in self._instances().values() if i.state in LIVE_STATES}
        for port in range(app.app.port, app.app.port + app.instances):
            if port not in ours and (holder := await self._ports.holder(port)):
                yield Problem(f"apps.{name}.port", f"port {port} is held by {holder}")

    async def _listener_problems(self, desired: Desired) -> AsyncIterator[Problem]:
        now, ours = self._in_force(), set(self._nginx.inherited_ports)
        ours_of_udp = set[int]()
        if self._nginx.observe().pid:
            ours |= {now.listeners.http, now.listeners.https}
            ours |= {each.port for each in now.streams.values() if not each.udp}
            ours_of_udp = {each.port for each in now.streams.values() if each.udp}
            ours_of_udp |= {now.listeners.https} if now.listeners.http3 else set()
        async for problem in self._stream_problems(desired, ours, ours_of_udp):
            yield problem
        if not desired.sites or _is_move_refused(now, desired):
            return
        listeners = desired.listeners
        for key, port in (("http", listeners.http), ("https", listeners.https)):
            if port in ours:
                continue
            if holder := await self._ports.holder_at(listeners.addresses, port):
                yield Problem(
                    f"edge.{key}",
                    f"port {port} is held by {holder}",
                    f"stop it, or set another port: [edge] {key} = {port + 1000}",
                )

        port = listeners.https
        if listeners.http3 and port not in ours_of_udp:
            holder = await self._ports.holder_at(listeners.addresses, port, udp=True)
            if holder:
                what = f"UDP port {port} is held by {holder}"
                yield Problem("edge.http3", what, "stop it, or set http3 = false")

    async def _stream_problems(
        self, desired: Desired, ours: set[int], ours_of_udp: set[int]
    ) -> AsyncIterator[Problem]:
        for key, each in desired.streams.items():
            if each.port not in (ours_of_udp if each.udp else ours):
                holder = await self._ports.holder_at(each.addresses, each.port, udp=each.udp)
                if holder:
                    what = f"port {each.port} is held by {holder}"
                    yield Problem(
                        path_text(("streams", key)), what, "stop it, or use another port"
                    )

    async def _certificate_problems(self, desired: Desired) -> tuple[list[Problem], list[str]]:
        pairs = {
            name: OwnPair(pair.certificate, pair.key, (name, *site.aliases))
            for name, site in desired.sites.items()
            if site.https and (pair := desired.own_certificate(name)) is not None
        }
        problems, notes = list[Problem](), list[str]()
        found = await self._certificates.examine(tuple(pairs.values()))
        for name, findings in zip(pairs, found, strict=True):
            key = f'sites."{name}".certificate'
            problems += [Problem(key, what) for what in findings.problems]
            notes += [f"{key}: {what}" for what in findings.notes]
        return problems, notes


def _is_move_refused(now: Desired, desired: Desired) -> bool:
    """Whether sites of other projects would move with these, because no file sets the ports any
    more. `up` refuses that, and who holds the ports that it would move to does not matter.
    """
    own = {desired.origin(site).project for site in desired.sites}
    others = any(now.origin(site).project not in own for site in now.sites)
    return others and is_move_unset(now, desired)

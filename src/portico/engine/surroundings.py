"""What a file needs from the machine around it: programs, files, ports and certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

from portico.core.model.desired import Desired, DesiredApp, absolute
from portico.core.model.instance import LIVE, Instance
from portico.core.model.names import InstanceId
from portico.core.model.site import Folder, Maintenance, Site
from portico.engine.own_pairs import own_pair
from portico.errors import Problem
from portico.ports import Certificates, Launch, Nginx, OwnPair, Ports, Processes
from portico.system.zone import time_zone


class Surroundings:
    def __init__(
        self,
        processes: Processes,
        ports: Ports,
        nginx: Nginx,
        certificates: Certificates,
        instances: Callable[[], Mapping[InstanceId, Instance]],
        in_force: Callable[[], Desired],
    ) -> None:
        self._processes, self._ports, self._nginx = processes, ports, nginx
        self._certificates, self._instances = certificates, instances
        self._in_force = in_force

    async def problems(self, desired: Desired) -> list[Problem]:
        """Everything that is missing, unreadable or taken."""
        found = [problem async for problem in self._of_apps(desired)]
        found += [problem async for problem in self._of_listeners(desired)]
        found += [problem async for problem in self._of_certificates(desired)]
        found += await asyncio.to_thread(lambda: list(_of_files(desired)))
        return found

    async def _of_apps(self, desired: Desired) -> AsyncIterator[Problem]:
        for name, app in desired.apps.items():
            launch = Launch(InstanceId(f"{name}.1.0"), app.spec, 1, app.app.port or 1)
            for what in await self._processes.problems(launch):
                yield Problem(f"apps.{name}", what)
            if app.app.tz is not None:
                try:
                    time_zone(app.app.tz)
                except ValueError as error:
                    yield Problem(f"apps.{name}.tz", str(error))
            async for problem in self._of_pinned_ports(name, app):
                yield problem

    async def _of_pinned_ports(self, name: str, app: DesiredApp) -> AsyncIterator[Problem]:
        if not app.app.port:
            return
        ours = {i.port for i in self._instances().values() if i.state in LIVE}
        for port in range(app.app.port, app.app.port + app.instances):
            if port not in ours and (holder := await self._ports.holder(port)):
                yield Problem(f"apps.{name}.port", f"port {port} is held by {holder}")

    async def _of_listeners(self, desired: Desired) -> AsyncIterator[Problem]:
        if not desired.sites:
            return
        now = self._in_force()
        ours = {now.listeners.http, now.listeners.https} if self._nginx.seen().pid else set()
        listeners = desired.listeners
        for key, port in (("http", listeners.http), ("https", listeners.https)):
            if port not in ours and (holder := await self._ports.holder(port)):
                yield Problem(
                    f"edge.{key}",
                    f"port {port} is held by {holder}",
                    f"stop it, or choose another port: [edge] {key} = {port + 1000}",
                )

    async def _of_certificates(self, desired: Desired) -> AsyncIterator[Problem]:
        pairs = {
            name: OwnPair(pair.certificate, pair.key, (name, *site.aliases))
            for name, site in desired.sites.items()
            if site.https and (pair := own_pair(desired, name)) is not None
        }
        for name, findings in zip(
            pairs, await self._certificates.examine(tuple(pairs.values())), strict=True
        ):
            for what in findings.problems:
                yield Problem(f'sites."{name}".certificate', what)


def _of_files(desired: Desired) -> Iterator[Problem]:
    for name, site in desired.sites.items():
        for key, path, is_folder in _named_files(site):
            where = f'sites."{name}".{key}'
            full = Path(absolute(path, desired.folder))
            if not full.exists():
                yield Problem(where, f"there is no {full}")
            elif is_folder != full.is_dir():
                yield Problem(where, f"{full} is {'no folder' if is_folder else 'no file'}")
    for path in _many(desired.edge.include):
        if not Path(absolute(path, desired.folder)).is_file():
            yield Problem("edge.include", f"there is no file {absolute(path, desired.folder)}")


def _named_files(site: Site) -> Iterator[tuple[str, str, bool]]:
    """Key, path, and whether it is a folder."""
    for path in _many(site.include):
        yield "include", path, False
    for code, path in site.error_pages.items():
        yield f"error_pages.{code}", path, False
    if isinstance(site.maintenance, Maintenance) and site.maintenance.page:
        yield "maintenance.page", site.maintenance.page, False
    if site.basic_auth and site.basic_auth.file:
        yield "basic_auth.file", site.basic_auth.file, False
    if site.folder:
        yield "folder", _folder(site.folder), True
    for path, route in site.routes.items():
        if not isinstance(route, str):
            if route.folder:
                yield f'routes."{path}".folder', _folder(route.folder), True
            if route.basic_auth and route.basic_auth.file:
                yield f'routes."{path}".basic_auth.file', route.basic_auth.file, False


def _folder(folder: str | Folder) -> str:
    return folder if isinstance(folder, str) else folder.path


def _many(paths: str | tuple[str, ...]) -> tuple[str, ...]:
    return (paths,) if isinstance(paths, str) else paths

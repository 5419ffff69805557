"""The nginx programs of this machine: which is used, what each can do, and switching.

`[edge] nginx` of a file in force decides. Where no file has it, what `portico nginx use` was given
last does, which is a setting of the home.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from portico.core.config.capabilities import AUTOMATIC_FEATURES, FEATURES, OWN_LINES
from portico.core.model.event import Requester
from portico.core.model.nginx_views import NginxBuildsView, NginxBuildView, NginxFeatureView
from portico.core.model.openssl import unsupported_since
from portico.core.model.optimization import gain, is_debugging, optimization
from portico.core.model.place import AUTO, BUNDLED_NGINX, MIN_NGINX, Build
from portico.core.model.views import ChangeView
from portico.engine import settings
from portico.engine.changes import EVERY_APP, Change
from portico.engine.control.convergence import Convergence
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.prepare import NginxRequest
from portico.errors import PorticoError, Refused
from portico.ports.nginx import Nginx
from portico.system.rights import other_writer


class NginxPrograms:
    def __init__(
        self, engine: Engine, in_force: InForce, convergence: Convergence, nginx: Nginx
    ) -> None:
        self._engine, self._changes, self._in_force = engine, engine.changes, in_force
        self._preparation, self._nginx = in_force.preparation, nginx
        self._convergence = convergence

    async def view(self) -> NginxBuildsView:
        asked, problem, used = await self._request(), "", None
        try:
            used, problem = await self._preparation.nginx_build(asked)
        except Refused as error:
            problem = str(error)
        others = [
            each
            for each in await self._nginx.builds()
            if used is None or each.program != used.program
        ]
        seen = self._engine.observed.now().nginx
        return NginxBuildsView(
            used=self._build_view(used, used, asked) if used else None,
            problem=problem,
            selected=settings.selected_nginx(self._engine.state),
            file=asked.file or "",
            pid=seen.pid,
            running=seen.program if seen.pid else "",
            others=tuple(self._build_view(each, used, asked) for each in others),
        )

    async def inherit(self, pid: int | None, who: Requester) -> None:
        await self._nginx.inherit(pid)
        subject = f"nginx of process {pid}" if pid else "no other nginx"
        self._engine.events.note_request("inherit", subject, who)

    async def upgrade(self, who: Requester) -> ChangeView:
        """Replace the nginx that runs by today's program of it, losing no request."""
        self._in_force.require_file()
        self._engine.events.note_request("upgrade", "nginx", who)
        return self._changes.begin("upgrade", "nginx", [EVERY_APP], self._switch)

    async def use(self, program: str, who: Requester) -> ChangeView:
        """Select another one and switch to it. What was selected before remains if that fails."""
        file = (await self._request()).file
        if file:
            raise Refused(
                f"the file in force sets [edge] nginx = {file}, which decides; change or remove "
                "that key and run `portico up`. Nothing was changed"
            )
        if program not in {AUTO, BUNDLED_NGINX}:
            await asyncio.to_thread(_assert_usable, program)
        await self._nginx.build(None if program == AUTO else program)
        self._engine.events.note_request("upgrade", "nginx", who, f"use {program}")

        async def work(change: Change) -> None:
            before = settings.selected_nginx(self._engine.state)
            self._engine.state.put_setting(settings.NGINX, program)
            try:
                await self._switch(change)
            except PorticoError:
                self._engine.state.put_setting(settings.NGINX, before)
                with suppress(PorticoError):
                    await self._in_force.render_without_waiting()
                raise

        return self._changes.begin("nginx use", program, [EVERY_APP], work)

    async def _switch(self, change: Change) -> None:
        """Have the nginx selected serve, if one serves."""
        intent, observed = self._engine.intent, self._engine.observed
        if not intent.revisions:
            change.say("nginx is not running; the next `portico up` uses this one")
            return
        # The new one may be able to do more.
        candidate = await self._in_force.render_without_waiting()
        seen, build = observed.now().nginx, candidate.build
        if seen.pid is None or not candidate.desired.needs_nginx:
            change.say("nginx is not running")
        elif seen.runs(build):
            change.say(f"nginx is already at {seen.version}")
        else:
            change.say(f"replacing nginx {seen.version} with {build.version_text}")
            if intent.is_in_force(seen):
                intent.request_upgrade(build)
            self._engine.loop.wake()
            await self._convergence.upgrade()
            await self._convergence.apps(change, ())

    async def _request(self) -> NginxRequest:
        return await self._preparation.nginx_request(self._engine.intent.inputs())

    def _build_view(self, build: Build, used: Build | None, asked: NginxRequest) -> NginxBuildView:
        since = unsupported_since(build.openssl, self._engine.clock.now())
        return NginxBuildView(
            program=build.program,
            version=build.version_text,
            bundled=build.bundled,
            lacks=tuple(_lacks(build, asked)),
            openssl=build.openssl,
            openssl_unsupported_since=str(since or ""),
            optimization=optimization(build),
            debugging=is_debugging(build),
            pie=build.is_pie,
            gain=gain(used, build) if used else "",
            features=tuple(_features(build)),
            arguments=build.arguments,
        )


def _assert_usable(program: str) -> None:
    if writer := other_writer(program):
        raise Refused(
            f"cannot use {program} as nginx: {writer} can change it, and root would run it; "
            "chown the file and the folders above it to root, with chmod go-w"
        )


def _lacks(build: Build, asked: NginxRequest) -> Iterator[str]:
    if build.version < MIN_NGINX:
        yield f"nginx {'.'.join(map(str, MIN_NGINX))} or later"
    yield from sorted(asked.needed - build.can)


def _features(build: Build) -> Iterator[NginxFeatureView]:
    for name, needed in FEATURES.items():
        yield NginxFeatureView(name=name, kind="key", available=build.can.issuperset(needed))
    for name, needed in AUTOMATIC_FEATURES.items():
        yield NginxFeatureView(name=name, kind="automatic", available=build.can.issuperset(needed))
    for name in OWN_LINES:
        yield NginxFeatureView(name=name, kind="own lines", available=name in build.can)

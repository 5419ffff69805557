"""The one owner of what is in force: of every project its file, all rendered together for nginx.

Whoever wants it changed says how (`accept`, `pause`, `render_again`), and the change is made of
what is in force by then: what was rendered while something else came into force is rendered once
more. The disk comes first, then memory, then nginx, whose refusal ends the wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from portico.core.model.cluster import MemberList
from portico.core.model.desired import Desired, DesiredApp
from portico.core.model.names import split_name
from portico.core.model.records import Revision
from portico.core.model.shell import inherited_variables
from portico.core.planning.progress import nginx_progress
from portico.engine.engine import Engine
from portico.engine.inputs import Inputs
from portico.engine.prepare import NO_BUILD, Candidate, Preparation
from portico.errors import Failed, PorticoError, Refused

RENDER_TIMEOUT: Final = 300.0
SERVE_TIMEOUT: Final = 90.0
FILES: Final = "nginx's files"
"""What a trouble is of that is over when they are rendered again."""

Basis = tuple[int, Mapping[str, str]]
Draft = TypeVar("Draft")


class InForce:
    def __init__(self, engine: Engine, preparation: Preparation) -> None:
        self._intent, self._observed, self._loop = engine.intent, engine.observed, engine.loop
        self._clock, self._troubles = engine.clock, engine.troubles
        self.preparation = preparation
        self._turn = asyncio.Lock()
        self._changes = 0
        """How often something else came into force."""

    async def accept(
        self,
        edit: Callable[[], Revision],
        allow: Callable[[Candidate], None],
        *,
        smaller: bool = False,
    ) -> tuple[Revision, Candidate]:
        """Put the file in force that `edit` makes of those that are. Returns it with its number.

        Everything that could go wrong with it is looked at before; then `allow` may refuse it. One
        that makes things `smaller` needs neither disk nor nginx.
        """

        async def draft() -> tuple[Revision, Candidate]:
            revision = edit()
            inputs = self._intent.inputs(revision)
            make = self._render_smaller if smaller else self.preparation.check
            return revision, await within_deadline(make(inputs))

        basis = self._basis()
        revision, candidate = await draft()  # not yet in turn: looking at everything may take long
        async with self._turn:
            if self._basis() != basis:
                revision, candidate = await self._current_draft(draft)
            allow(candidate)
            used = with_links(revision, candidate)
            accepted = self._intent.accept(candidate, used, smaller=smaller)
            self._note_change(candidate)
        return accepted, candidate

    async def _render_smaller(self, inputs: Inputs) -> Candidate:
        """Where nginx's files cannot be written, it keeps those that it has."""
        try:
            return await self.preparation.tested_again(inputs)
        except PorticoError as error:
            if inputs.project is not None:
                await self.preparation.render(inputs)  # raises where the file cannot be used
            self._troubles.report(
                FILES, f"{error}; the running configuration is unchanged", of=FILES
            )
            return await self.preparation.without_nginx(inputs, live=self._live_generation())

    async def pause(
        self, meant: Callable[[], frozenset[str]], *, paused: bool, hold: float = 0.0
    ) -> None:
        """Close the sites that are `meant`, or open them again; or `hold` their requests for so
        many seconds. All outlive a change of the file, and the daemon.
        """

        async def draft() -> tuple[frozenset[str], Mapping[str, float], Candidate]:
            chosen, known = meant(), self._intent.desired.sites
            others = (self._intent.paused_sites() & known.keys()) - chosen
            sites = others | chosen if paused and not hold else others
            held = {n: s for n, s in self._intent.holds().items() if n in known.keys() - chosen}
            holds = {**held, **dict.fromkeys(chosen, hold)} if paused and hold else held
            self.require_file()
            again = self.preparation.tested_again(self._intent.inputs(paused=sites, holds=holds))
            return sites, holds, await within_deadline(again)

        async with self._turn:
            sites, holds, candidate = await self._current_draft(draft)
            self._intent.set_paused(sites, candidate, holds)
            self._observed.hold(holds)
            self._note_change(candidate)

    async def set_members(self, members: MemberList) -> None:
        """Use these machines of the cluster. Raises PorticoError where that cannot be rendered, or
        nginx does not take it; nothing has changed then.
        """

        async def draft() -> tuple[frozenset[str], Candidate | None]:
            drained = self._drained_with(members)
            if not self._intent.revisions and not self._intent.desired.needs_nginx:
                return drained, None
            inputs = replace(self._intent.inputs(), members=members, drained_machines=drained)
            return drained, await within_deadline(self.preparation.tested_again(inputs))

        async with self._turn:
            drained, candidate = await self._current_draft(draft)
            self._intent.set_members(members, drained, candidate)
            if candidate:
                self._note_change(candidate)

    def _drained_with(self, members: MemberList) -> frozenset[str]:
        """The machines whose part of each `total` others run, with those that are new in the
        cluster: they run nothing before `portico up` there.
        """
        before = self._intent.members
        if before is None or not self._intent.desired.totals:
            return self._intent.drained_machines
        return self._intent.drained_machines | (members.machines.keys() - before.machines.keys())

    async def set_drained_machines(self, machines: frozenset[str]) -> None:
        """Run the part of each `total` that these machines have, being drained, elsewhere. Raises
        as `set_members`.
        """

        async def draft() -> Candidate | None:
            if not self._intent.revisions:
                return None
            inputs = replace(self._intent.inputs(), drained_machines=machines)
            return await within_deadline(self.preparation.tested_again(inputs))

        async with self._turn:
            candidate = await self._current_draft(draft)
            self._intent.set_drained_machines(machines, candidate)
            if candidate:
                self._note_change(candidate)

    async def serve_members(self) -> None:
        """Have nginx listen for other machines where no file is in force yet, and wait until it
        does. Raises Failed where it cannot.
        """

        async def draft() -> Candidate:
            return await within_deadline(self.preparation.tested_again(self._intent.inputs()))

        if not self._intent.revisions:
            async with self._turn:
                candidate = await self._current_draft(draft)
                if not self._intent.revisions:
                    self._intent.render_again(candidate)
                    self._note_change(candidate)
        await self.wait_until_served()

    async def render_without_waiting(self) -> Candidate:
        """Put in force what certificates, accounts and the nginx there is now make of the files.

        Failed where nginx does not take that; nothing has changed then.
        """

        async def draft() -> Candidate:
            self.require_file()
            return await within_deadline(self.preparation.tested_again(self._intent.inputs()))

        async with self._turn:
            candidate = await self._current_draft(draft)
            self._intent.render_again(candidate)
            self._note_change(candidate)
        return candidate

    async def render_again(self) -> None:
        """The same, and wait until nginx serves it."""
        await self.render_without_waiting()
        await self.wait_until_served()

    async def wait_until_served(self) -> None:
        """Return when nginx serves what is in force. Failed, with its reason, if it does not."""
        end = self._clock.monotonic() + SERVE_TIMEOUT
        while wanted := self._intent.fingerprint:
            nginx = nginx_progress(self._observed.now().nginx, wanted)
            if nginx.done:
                return
            for why in nginx.failed:
                raise Failed(f"nginx did not load the new configuration: {why}")
            if self._clock.monotonic() > end:
                raise Failed(
                    f"nginx did not load the new configuration within {SERVE_TIMEOUT:g} s"
                )
            await self._loop.next_round()

    def clear(self, *, at_once: bool) -> None:
        """Put nothing in force any more, at once, whatever else is being put in force."""
        self._changes += 1
        self._intent.clear(at_once=at_once)
        self._loop.wake()

    async def remove(self, project: str, allow: Callable[[Candidate], None]) -> Candidate:
        """Put a project in force no more, with nothing changed for the others. `allow` raises
        where what they become must not be.
        """

        async def draft() -> Candidate:
            left = {key: each for key, each in self._intent.revisions.items() if key != project}
            return await within_deadline(self._render_smaller(self._intent.inputs_of(left)))

        async with self._turn:
            candidate = await self._current_draft(draft)
            allow(candidate)
            self._intent.remove(project, candidate)
            self._note_change(candidate)
        return candidate

    async def resume(self) -> None:
        """At the start of a daemon: what an earlier one had in force. Where that cannot be
        rendered, instances are looked after all the same, and nginx keeps the generation it has.
        """
        revisions = self._intent.on_disk()
        if not revisions and not self._serves_members():
            return
        self._intent.revisions = revisions
        inputs = replace(
            self._intent.inputs(),
            known={each: self._recorded_apps().of(each) for each in revisions},
        )
        candidate = (
            await self._try_to_render(inputs)
            or await self._try_to_read(inputs)
            or Candidate(self._recorded_apps(), {}, self._live_generation(), NO_BUILD, ())
        )
        self._report_unreadable(candidate)
        if candidate.unreadable:  # its sites are not known: nginx keeps what it has
            live = self._live_generation()
            candidate = replace(candidate, files={}, fingerprint=live, build=NO_BUILD)
        self._intent.resume(candidate, revisions)

    def _serves_members(self) -> bool:
        """Whether nginx listens for other machines with no file in force (`serve_members`)."""
        return bool(self._intent.members and self._observed.now().nginx.pid)

    async def _try_to_render(self, inputs: Inputs) -> Candidate | None:
        with self._troubles.fence("rendering of the file in force", of=FILES):
            return await within_deadline(self.preparation.resume(inputs))
        return None

    async def _try_to_read(self, inputs: Inputs) -> Candidate | None:
        fence = self._troubles.fence("reading of the file in force", of=FILES)
        with fence, suppress(PorticoError):  # for which rendering failed, too, and reported it
            return await self.preparation.without_nginx(inputs, live=self._live_generation())
        return None

    def _recorded_apps(self) -> Desired:
        """Where not even the apps can be read any more, they stay what they are."""
        slots: dict[str, int] = {}
        for i in self._observed.instances.values():
            slots[i.app] = max(slots.get(i.app, 0), i.slot)
        apps = {
            name: DesiredApp(name, slots.get(name, 0), record.target)
            for name, record in self._intent.versions.records.items()
        }
        return Desired(apps=apps)

    # How

    async def _current_draft(self, draft: Callable[[], Awaitable[Draft]]) -> Draft:
        """A draft that was made of what is in force still when it is ready. Nobody else's turn
        can come between; `down`, `reload` and `restart` may.
        """
        while True:
            basis = self._basis()
            made = await draft()
            if self._basis() == basis:
                return made

    def _basis(self) -> Basis:
        return self._changes, self._intent.versions.targets

    def _note_change(self, candidate: Candidate) -> None:
        self._changes += 1
        if candidate.build.program:
            self._troubles.resolve_all_of(FILES)
        self._report_unreadable(candidate)
        self._observed.clear_refusal()
        self._loop.wake()

    def _report_unreadable(self, candidate: Candidate) -> None:
        for why in candidate.unreadable:
            self._troubles.report(why, why, of=FILES)

    def _live_generation(self) -> str:
        return self._observed.now().nginx.live

    def require_file(self) -> None:
        if not self._intent.revisions:
            raise Refused("no file is in force; start with `portico up`")


def with_links(revision: Revision, candidate: Candidate) -> Revision:
    """With the links of its apps, and so much of the operator's shell's environment as any has."""
    apps = candidate.desired.of(revision.project).apps
    everything = any(app.app.inherit_env for app in apps.values())
    environ = inherited_variables(revision.environ, everything=everything)
    links = {split_name(n)[1]: app.spec.links for n, app in apps.items() if app.spec.links}
    return replace(revision, environ=environ, links=links)


async def within_deadline(work: Awaitable[Draft]) -> Draft:
    """Raises Failed where a folder or nginx does not answer."""
    try:
        async with asyncio.timeout(RENDER_TIMEOUT):
            return await work
    except TimeoutError:
        raise Failed(
            f"the nginx files were not ready within {RENDER_TIMEOUT:g} s; nothing was changed"
        ) from None

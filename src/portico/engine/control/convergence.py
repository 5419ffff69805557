"""Waits, with whoever asked, until the world has become what was asked for, or cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from portico.core.config.references import names_served
from portico.core.model.desired import Desired
from portico.core.model.names import InstanceId
from portico.core.model.site import Site
from portico.core.planning.lateness import is_late
from portico.core.planning.progress import progress
from portico.engine.changes import Change
from portico.engine.control.status import StatusReport
from portico.engine.engine import Engine
from portico.errors import Failed
from portico.ports.nginx import Nginx, Sites

MANY_SITES: Final = 20
"""More than so many are counted instead of named."""
CHANGE_TIMEOUT: Final = 900.0
"""Seconds after which a change gives up waiting, without the time of programs that run once before
others; each part of it has a shorter deadline.
"""
REPORT_INTERVAL: Final = 10.0
"""Seconds between two lines that say that nothing has changed, and what is waited for."""
RUN_REPORT_INTERVAL: Final = 60.0
"""The same while a program runs once before others, which may take hours."""
SITES_TIMEOUT: Final = 10.0
NGINX_TIMEOUT: Final = 10.0
"""Seconds; it asks every second, after a lost answer every two."""
ANSWER_USE_TIME: Final = 0.02
"""Seconds from when nginx has read an answer, which is known, until all of its workers use it."""
ANSWER_LOOK_INTERVAL: Final = 0.05
MAX_PARALLEL_QUESTIONS: Final = 16
_GIVEN_UP_TEXTS: Final = {
    False: "was rolled back; the previous version is serving",
    True: "failed; the apps after it were not replaced",
}
"""By whether an app must end."""
UPGRADE_TIMEOUT: Final = 180.0
"""Seconds; its parts, as testing the files of thousands of sites, have their own deadlines."""


class Convergence:
    def __init__(
        self, engine: Engine, report: StatusReport, *, nginx: Nginx, sites: Sites
    ) -> None:
        self._intent, self._observed, self._loop = engine.intent, engine.observed, engine.loop
        self._clock, self._report = engine.clock, report
        self._nginx, self._sites = nginx, sites

    async def apps(
        self, change: Change, apps: Iterable[str], replaced: frozenset[InstanceId] = frozenset()
    ) -> None:
        """Wait until the world is as wanted for these apps, or cannot become so."""
        names = list(apps)
        begun, said = self._clock.monotonic(), tuple[str, ...]()
        run_until = said_at = begun
        while (waited := self._clock.monotonic() - run_until) < CHANGE_TIMEOUT:
            given_up = self._given_up(change, names)
            desired, generation = self._intent.desired, self._intent.fingerprint
            state = progress(
                desired,
                self._observed.now(),
                names,
                generation=generation,
                waited=waited,
                replaced=replaced,
            )
            if failed := (*given_up, *state.failed):
                raise Failed("\n".join((*_without_parts(failed), *self._last_lines(names, begun))))
            if state.done:
                for line in state.late:
                    change.say(line)
                await self._nginx_knows(change, names)
                return
            now = self._clock.monotonic()
            for line in state.waiting:
                if line not in said:
                    change.say(line)
                    said_at = now
            said = state.waiting
            if state.runs:
                run_until = now
            if now - said_at >= (RUN_REPORT_INTERVAL if state.runs else REPORT_INTERVAL):
                said_at = now
                why = self._report.waits_for(frozenset(names))
                what = "; ".join(filter(None, (*said, why)))
                change.say(f"waiting for {now - begun:.0f}s: {what}")
            await self._loop.next_round()
        raise _timeout()

    def _given_up(self, change: Change, names: Collection[str]) -> list[str]:
        """The rollouts that were given up since the change began."""
        apps = self._intent.desired.apps
        return [
            f"{name} {_GIVEN_UP_TEXTS[apps[name].must_end]}: {why}"
            for name, why in self._intent.revert_reasons.items()
            if name in names and apps[name].spec.id != change.versions.get(name)
        ]

    def _last_lines(self, names: Iterable[str], since: float) -> list[str]:
        """The end of the output of whatever is in trouble."""
        lines: list[str] = []
        for name in names:
            lines += self._report.last_lines(name, since)
        return lines

    async def sites(
        self,
        change: Change,
        own: Desired,
        desired: Desired,
        answered: Collection[str] = frozenset(),
    ) -> None:
        """Ask every site of one's own through nginx, as a visitor would; several at a time. Where
        there are many, of those that `answered` before, and have not changed, one for each app.
        What other machines run may not be ready there yet.
        """
        end = self._clock.monotonic() + SITES_TIMEOUT
        at_once = asyncio.Semaphore(MAX_PARALLEL_QUESTIONS)
        elsewhere = {n for n, app in desired.apps.items() if not desired.is_here(app.app)}
        not_asked = self._late_apps(own) | elsewhere
        names = [
            n for n, site in own.sites.items() if not not_asked & _names_served(site, desired)
        ]
        few = len(own.sites) <= MANY_SITES
        asked = names if few else _sites_to_ask(names, desired, answered)

        async def ask(name: str) -> str | None:
            async with at_once:
                trouble = await self._answer(name, desired, end)
            if trouble is None and few:
                change.say(f"{name} answers")
            return f"{name} does not answer: {trouble}" if trouble else None

        troubles = await asyncio.gather(*map(ask, asked))
        if failed := [trouble for trouble in troubles if trouble]:
            raise Failed("\n".join(failed))
        if not few:
            rest = len(names) - len(asked)
            change.say(f"{len(asked)} sites answer" + (f", {rest} are unchanged" if rest else ""))

    def _late_apps(self, desired: Desired) -> set[str]:
        now, known = self._clock.monotonic(), self._observed.instances.values()
        return {
            i.app
            for i in known
            if i.app in desired.apps and is_late(i, desired.apps[i.app].app, now)
        }

    async def _nginx_knows(self, change: Change, apps: Collection[str]) -> None:
        """Wait until nginx sends requests to the newest endpoints of these apps and no others; it
        asks every second.
        """
        end = self._clock.monotonic() + NGINX_TIMEOUT
        while True:
            desired, generation = self._intent.desired, self._intent.fingerprint
            asked_about = {app for group in desired.upstreams.values() for app in group.apps}
            missing = self._observed.not_acknowledged(asked_about.intersection(apps))
            if not generation or not missing:
                await self._clock.sleep(ANSWER_USE_TIME)
                return
            await self._clock.sleep(ANSWER_LOOK_INTERVAL)
            if self._clock.monotonic() > end:
                change.say(
                    f"nginx has not asked where {', '.join(missing)} is for "
                    f"{NGINX_TIMEOUT:g}s and may still use the previous instances"
                )
                return

    async def _answer(self, name: str, desired: Desired, end: float) -> str | None:
        while True:
            trouble = await self._sites.ask(
                name, desired.sites[name], desired.listeners, proxied=_is_proxied(desired)
            )
            if trouble is None or self._clock.monotonic() > end:
                return trouble
            await self._clock.sleep(0.1)

    async def upgrade(self) -> None:
        """Wait until nginx was replaced as it was asked for. Failed says why it was not."""
        end = self._clock.monotonic() + UPGRADE_TIMEOUT
        while self._intent.upgrade is not None:
            if self._clock.monotonic() > end:
                raise Failed(f"nginx was not replaced within {UPGRADE_TIMEOUT:g}s")
            await self._loop.next_round()
        if self._intent.upgrade_trouble:
            raise Failed(self._intent.upgrade_trouble)

    async def end(self, change: Change, longest: float = 0.0) -> None:
        """Wait until nothing runs any more. One may drain and stop for `longest` seconds."""
        shown, end = "", 0.0
        while words := " and ".join(self._still_running()):
            if words != shown:  # one after another
                shown, end = words, self._clock.monotonic() + CHANGE_TIMEOUT + longest
            if self._clock.monotonic() > end:
                raise _timeout(CHANGE_TIMEOUT + longest)
            change.say(f"waiting for {words} to stop")
            await self._loop.next_round()

    def _still_running(self) -> Iterator[str]:
        if self._nginx.observe().pid is not None:
            yield "nginx"
        if count := len(self._observed.instances):
            yield "1 instance" if count == 1 else f"{count} instances"


def _timeout(seconds: float = CHANGE_TIMEOUT) -> Failed:
    return Failed(
        f"timed out after {seconds:g}s; Portico continues, and `portico status` shows it"
    )


def _names_served(site: Site, desired: Desired) -> set[str]:
    return names_served([site], desired.upstreams)


def _sites_to_ask(names: Iterable[str], desired: Desired, answered: Collection[str]) -> list[str]:
    """With each site that did not answer before: a handshake with all of 300 takes seconds."""
    asked, reached = list[str](), set[frozenset[str]]()
    for name in names:
        behind = frozenset(_names_served(desired.sites[name], desired))
        if name not in answered or behind not in reached:
            asked.append(name)
        reached.add(behind)
    return asked


def _without_parts(lines: Sequence[str]) -> list[str]:
    """Without those that are a part of another one: that an app waits for one that failed says why
    that one did.
    """
    return [line for line in lines if not any(line in each and line != each for each in lines)]


def _is_proxied(desired: Desired) -> bool:
    return any(s.real_ip and s.real_ip.proxy_protocol for s in desired.sites.values())

"""Keeps the certificates of authorities: obtains, renews and deploys them, one by one.

Serving never waits for any of this. A site is served with a local certificate until its own is
there, and with the last good one for as long as nothing better is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NoReturn

from portico.core.model.certificate import (
    WEEK,
    About,
    Entry,
    EntryKind,
    Issuer,
    Lineage,
    Memory,
)
from portico.core.model.names import folder_name
from portico.core.model.place import CertificateFiles
from portico.core.model.views import CertificateView, LimitView
from portico.core.planning import memories
from portico.core.planning.expiry import warning
from portico.core.planning.ledger import Ledger
from portico.core.planning.lineages import secret_files, wanted_lineages
from portico.core.planning.memories import Told
from portico.core.planning.preflight import Finding, findings, name_findings
from portico.core.planning.renewal import NEVER, Action, is_missing, next_action
from portico.engine.changes import Change
from portico.engine.deploying import Deploying, read_text
from portico.engine.intent import Intent
from portico.engine.passage import Passage
from portico.engine.standalone import forget, standalone_lineages
from portico.engine.troubles import Troubles
from portico.errors import Failed, NotFound, PorticoError, Refused
from portico.ports import Authorities, AuthorityError, Clock, Lineages, Obtained, State

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 30.0
"""Seconds, on the wall clock's own terms: a suspended machine or a stepped clock costs no more."""
AT_ONCE: Final = 4
DEPLOY_WITHIN: Final = 90.0
RENEW_WITHIN: Final = 900.0
SUPERSEDED: Final = 4
"""Reason of a revocation (RFC 5280 5.3.1) that an operator may give for anything."""
HOOK_WITHIN: Final = 60.0
THUMBPRINT: Final = "account_thumbprint"
"""Setting: of the account's key, which nginx's files hold."""


class IssuedFiles:
    """What nginx is given. Implements `prepare.Issued`."""

    def __init__(self, state: State, lineages: Lineages, passage: Passage) -> None:
        self._state, self._lineages, self._passage = state, lineages, passage

    def files(self, lineage: str) -> CertificateFiles | None:
        current = self._lineages.current(lineage)
        return current.files if current else None

    def thumbprint(self) -> str:
        return self._state.setting(THUMBPRINT) or ""

    def asked_by_alpn(self) -> bool:
        return self._passage.is_open


class Keeper:
    """A task of its own. Whatever goes wrong with one lineage is remembered with it alone."""

    def __init__(  # noqa: PLR0913 - what a certificate passes through on its way
        self,
        intent: Intent,
        deploying: Deploying,
        troubles: Troubles,
        tasks: asyncio.TaskGroup,
        *,
        authorities: Authorities,
        clock: Clock,
        lineages: Lineages,
        passage: Passage,
        state: State,
    ) -> None:
        self._intent, self._deploying = intent, deploying
        self._troubles, self._tasks = troubles, tasks
        self._authorities, self._clock = authorities, clock
        self._lineages, self._passage, self._state = lineages, passage, state
        self._under_way: set[str] = set()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> NoReturn:
        while True:
            self._woken.clear()
            await self._look()
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def wanted(self) -> Mapping[str, Lineage]:
        """Every lineage of the file in force, and those that no site is for, by name."""
        desired, _ = self._intent.wanted()
        secrets = {
            path: await asyncio.to_thread(read_text, path) for path in secret_files(desired)
        }
        return {**standalone_lineages(self._state), **wanted_lineages(desired, secrets)}

    def next(self, lineage: Lineage) -> Action:
        """What is to be done for a lineage next, and when."""
        return self._next(lineage, self._state.memory(lineage.name), self._ledger())

    def _next(self, lineage: Lineage, recorded: Memory, ledger: Ledger) -> Action:
        now = self._clock.now()
        memory = memories.settled(recorded, now)
        if memory is not recorded:  # else what the clock has set back would begin anew each time
            self._put(memory)
        return next_action(lineage, self._lineages.held(lineage.name), memory, ledger, now)

    def _ledger(self) -> Ledger:
        now = self._clock.now()
        self._state.no_ledger_after(now)
        return Ledger(self._state.ledger_since(now - WEEK), now)

    async def views(self) -> list[CertificateView]:
        """Of every lineage that is wanted, and of those that are only there."""
        wanted, ledger, known = await self.wanted(), self._ledger(), self._state.memories()
        others = (name for name in self._lineages.names() if name not in wanted)
        views = [
            self._view(lineage, known.get(lineage.name) or Memory(lineage.name), ledger)
            for lineage in wanted.values()
        ]
        return [*views, *map(self._view_of_other, others)]

    def _view_of_other(self, name: str) -> CertificateView:
        held = self._lineages.held(name)
        return CertificateView(
            name=name,
            names=held.names if held else (),
            issuer=held.issuer if held else "",
            serial=held.serial if held else "",
            not_before=held.not_before if held else None,
            not_after=held.not_after if held else None,
            wanted=False,
            folder=self._lineages.folder(name),
            next="nothing",
            why=f"the file in force has no site {name} that it is for",
        )

    def _view(self, lineage: Lineage, memory: Memory, ledger: Ledger) -> CertificateView:
        held, action = self._lineages.held(lineage.name), self._next(lineage, memory, ledger)
        given = self._lineages.current(lineage.name)
        troubles = (memory.deploy_trouble, memory.last_trouble)
        return CertificateView(
            name=lineage.name,
            names=lineage.names,
            issuer=held.issuer if held else "",
            serial=held.serial if held else "",
            not_before=held.not_before if held else None,
            not_after=held.not_after if held else None,
            served=held is not None and memory.served == held.serial,
            folder=self._lineages.folder(lineage.name) if held else "",
            next=action.kind,
            next_at=action.at if action.at != NEVER else None,
            why=action.why,
            error=next((trouble.error for trouble in troubles if trouble), ""),
            given_until=given.not_after if given else None,
            warning=warning(given, memory, self._clock.now()),
            ledger=tuple(
                LimitView(limit=u.limit, of=u.of, used=u.used, most=u.most, free_at=u.free_at)
                for u in ledger.uses(lineage.issuers[0], lineage.names)
            ),
        )

    async def renew(self, name: str | None, change: Change, *, force: bool) -> None:
        """Do what is due, or asked for, and follow it to its end. Failed if one of them fails."""
        wanted = await self.wanted()
        if name is not None and name not in wanted:
            raise NotFound(f"there is no certificate {name!r}; there is {', '.join(wanted)}")
        lineages = [wanted[name]] if name else list(wanted.values())
        troubles = [await self._renew(lineage, change, force=force) for lineage in lineages]
        if failed := [trouble for trouble in troubles if trouble]:
            raise Failed("\n".join(failed))

    async def _renew(self, lineage: Lineage, change: Change, *, force: bool) -> str:
        """What went wrong; empty if it went well, or nothing was due."""
        if force:
            memory = self._state.memory(lineage.name)
            self._put(memories.forced(memory, self._clock.now()))
        end = self._clock.monotonic() + RENEW_WITHIN
        begun = False
        while self._clock.monotonic() < end:
            now, action = self._clock.now(), self.next(lineage)
            busy = lineage.name in self._under_way
            if not busy and (action.kind == "ask_ari" or not action.due(now)):
                memory = self._state.memory(lineage.name)
                if begun and memory.last_trouble:
                    return f"{lineage.name}: {memory.last_trouble.error}"
                if begun and (other := self._troubles.of(f"certificate {lineage.name}")):
                    return f"{lineage.name}: {other}"
                done = "done" if begun else f"skipped, not due before {_moment(action.at)}"
                change.say(f"{lineage.name}: {done}: {action.why}")
                return ""
            begun = begun or action.kind in {"issue", "deploy"}
            change.say(f"{lineage.name}: {action.kind}: {action.why}")
            self.wake()
            await self._clock.sleep(0.2)
        return f"{lineage.name}: not ended within {RENEW_WITHIN:g} s; it goes on"

    async def issue(self, name: str, change: Change) -> None:
        """Obtain one at once where there is none that does, whatever it would wait for."""
        lineage = (await self.wanted()).get(name)
        missing = lineage is not None and self._misses(lineage)
        await self.renew(name, change, force=missing)
        if lineage is not None and self._misses(lineage):
            action = self.next(lineage)
            raise Failed(f"{name}: not before {_moment(action.at)}: {action.why}")
        if held := self._lineages.held(name):
            folder, until = self._lineages.folder(name), _moment(held.not_after)
            change.say(f"{name}: {folder}/fullchain.pem and privkey.pem are good until {until}")

    async def issue_standalone(self, name: str, change: Change, *, force: bool) -> None:
        """The same for one that no site is for; it is kept only if it could be obtained."""
        try:
            await (self.renew(name, change, force=True) if force else self.issue(name, change))
        except PorticoError:
            if self._lineages.held(name) is None:
                forget(self._state, name)
            raise

    def _misses(self, lineage: Lineage) -> bool:
        return is_missing(lineage, self._lineages.held(lineage.name), self._clock.now())

    async def revoke(self, name: str) -> None:
        """Revoke the certificate held, and want another one."""
        lineage, held = (await self.wanted()).get(name), self._lineages.held(name)
        if lineage is None or held is None:
            raise NotFound(f"there is no certificate of an authority for {name!r}")
        issuer = next((i for i in lineage.issuers if i.directory == held.issuer), None)
        if issuer is None:
            raise Refused(f"{name} was signed by {held.issuer}, which is not asked any more")
        await self._authorities.revoke(issuer, held, SUPERSEDED)
        self._put(memories.forced(self._state.memory(name), self._clock.now()))
        self.wake()

    async def _look(self) -> None:
        """One pass over all lineages: begin what is due, and nothing else."""
        try:
            wanted = await self.wanted()
            by_nginx = any(each.behind_nginx for each in wanted.values())
            if by_nginx and not self._state.setting(THUMBPRINT):
                await self._answer_challenges()
        except PorticoError as error:
            self._troubles.report("certificates", f"cannot obtain certificates: {error}")
            return
        self._troubles.over("certificates")
        ledger, known = self._ledger(), self._state.memories()
        for lineage in wanted.values():
            memory = known.get(lineage.name) or Memory(lineage.name)
            self._warn(lineage, memory)
            action = self._next(lineage, memory, ledger)
            if action.due(self._clock.now()) and lineage.name not in self._under_way:
                self._under_way.add(lineage.name)
                self._tasks.create_task(
                    self._act(lineage, action), name=f"certificate {lineage.name}"
                )

    def _warn(self, lineage: Lineage, memory: Memory) -> None:
        """Once for each threshold: nobody else tells the operator."""
        subject = f"expiry of {lineage.name}"
        given = self._lineages.current(lineage.name)
        if said := warning(given, memory, self._clock.now()):
            self._troubles.report(subject, said)
        else:
            self._troubles.over(subject)

    async def _answer_challenges(self) -> None:
        """From now on nginx answers HTTP-01: one reload, before the first order."""
        self._state.put_setting(THUMBPRINT, await self._authorities.thumbprint())
        await self._deploying.render_again()

    async def _act(self, lineage: Lineage, action: Action) -> None:
        """Do one thing for one lineage. What goes wrong is remembered, and waits its time."""
        log.info("certificate %s: %s: %s", lineage.name, action.kind, action.why)
        try:
            match action.kind:
                case "issue":
                    await self._issue(lineage, action)
                case "deploy":
                    async with self._at_once:
                        await self._deploying.deploy(lineage)
                case "ask_ari":
                    async with self._at_once:
                        await self._ask_when(lineage, action)
                case _:
                    pass
        except PorticoError as error:
            self._troubles.report(f"certificate {lineage.name}", str(error))
        finally:
            self._under_way.discard(lineage.name)
            self.wake()

    # Obtaining

    async def _issue(self, lineage: Lineage, action: Action) -> None:
        issuer = action.issuer
        if issuer is None:
            return
        held = self._lineages.held(lineage.name)
        order = f"{folder_name(lineage.name)}.{(held.generation if held else 0) + 1}"
        asked = issuer
        if action.staging and issuer.staging:
            asked, order = replace(issuer, directory=issuer.staging), f"{order}.staging"
        if lineage.preflight:
            async with self._at_once:
                await self._look_ahead(lineage, issuer, asked, order)
        async with AsyncExitStack() as way:
            try:
                await way.enter_async_context(self._way(lineage))
            except Failed as error:
                self._remember_trouble(lineage, issuer, error)
                raise
            async with self._at_once:
                await self._order(lineage, action, issuer, asked, order)

    def _way(self, lineage: Lineage) -> AbstractAsyncContextManager[None]:
        """To whoever answers the authority."""
        if any(each.kind == "tls-alpn-01" for each in lineage.challenges):
            return self._passage.through(self._deploying.render_again)
        return nullcontext()

    async def _order(
        self, lineage: Lineage, action: Action, issuer: Issuer, asked: Issuer, order: str
    ) -> None:
        try:
            obtained = await self._obtain(
                lineage, asked, order, action.replaces, exempt=action.exempt
            )
        except AuthorityError as error:
            self._remember_trouble(lineage, issuer, error, error.retry_at)
            raise
        memory = self._state.memory(lineage.name)
        if action.staging:
            self._state.put_memory(memories.tried(memory, lineage))
        else:
            about = About(asked.directory, lineage.profile_at(asked), staging=asked.is_staging)
            try:
                await self._lineages.store(
                    lineage.name, lineage.names, obtained.chain, obtained.key, about
                )
            except Failed as error:
                self._remember_trouble(lineage, issuer, error)
                raise
            self._state.put_memory(memories.issued(memory))
        await self._authorities.forget(order)
        self._troubles.over(f"certificate {lineage.name}")

    async def order_for_trial(self, lineage: Lineage, staging: Issuer, order: str) -> Obtained:
        """Order on staging and book it there; nothing is remembered of it with the lineage."""
        if lineage.preflight and (found := await self._foreseen(lineage, staging, order)):
            raise Failed("; ".join(map(str, found)))
        if refusal := self._ledger().refusal(staging, lineage.names):
            raise Refused(f"{refusal.why}; not before {_moment(refusal.until)}")
        async with self._way(lineage), self._at_once:
            return await self._obtain(lineage, staging, order, "", exempt=False)

    async def forget_trial(self, order: str) -> None:
        await self._authorities.forget(order)

    async def _obtain(
        self, lineage: Lineage, asked: Issuer, order: str, replaces: str, *, exempt: bool
    ) -> Obtained:
        """What the authority counts is booked, before it is sent and when it has ended."""
        self._enter("order", lineage, asked, order, exempt=exempt)
        try:
            obtained = await self._authorities.issue(lineage, asked, order, replaces or None)
        except AuthorityError as error:
            self._book_failure(lineage, asked, order, error)
            raise
        self._enter("certificate", lineage, asked, order, exempt=obtained.replaced)
        return obtained

    async def _look_ahead(
        self, lineage: Lineage, issuer: Issuer, asked: Issuer, order: str
    ) -> None:
        """Raises Failed with all that would make the order fail: then none is sent or counted."""
        try:
            found = await self._foreseen(lineage, asked, order)
        except AuthorityError as error:
            self._remember_trouble(lineage, issuer, error, error.retry_at)
            raise
        if found:
            why = "; ".join(map(str, found))
            refusal = Failed(f"no order was sent, for it would fail: {why}")
            self._remember_trouble(lineage, issuer, refusal)
            raise refusal

    async def _foreseen(self, lineage: Lineage, asked: Issuer, order: str) -> list[Finding]:
        if found := list(name_findings(lineage, asked)):
            return found
        folders = self._lineages.folders(lineage.name)
        seen = await self._authorities.preflight(lineage, asked, order, folders)
        return list(findings(lineage, asked, seen))

    def _book_failure(
        self, lineage: Lineage, asked: Issuer, order: str, error: AuthorityError
    ) -> None:
        if error.unproven:
            self._enter("failed_validation", lineage, asked, order, names=error.unproven)
        self._enter("abandoned", lineage, asked, order)
        if error.limited and error.retry_at:
            self._enter("limited", lineage, asked, order, until=error.retry_at)

    def _remember_trouble(
        self, lineage: Lineage, issuer: Issuer, error: Failed, retry_at: float | None = None
    ) -> None:
        self._put(
            memories.failed(
                self._state.memory(lineage.name),
                issuer.directory,
                str(error),
                held=self._lineages.held(lineage.name),
                now=self._clock.now(),
                draw=self._clock.jitter(),
                retry_at=retry_at,
            )
        )

    def _enter(  # noqa: PLR0913 - an entry of the ledger has as many parts
        self,
        kind: EntryKind,
        lineage: Lineage,
        issuer: Issuer,
        order: str,
        *,
        names: tuple[str, ...] | None = None,
        exempt: bool = False,
        until: float | None = None,
    ) -> None:
        entry = Entry(
            self._clock.now(),
            issuer.directory,
            kind,
            lineage.names if names is None else names,
            order,
            exempt=exempt,
            until=until,
        )
        self._state.add_ledger([entry])

    def _put(self, memory: Memory) -> None:
        self._state.put_memory(memory)

    async def _ask_when(self, lineage: Lineage, action: Action) -> None:
        held = self._lineages.held(lineage.name)
        if held is None or action.issuer is None:
            return
        try:
            start, end, page, again = await self._authorities.renewal_window(action.issuer, held)
            answer = Told(again, start, end, page)
        except AuthorityError as error:
            answer = Told(error.retry_at, why=str(error))
        memory = self._state.memory(lineage.name)
        now, draw = self._clock.now(), self._clock.jitter()
        self._put(memories.told(memory, held, answer, now=now, draw=draw))


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" if at != NEVER else "ever"

"""Keeps the certificates of authorities: obtains them one by one, and deploys them in batches.

Serving never waits for any of this. A site is served with a local certificate until its own is
there, and with the last good one for as long as nothing better is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from portico.core.model.certificate import (
    Lineage,
    RenewalState,
)
from portico.core.model.certificate_views import CertificateView, LimitView
from portico.core.model.desired import Desired
from portico.core.model.moments import moment
from portico.core.planning import renewal_state
from portico.core.planning.expiry import warning
from portico.core.planning.hooks import hook_sentence
from portico.core.planning.ledger import Ledger
from portico.core.planning.lineages import secret_files, wanted_lineages
from portico.core.planning.omitted_names import left_out_text
from portico.core.planning.own_pairs import not_renewed
from portico.core.planning.renewal import NEVER, Action, ActionKind, is_missing
from portico.engine.batches import in_batches
from portico.engine.certificates.account import AccountKeeper
from portico.engine.certificates.alpn_passthrough import AlpnPassthrough
from portico.engine.certificates.deployment import Deployment
from portico.engine.certificates.issuance import Issuance
from portico.engine.certificates.sharing import CertificateSharing
from portico.engine.certificates.standalone import forget, standalone_lineages
from portico.engine.certificates.work_queue import WorkQueue
from portico.engine.changes import Change
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.engine.troubles import INTERNAL_ERROR
from portico.errors import Failed, NotFound, PorticoError, Refused
from portico.ports.certificates import Authorities, Lineages
from portico.system.text import read_text

log = logging.getLogger(__name__)

LOOK_INTERVAL: Final = 30.0
"""Seconds, on the wall clock's own terms: a suspended machine or a stepped clock costs no more."""
ACTION_ORDER: Final[tuple[ActionKind, ...]] = ("deploy", "issue", "hook", "ask_ari")
"""What protects a name comes before what can wait."""
REQUESTED_ACTIONS: Final[frozenset[ActionKind]] = frozenset({"deploy", "issue", "hook"})
"""What a renewal by hand waits for."""
YIELD_INTERVAL: Final = 250
"""Lineages that are looked at in one go: some 10 ms."""
ANSWER_TIMEOUT: Final = 30.0
"""Seconds that a command waits until all machines of a cluster answer for the account."""
RENEW_TIMEOUT: Final = 900.0


class CertificateLoop:
    """A task of its own. Whatever goes wrong with one lineage is remembered with it alone."""

    def __init__(  # noqa: PLR0913 - a certificate passes through all of these
        self,
        engine: Engine,
        in_force: InForce,
        deployment: Deployment,
        *,
        authorities: Authorities,
        lineages: Lineages,
        passthrough: AlpnPassthrough,
        sharing: CertificateSharing | None = None,
    ) -> None:
        clock, state = engine.clock, engine.state
        self._intent, self._in_force, self._troubles = engine.intent, in_force, engine.troubles
        self._authorities, self._clock = authorities, clock
        self._lineages, self._passthrough, self._state = lineages, passthrough, state
        self._sharing = sharing
        self.issuance = Issuance(
            engine,
            self._challenge_route,
            authorities=authorities,
            lineages=lineages,
            sharing=sharing,
        )
        self.account = AccountKeeper(
            in_force, authorities=authorities, sharing=sharing, state=state
        )
        self._read: tuple[Desired, Mapping[str, str], Mapping[str, Lineage]] | None = None
        self._queue = WorkQueue(
            engine, self.wanted_lineages, self.issuance, self.account, deployment
        )
        self._deploy_hooks = deployment.hooks
        self._known: frozenset[str] = frozenset()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_INTERVAL):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def wanted_lineages(self) -> Mapping[str, Lineage]:
        """Every lineage of the file in force, and those that no site is for, by name."""
        desired = self._intent.desired
        secrets, unreadable = dict[str, str](), dict[str, str]()
        for path in sorted(set(secret_files(desired))):
            try:
                secrets[path] = await asyncio.to_thread(read_text, Path(path))
            except Failed as error:  # which stops those alone that need it
                unreadable[path] = str(error)
        read = secrets | unreadable
        if self._read is None or self._read[0] is not desired or self._read[1] != read:
            lineages = await asyncio.to_thread(wanted_lineages, desired, secrets, unreadable)
            if self._sharing:
                lineages = {
                    name: replace(each, problem=each.problem or self._sharing.problem(each))
                    for name, each in lineages.items()
                }
            self._read = desired, read, lineages
        return {**standalone_lineages(self._state), **self._read[2]}

    async def views(self) -> list[CertificateView]:
        """Of every lineage that is wanted, and of those that are only there."""
        wanted, ledger, known = (
            await self.wanted_lineages(),
            self.issuance.ledger(),
            self._state.renewal_states(),
        )
        others = (name for name in self._lineages.names() if name not in wanted)
        views = [
            self._view(lineage, known.get(lineage.name) or RenewalState(lineage.name), ledger)
            async for lineage in in_batches(wanted.values(), YIELD_INTERVAL)
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
            why="no site in the file in force uses it",
        )

    def _view(self, lineage: Lineage, renewal: RenewalState, ledger: Ledger) -> CertificateView:
        held, action = (
            self._lineages.held(lineage.name),
            self.issuance.next_of(lineage, renewal, ledger, blocked_first=True),
        )
        given = self._lineages.current(lineage.name)
        is_served = held is not None and renewal.served == held.serial
        troubles = (renewal.deploy_trouble, renewal.last_trouble, renewal.hook_trouble)
        return CertificateView(
            name=lineage.name,
            names=lineage.names,
            issuer=held.issuer if held else "",
            serial=held.serial if held else "",
            not_before=held.not_before if held else None,
            not_after=held.not_after if held else None,
            served=is_served,
            served_since=renewal.served_at if is_served else None,
            folder=self._lineages.folder(lineage.name) if held else "",
            next=action.kind,
            next_at=action.at if action.at != NEVER else None,
            why=action.why,
            error=lineage.problem
            or next((each.error for each in troubles if each), "")
            or left_out_text(lineage, renewal),
            given_until=given.not_after if given else None,
            warning=warning(given, renewal, self._clock.now()),
            ledger=tuple(
                LimitView(limit=u.limit, of=u.of, used=u.used, most=u.most, free_at=u.free_at)
                for u in (
                    *ledger.uses(lineage.issuers[0], lineage.names),
                    *ledger.accounts(lineage.issuers[0]),
                )
            ),
        )

    async def renew(self, name: str | None, change: Change, *, force: bool) -> None:
        """Do what is due, or asked for, and follow it to its end. Failed if one of them fails."""
        wanted = await self.wanted_lineages()
        lineages = self.select(wanted, name)
        if force:
            for lineage in lineages:
                await self.obtain_here(lineage, "renew", change)
        await self.account.publish_thumbprint(wanted)
        begun = {
            lineage.name
            async for lineage in in_batches(lineages, YIELD_INTERVAL)
            if self._begin(lineage, force=force)
        }
        troubles = [
            await self._follow(lineage, change, begun=lineage.name in begun, force=force)
            async for lineage in in_batches(lineages, YIELD_INTERVAL)
        ]
        if failed := [trouble for trouble in troubles if trouble]:
            raise Failed("\n".join(failed))

    async def obtain_here(self, lineage: Lineage, act: str, change: Change) -> None:
        """Have this machine of the cluster be the one that does it; Refused where none can now."""
        await self.prepare_to_obtain([lineage], change)
        self.assert_obtained_here(lineage, act)

    async def prepare_to_obtain(self, lineages: Sequence[Lineage], change: Change) -> None:
        """Have this machine of the cluster be the one that does it for all of them, as soon as the
        others answer for it; some may not, after ANSWER_TIMEOUT in all.
        """
        shared = [each for each in lineages if each.behind_nginx]
        if self._sharing and shared:
            await self.take_role(change)
            await self._wait_for_answers(self._sharing, shared, change)

    def assert_obtained_here(self, lineage: Lineage, act: str) -> None:
        """Raises Refused where this machine cannot now."""
        if self._sharing and (why := self._sharing.hindrance(lineage)):
            raise Refused(f"cannot {act} {lineage.name} on this machine: {why}")

    async def _wait_for_answers(
        self, sharing: CertificateSharing, lineages: Sequence[Lineage], change: Change
    ) -> None:
        """Each machine has to take over the account's key first, and say so in the store."""
        deadline = self._clock.monotonic() + ANSWER_TIMEOUT
        while why := next(filter(None, map(sharing.why_unanswered, lineages)), ""):
            if self._clock.monotonic() >= deadline:
                return
            change.say(f"waiting: {why}")
            await self._clock.sleep(0.2)

    async def take_role(self, change: Change) -> None:
        """In a cluster that shares certificates, become the machine that obtains them."""
        if self._sharing:
            await self._sharing.take_role(change.say)

    def select(self, wanted: Mapping[str, Lineage], name: str | None) -> list[Lineage]:
        """The one of this name, or all. Raises NotFound, which says what else the name has."""
        if name is None:
            return list(wanted.values())
        if name not in wanted:
            known = f"there is no certificate {name!r}; known: {', '.join(wanted) or 'none'}"
            raise NotFound(not_renewed(self._intent.desired, name) or known)
        return [wanted[name]]

    def _begin(self, lineage: Lineage, *, force: bool) -> bool:
        """Queue what is due, or asked for; whether there is anything."""
        if force:
            renewal = self._state.renewal_state(lineage.name)
            self._state.put_renewal_state(renewal_state.after_request(renewal, self._clock.now()))
        self._state.put_renewal_state(
            renewal_state.hooks_due_at_once(
                self._state.renewal_state(lineage.name), self._clock.now()
            )
        )
        self._queue.end_rest(lineage.name)
        action = self.issuance.next(lineage)
        if action.kind not in REQUESTED_ACTIONS or not action.due(self._clock.now()):
            return False
        self._queue.add(lineage, action)
        return True

    async def _follow(self, lineage: Lineage, change: Change, *, begun: bool, force: bool) -> str:
        """What went wrong; empty if it went well, or nothing was due or asked for."""
        end = self._clock.monotonic() + RENEW_TIMEOUT
        while self._clock.monotonic() < end:
            action = self.issuance.next(lineage)
            now = self._clock.now()  # later: what is due at once is due by then
            busy = self._queue.is_busy(lineage.name)
            if begun and not busy and self._queue.is_resting(lineage.name):
                return f"{lineage.name}: {INTERNAL_ERROR}"
            if not busy and (action.kind == "ask_ari" or not action.due(now)):
                return self._outcome(lineage, action, change, begun=begun, force=force)
            begun = begun or action.kind in REQUESTED_ACTIONS
            change.say(f"{lineage.name}: {action.kind}: {action.why}")
            self._queue.add(lineage, action)
            self._queue.start_workers()
            await self._clock.sleep(0.2)
        still = f"still running after {RENEW_TIMEOUT:g} s; continuing in the background"
        return f"{lineage.name}: {still}"

    def _outcome(
        self, lineage: Lineage, action: Action, change: Change, *, begun: bool, force: bool
    ) -> str:
        name, renewal = lineage.name, self._state.renewal_state(lineage.name)
        if action.kind == "issue" and action.at == NEVER:
            return f"{name}: {lineage.problem or action.why}"
        if begun and renewal.last_trouble:
            return f"{name}: {renewal.last_trouble.error}"
        if begun and (other := self._troubles.of(f"certificate {name}")):
            return other
        if begun and (hook := hook_sentence(renewal)):
            return hook
        if force and (not begun or renewal.forced is not None):
            return f"{name}: not before {moment(action.at)}: {action.why}"
        change.say(f"{name}: {self._end_text(name, action, renewal, begun=begun)}")
        if left := left_out_text(lineage, renewal):
            change.say(f"{name}: {left}")
        return ""

    def _end_text(self, name: str, action: Action, renewal: RenewalState, *, begun: bool) -> str:
        current = self._lineages.current(name)
        if not begun or current is None:
            return f"skipped, not due before {moment(action.at)}: {action.why}"
        act = "obtained" if current.generation == 1 else "renewed"
        since = f", served since {moment(renewal.served_at)}" if renewal.served_at else ""
        return f"{act}, valid until {moment(current.not_after)}{since}"

    async def issue(self, name: str, change: Change) -> None:
        """Obtain one at once where there is none that does, whatever it would wait for."""
        lineage = (await self.wanted_lineages()).get(name)
        missing = lineage is not None and self._is_missing(lineage)
        if lineage and missing:
            await self.obtain_here(lineage, "issue", change)
        await self.renew(name, change, force=missing)
        if lineage is not None and self._is_missing(lineage):
            action = self.issuance.next(lineage)
            raise Failed(f"{name}: not before {moment(action.at)}: {action.why}")
        if held := self._lineages.held(name):
            folder, until = self._lineages.folder(name), moment(held.not_after)
            change.say(f"{name}: {folder}/fullchain.pem and privkey.pem are valid until {until}")

    async def issue_standalone(self, name: str, change: Change, *, force: bool) -> None:
        """The same for one that no site is for; it is kept only if it could be obtained."""
        try:
            await (self.renew(name, change, force=True) if force else self.issue(name, change))
        except PorticoError:
            if self._lineages.held(name) is None:
                forget(self._state, name)
            raise

    def _is_missing(self, lineage: Lineage) -> bool:
        held, renewal = (
            self._lineages.held(lineage.name),
            self._state.renewal_state(lineage.name),
        )
        return is_missing(lineage, held, renewal, self._clock.now())

    async def look(self) -> None:
        """One pass over all lineages: find what is due. Whoever it is done for by then is left."""
        self._woken.clear()
        try:
            wanted = await self.wanted_lineages()
            if self._sharing:
                await self._sharing.look(wanted)
            await self.account.publish_thumbprint(wanted)
        except PorticoError as error:
            self._troubles.report("certificates", f"cannot obtain certificates: {error}")
            return
        self._troubles.resolve("certificates")
        for gone in self._known - wanted.keys():
            self._troubles.resolve_all_of(f"certificate {gone}")
        self._known = frozenset(wanted)
        ledger, known = self.issuance.ledger(), self._state.renewal_states()
        due: list[tuple[int, Lineage, Action]] = []
        async for lineage in in_batches(wanted.values(), YIELD_INTERVAL):
            renewal = known.get(lineage.name) or RenewalState(lineage.name)
            of = f"certificate {lineage.name}"
            with self._troubles.fence(f"check of {of}", of=of):
                self._warn(lineage, renewal)
                await self._deploy_hooks.keep(lineage, renewal)
                action = self.issuance.next_of(lineage, renewal, ledger)
                if action.due(self._clock.now()) and not self._queue.is_resting(lineage.name):
                    due.append((ACTION_ORDER.index(action.kind), lineage, action))
        self._queue.clear()
        for _, lineage, action in sorted(due, key=lambda each: each[0], reverse=True):
            self._queue.add(lineage, action)
        self._queue.start_workers()

    def _warn(self, lineage: Lineage, renewal: RenewalState) -> None:
        """Once for each threshold: nobody else tells the operator."""
        given = self._lineages.current(lineage.name)
        self._report(lineage, "expiry", warning(given, renewal, self._clock.now()))
        self._report(lineage, "settings", lineage.problem)
        self._report(lineage, "names", left_out_text(lineage, renewal))

    def _report(self, lineage: Lineage, what: str, sentence: str) -> None:
        subject, of = f"{what} of {lineage.name}", f"certificate {lineage.name}"
        if sentence:
            self._troubles.report(subject, f"{of}: {sentence}", of=of)
        else:
            self._troubles.resolve(subject)

    def _challenge_route(self, lineage: Lineage) -> AbstractAsyncContextManager[None]:
        """To whoever answers the authority."""
        if any(each.kind == "tls-alpn-01" for each in lineage.challenges):
            return self._passthrough.enable(self._in_force.render_again)
        return nullcontext()

"""Obtains certificates: what an order leads to is on disk before anything else can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from functools import partial

from portico.core.model.certificate import (
    ISSUE_COUNT_PERIOD,
    Entry,
    EntryKind,
    Issuer,
    Lineage,
    Provenance,
    Refusal,
    RenewalState,
)
from portico.core.model.moments import moment
from portico.core.model.names import folder_name
from portico.core.model.order import NewCertificate, Order
from portico.core.planning import renewal_state
from portico.core.planning.ledger import Ledger
from portico.core.planning.omitted_names import names_to_leave_out
from portico.core.planning.preflight import Finding, findings, name_findings
from portico.core.planning.renewal import Action, end_of_wait, is_urgent, next_action
from portico.core.planning.renewal_state import Attempt, RenewalAnswer
from portico.engine.certificates.sharing import CertificateSharing
from portico.engine.engine import Engine
from portico.errors import Failed, Refused
from portico.ports.certificates import Authorities, AuthorityError, Lineages


class Issuance:
    """For one lineage at a time; several may be under way, and share one ledger."""

    def __init__(
        self,
        engine: Engine,
        challenge_route: Callable[[Lineage], AbstractAsyncContextManager[None]],
        *,
        authorities: Authorities,
        lineages: Lineages,
        sharing: CertificateSharing | None,
    ) -> None:
        """While inside `challenge_route` an authority is answered. `sharing` is None where
        certificates are this machine's alone.
        """
        self._challenge_route = challenge_route
        self._clock, self._state, self._events = engine.clock, engine.state, engine.events
        self._authorities, self._lineages, self._sharing = authorities, lineages, sharing
        self._counted: tuple[int, Ledger] | None = None

    def next(self, lineage: Lineage) -> Action:
        """What is to be done for a lineage next, and when."""
        return self.next_of(lineage, self._state.renewal_state(lineage.name), self.ledger())

    def next_of(
        self,
        lineage: Lineage,
        recorded: RenewalState,
        ledger: Ledger,
        *,
        blocked_first: bool = False,
    ) -> Action:
        """The same, where all is read already; `blocked_first` as in `next_action`."""
        now = self._clock.now()
        renewal = renewal_state.clamped_to_clock(recorded, now)
        if renewal is not recorded:  # else what the clock has set back would begin anew each time
            renewal = renewal_state.clamped_to_clock(self._state.renewal_state(lineage.name), now)
            self._state.put_renewal_state(renewal)
        return next_action(
            lineage,
            self._lineages.held(lineage.name),
            renewal,
            ledger,
            now,
            blocked_first=blocked_first,
            elsewhere=self._sharing.hindrance(lineage) if self._sharing else "",
        )

    def ledger(self) -> Ledger:
        """Of now. Thousands of entries are counted anew only when there is another one."""
        now, last = self._clock.now(), self._state.last_entry()
        if self._counted is None or self._counted[0] != last or now < self._counted[1].now:
            self._state.no_ledger_after(now)
            entries = self._state.ledger_since(now - ISSUE_COUNT_PERIOD)
            if self._sharing:  # lines of other machines were added when they were heard of
                entries.sort(key=lambda entry: entry.at)
            self._counted = last, Ledger(entries, now)
        return self._counted[1].at(now)

    async def issue(self, lineage: Lineage, action: Action) -> None:
        """Raises Failed; what has failed is remembered then."""
        issuer = action.issuer
        if issuer is None:
            return
        asked, name = issuer, self._order_name(lineage, 1)
        if action.staging and issuer.staging:
            asked, name = replace(issuer, directory=issuer.staging), f"{name}.staging"
        whole, lineage = lineage, replace(lineage, names=action.names or lineage.names)
        order = Order(lineage, asked, name, action.replaces or None)
        if lineage.preflight and not await self._look_ahead(whole, issuer, order):
            return
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._challenge_route(lineage))
            except Failed as error:
                self._remember_trouble(whole, issuer, error)
                raise
            if not self._is_another(action, whole):
                try:
                    await self._order(whole, action, issuer, order)
                except Failed:
                    await self._share(whole)
                    raise
                await self._share(whole)

    async def _share(self, lineage: Lineage) -> None:
        if self._sharing:
            await self._sharing.share(lineage)

    def _order_name(self, lineage: Lineage, later: int) -> str:
        """Of the order for the certificate that follows the one held by so many; the same on all
        machines that share it.
        """
        name = folder_name(lineage.name)
        if self._sharing and lineage.behind_nginx:
            return f"{name}.c{self._sharing.number(lineage.name) + later}"
        held = self._lineages.held(lineage.name)
        return f"{name}.{(held.generation if held else 0) + later}"

    async def _order(self, whole: Lineage, action: Action, issuer: Issuer, order: Order) -> None:
        lineage, asked = order.lineage, order.issuer
        shared = "" if action.staging else order.name
        try:
            obtained = await self._obtain(order, exempt=action.exempt, shared=shared)
        except AuthorityError as error:
            if self._leave_out(whole, lineage, error.wrong):
                return
            self._remember_trouble(whole, issuer, error, error.retry_at)
            raise
        self._note_attempt(reached=True)
        renewal = self._state.renewal_state(lineage.name)
        if action.staging:
            self._state.put_renewal_state(renewal_state.after_staging(renewal, lineage))
        else:
            about = Provenance(
                asked.directory, lineage.profile_at(asked), staging=asked.is_staging
            )
            try:
                await self._lineages.store(
                    lineage.name, lineage.names, obtained.chain, obtained.key, about
                )
            except Failed as error:
                self._remember_trouble(whole, issuer, error)
                raise
            self._state.put_renewal_state(renewal_state.after_issuance(renewal, lineage.names))
        await self._authorities.forget(order.name)

    async def clear(self, lineage: Lineage) -> None:
        """Remove what a daemon that died has left of the order for the certificate held: its key
        would lie there for ever.
        """
        if self._lineages.held(lineage.name):
            order = self._order_name(lineage, 0)
            await self._authorities.forget(order)
            await self._authorities.forget(f"{order}.staging")

    async def order_for_trial(
        self, lineage: Lineage, staging: Issuer, order: str
    ) -> NewCertificate:
        """Order on staging and book it there; nothing is remembered of it with the lineage."""
        trial = Order(lineage, staging, order)
        if lineage.preflight and (found := await self._preflight_findings(trial)):
            raise Failed("; ".join(map(str, found)))
        if refusal := self.ledger().refusal(staging, lineage.names):
            raise Refused(f"{refusal.why}; not before {moment(refusal.until)}")
        async with self._challenge_route(lineage):
            return await self._obtain(trial, exempt=False)

    async def forget_trial(self, order: str) -> None:
        await self._authorities.forget(order)

    async def _obtain(self, order: Order, *, exempt: bool, shared: str = "") -> NewCertificate:
        """What the authority counts is booked, before it is sent and when it has ended. `shared`
        is its name where another machine may continue it.
        """
        is_continued = bool(shared and self._sharing and self._sharing.has_order(order.lineage))
        directory, names = order.issuer.directory, order.lineage.names
        if not (is_continued and self.ledger().is_counted(directory, order.name, names)):
            self._add_entry("order", order, exempt=exempt)
        keep = await self._sharing.begin(order.lineage, shared) if self._sharing else None
        try:
            obtained = await self._authorities.issue(
                order,
                no_account=self._account_refusal(order.lineage, order.issuer),
                made_account=partial(self._add_entry, "account", order),
                note=partial(self._note, order),
                keep=keep,
            )
        except AuthorityError as error:
            self._book_failure(order, error)
            raise
        self._add_entry("certificate", order, exempt=obtained.replaced)
        return obtained

    def _note(self, order: Order, text: str) -> None:
        if order.issuer in order.lineage.issuers:  # staging, for one, has other chains
            self._events.note("certificate", order.lineage.name, text)

    def _account_refusal(self, lineage: Lineage, asked: Issuer) -> Refusal | None:
        ledger, held = self.ledger(), self._lineages.held(lineage.name)
        refusal, now = ledger.account_refusal(asked), self._clock.now()
        if refusal and held and end_of_wait(held, refusal.until, now) <= now:
            return ledger.account_refusal(asked, exempt=True)
        return refusal

    def _is_another(self, action: Action, lineage: Lineage) -> bool:
        """Looking ahead takes a while, in which others may have used the limits up."""
        now = self.next(lineage)
        same = (now.kind, now.issuer, now.staging, now.names) == (
            action.kind,
            action.issuer,
            action.staging,
            action.names,
        )
        return not same or not now.due(self._clock.now())

    async def _look_ahead(self, whole: Lineage, issuer: Issuer, order: Order) -> bool:
        """Whether the order may be sent. Raises Failed with all that would make it fail, unless it
        is single names, which are left out: then none is sent or counted.
        """
        try:
            found = await self._preflight_findings(order)
        except AuthorityError as error:
            self._remember_trouble(whole, issuer, error, error.retry_at)
            raise
        if found:
            if self._leave_out(whole, order.lineage, _by_name(found), foreseen=True):
                return False
            why = "; ".join(map(str, found))
            refusal = Failed(f"order not placed because it would fail: {why}")
            self._remember_trouble(whole, issuer, refusal, foreseen=True)
            raise refusal
        return True

    def _leave_out(
        self, whole: Lineage, lineage: Lineage, wrong: Mapping[str, str], *, foreseen: bool = False
    ) -> bool:
        """Whether the others can be ordered without the names that are wrong, and will be."""
        renewal, now = self._state.renewal_state(lineage.name), self._clock.now()
        held = self._lineages.held(lineage.name)
        urgent = held is None or is_urgent(held, renewal, now)
        left = names_to_leave_out(lineage, wrong, held, urgent=urgent)
        if left:
            attempt = Attempt(held, now, self._clock.jitter(), whole.settings, foreseen)
            self._state.put_renewal_state(renewal_state.left_out(renewal, left, attempt))
        return bool(left)

    async def _preflight_findings(self, order: Order) -> list[Finding]:
        if found := list(name_findings(order.lineage, order.issuer)):
            return found  # the others are looked at when these are left out
        folders = self._lineages.folders(order.lineage.name)
        seen = await self._authorities.preflight(order, folders)
        return list(findings(order.lineage, order.issuer, seen))

    def _book_failure(self, order: Order, error: AuthorityError) -> None:
        if error.unproven:
            self._add_entry("failed_validation", order, names=error.unproven)
        self._add_entry("abandoned", order)
        if error.limited and error.retry_at:
            self._add_entry("limited", order, until=error.retry_at)

    def _remember_trouble(
        self,
        lineage: Lineage,
        issuer: Issuer,
        error: Failed,
        retry_at: float | None = None,
        *,
        foreseen: bool = False,
    ) -> None:
        if isinstance(error, AuthorityError):
            self._note_attempt(reached=not error.unreachable)
        held, before = self._lineages.held(lineage.name), self._state.renewal_state(lineage.name)
        now, random_fraction = self._clock.now(), self._clock.jitter()
        attempt = Attempt(held, now, random_fraction, lineage.settings, foreseen)
        self._state.put_renewal_state(
            renewal_state.after_failure(before, issuer.directory, str(error), attempt, retry_at)
        )

    def _note_attempt(self, *, reached: bool) -> None:
        if self._sharing:
            self._sharing.note_attempt(reached=reached)

    def _add_entry(
        self,
        kind: EntryKind,
        order: Order,
        *,
        names: tuple[str, ...] | None = None,
        exempt: bool = False,
        until: float | None = None,
    ) -> None:
        entry = Entry(
            self._clock.now(),
            order.issuer.directory,
            kind,
            order.lineage.names if names is None else names,
            order.name,
            exempt=exempt,
            until=until,
        )
        self._state.add_ledger([entry])

    async def update_window(self, lineage: Lineage, action: Action) -> None:
        held = self._lineages.held(lineage.name)
        if held is None or action.issuer is None:
            return
        try:
            start, end, page, again = await self._authorities.renewal_window(action.issuer, held)
            answer = RenewalAnswer(again, start, end, page)
        except AuthorityError as error:
            answer = RenewalAnswer(error.retry_at, why=str(error))
        renewal = self._state.renewal_state(lineage.name)
        now, random_fraction = self._clock.now(), self._clock.jitter()
        self._state.put_renewal_state(
            renewal_state.after_renewal_info(
                renewal, held, answer, now=now, random_fraction=random_fraction
            )
        )


def _by_name(found: Sequence[Finding]) -> Mapping[str, str]:
    """None where anything is wrong that is no single name's."""
    wrong: dict[str, str] = {}
    for each in found:
        wrong[each.name] = f"{wrong[each.name]}; {each}" if each.name in wrong else str(each)
    return {} if "" in wrong else wrong

"""What an operator can ask for of certificates and of the accounts that they are obtained with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from portico.core.model.certificate_views import (
    AccountsView,
    CertificateView,
    ExportView,
    ImportView,
    RenewerView,
    StandaloneRequest,
)
from portico.core.model.event import Requester
from portico.core.model.revocation import Reason
from portico.core.model.views import ChangeView
from portico.engine.certificates.assembly import CertificateParts
from portico.engine.certificates.standalone import remember
from portico.engine.changes import Change
from portico.engine.engine import Engine


class CertificateOperations:
    def __init__(self, engine: Engine, certificates: CertificateParts) -> None:
        self._intent, self._changes = engine.intent, engine.changes
        self._certificates = certificates
        self._clock, self._state, self._events = engine.clock, engine.state, engine.events

    async def certificates(self) -> list[CertificateView]:
        """The operator's own first: one of an authority may be there under the same name."""
        return [*self._certificates.own.views(), *await self._certificates.loop.views()]

    async def renewers(self) -> list[RenewerView]:
        return await self._certificates.migration.renewers()

    async def account(self) -> AccountsView:
        return await self._certificates.loop.account.view(
            await self._certificates.loop.wanted_lineages()
        )

    async def renew(
        self, name: str | None, who: Requester, *, force: bool, dry_run: bool
    ) -> ChangeView:
        """Renew what is due, or what is named and forced; waits for nothing that is not. A dry
        run renews on staging, whether due or not, and changes nothing that is served.
        """

        async def work(change: Change) -> None:
            if dry_run:
                await self._certificates.dry_run.renew(name, change)
            else:
                await self._certificates.loop.renew(name, change, force=force)

        kind = "dry run" if dry_run else "renew"
        return self._of_certificate(kind, name or "all certificates", who, work)

    async def issue(self, name: str, who: Requester) -> ChangeView:
        """Obtain the certificate of a site at once, if it has none."""

        async def work(change: Change) -> None:
            await self._certificates.loop.issue(name, change)

        return self._of_certificate("issue", name, who, work)

    async def issue_standalone(self, request: StandaloneRequest, who: Requester) -> ChangeView:
        """Obtain one that no nginx serves, if there is none that is good, and keep it."""

        async def work(change: Change) -> None:
            await self._certificates.loop.issue_standalone(name, change, force=request.force)

        name = remember(self._state, request, self._intent.desired)
        return self._of_certificate("issue", name, who, work)

    async def revoke(
        self, name: str, who: Requester, *, reason: Reason, force: bool
    ) -> ChangeView:
        """Revoke the certificate that is served, once another one is."""

        async def work(change: Change) -> None:
            await self._certificates.revocation.revoke(name, reason, change, force=force)

        return self._of_certificate("revoke", name, who, work)

    async def forget(self, name: str, who: Requester) -> ChangeView:
        """Delete a certificate that no site uses, with its files and keys."""

        async def work(change: Change) -> None:
            await self._certificates.migration.forget(name)
            change.say(f"{name}: certificates and keys removed")

        return self._of_certificate("forget", name, who, work)

    def _of_certificate(
        self, kind: str, name: str, who: Requester, work: Callable[[Change], Awaitable[None]]
    ) -> ChangeView:
        self._events.note_request(kind, name, who)
        return self._changes.begin(kind, name, (), work)

    async def take_over(self, folder: str, who: Requester) -> ImportView:
        """Import what certbot keeps in a folder. Failed if nothing of it can be."""
        view = await self._certificates.migration.take(folder)
        for each in view.taken:
            self._events.note_request("import", each.name, who)
        return view

    async def hand_over(self, folder: str, who: Requester) -> ExportView:
        """Write every certificate into a folder as certbot keeps it."""
        self._events.note_request("export", folder, who)
        return await self._certificates.migration.give(folder)

    async def roll_over(self, who: Requester) -> ChangeView:
        """Give the accounts a new key. Nothing is ordered meanwhile."""

        async def work(change: Change) -> None:
            wanted = await self._certificates.loop.wanted_lineages()
            await self._certificates.loop.take_role(change)
            thumbprint = await self._certificates.loop.account.roll_over(wanted)
            self._certificates.loop.wake()
            change.say(f"the account key was replaced; new thumbprint {thumbprint}")

        return self._of_certificate("rollover", "the account's key", who, work)

    async def deactivate(self, issuer: str, who: Requester) -> ChangeView:
        """Give up the account at an authority, a directory URL, for ever."""

        async def work(change: Change) -> None:
            wanted = await self._certificates.loop.wanted_lineages()
            await self._certificates.loop.take_role(change)
            url = await self._certificates.loop.account.deactivate(issuer, wanted)
            change.say(f"{url} is deactivated permanently; its certificates are still served")
            change.say(
                f"{issuer} accepts no new account with this key; run `portico certs rollover` "
                "to make a new key and continue orders"
            )

        return self._of_certificate("deactivate", issuer, who, work)

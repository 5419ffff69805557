"""Certificates from certbot and to it, and others on this machine who renew beside us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from portico.core.model.certificate import ISSUE_COUNT_PERIOD, Entry, Lineage
from portico.core.model.certificate_views import (
    ExportView,
    ImportedLineageView,
    ImportView,
    RenewerView,
)
from portico.core.model.renewers import ImportedLineage, Renewer
from portico.core.planning.lineages import settings_not_in_file
from portico.engine.certificates.loop import CertificateLoop
from portico.engine.certificates.standalone import forget
from portico.engine.engine import Engine
from portico.errors import Failed, NotFound, PorticoError, Refused
from portico.ports.certificates import Certbot, Lineages

LOOK_INTERVAL: Final = 3600.0


class Migration:
    def __init__(
        self, engine: Engine, loop: CertificateLoop, *, lineages: Lineages, certbot: Certbot
    ) -> None:
        self._intent, self._loop, self._troubles = engine.intent, loop, engine.troubles
        self._clock, self._state = engine.clock, engine.state
        self._lineages, self._certbot = lineages, certbot
        self._named: set[str] = set()

    async def pause(self) -> None:
        await self._clock.sleep(LOOK_INTERVAL)

    async def look(self) -> None:
        """Name other renewers in `status`, while any certificate here is of an authority."""
        found = await self._certbot.renewers() if await self._wanted_lineages() else []
        sentences = {each.where: _sentence(each) for each in found}
        for gone in self._named - sentences.keys():
            self._troubles.resolve(gone)
        for where, sentence in sentences.items():
            self._troubles.report(where, sentence)
        self._named = set(sentences)

    async def renewers(self) -> list[RenewerView]:
        return [
            RenewerView(where=each.where, what=each.what, remedy=each.remedy)
            for each in await self._certbot.renewers()
        ]

    async def take(self, folder: str) -> ImportView:
        """Take over what certbot keeps in a folder. Failed if nothing of it can be."""
        taken = await self._certbot.take(folder, self._lineage_of)
        if taken.skipped and not taken.lineages:
            reasons = "\n  ".join(taken.skipped)
            raise Failed(
                f"cannot import anything from {folder}; certbot keeps renewing:\n  {reasons}"
            )
        self._remember(taken.lineages)
        self._loop.wake()
        await self.look()
        wanted = await self._wanted_lineages()
        desired = self._intent.desired
        views = []
        for each in taken.lineages:
            lineage = wanted.get(each.name)
            action = self._loop.issuance.next(lineage) if lineage else None
            view = ImportedLineageView(
                name=each.name,
                names=each.names,
                settings=settings_not_in_file(desired, each.name, each.settings),
                notes=each.notes,
                next=action.kind if action else "nothing",
                why=action.why if action else f"the file in force has no site {each.name}",
            )
            views.append(view)
        return ImportView(
            taken=tuple(views),
            skipped=tuple(taken.skipped),
            notes=tuple(taken.notes),
            account=taken.account,
            renewers=tuple(await self.renewers()),
        )

    async def forget(self, name: str) -> None:
        """Keep it no more, and take away what there is of it. Refused while a site needs it."""
        lineage = (await self._loop.wanted_lineages()).get(name)
        if lineage and lineage.behind_nginx:
            raise Refused(f"{name} is for a site of the file in force; nothing was changed")
        if lineage is None and name not in self._lineages.names():
            raise NotFound(f"there is no certificate {name!r}")
        forget(self._state, name)
        await self._lineages.remove(name)
        self._state.drop_renewal_state(name)

    async def _wanted_lineages(self) -> Mapping[str, Lineage]:
        """Nothing while it cannot be told."""
        try:
            return await self._loop.wanted_lineages()
        except PorticoError:  # a secret that cannot be read: the loop says so
            return {}

    async def give(self, folder: str) -> ExportView:
        """Write what nginx is given into a folder as certbot keeps it."""
        current = map(self._lineages.current, self._lineages.names())
        certificates = [each for each in current if each]
        if not certificates:
            raise Refused("there is no certificate from an authority; nothing was written")
        names = await self._certbot.give(folder, certificates)
        return ExportView(folder=folder, names=names)

    def _lineage_of(self, names: Sequence[str]) -> str | None:
        desired = self._intent.desired
        found = (
            name for name, site in desired.sites.items() if {name, *site.aliases} == set(names)
        )
        return next(found, None)

    def _remember(self, lineages: Sequence[ImportedLineage]) -> None:
        """The authority counts what certbot has obtained of it as it counts our own."""
        now = self._clock.now()
        known = {entry.order for entry in self._state.ledger_since(now - ISSUE_COUNT_PERIOD)}
        self._state.add_ledger(
            [
                Entry(at, each.issuer, "certificate", each.names, order)
                for each in lineages
                for serial, at in each.signed.items()
                if at > now - ISSUE_COUNT_PERIOD and (order := f"certbot.{serial}") not in known
            ]
        )


def _sentence(renewer: Renewer) -> str:
    return (
        f"another program also renews certificates, {renewer.what!r} in {renewer.where}; if they "
        f"are for names served here, {renewer.remedy}"
    )

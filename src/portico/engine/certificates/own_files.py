"""Operators' own certificates and keys, which others renew: noticed, served, and warned of.

nginx is given copies of them (`ports.Certificates.own_copies`). A copy is made when the files
have other contents than before and can be used; while they cannot, as when only one of them is
written yet, the former copy is served.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from portico.core.model.certificate_views import CertificateView
from portico.core.model.moments import moment
from portico.core.model.pair import OwnCopy, OwnPair
from portico.core.model.place import CertificateFiles
from portico.core.planning.expiry import warning_of_own
from portico.core.planning.own_pairs import own_pairs
from portico.engine.engine import Engine
from portico.engine.in_force import InForce
from portico.ports.certificates import Certificates

log = logging.getLogger(__name__)

MIN_INTERVAL: Final = 1.5
"""Seconds between two looks at the files, which follow rounds of the loop: what is half written is
complete by the next one.
"""


class OwnFiles:
    def __init__(self, engine: Engine, in_force: InForce, certificates: Certificates) -> None:
        self._intent, self._events = engine.intent, engine.events
        self._clock, self._troubles = engine.clock, engine.troubles
        self._after_round = engine.loop.after_round
        self._in_force, self._certificates = in_force, certificates
        self._copies: Mapping[OwnPair, OwnCopy] = {}
        self._served: Mapping[OwnPair, CertificateFiles | None] = {}
        """What nginx was known to serve."""

    async def pause(self) -> None:
        await self._after_round(MIN_INTERVAL)

    async def look(self) -> None:
        """Raises PorticoError while nginx does not take what is new."""
        desired = self._intent.desired
        pairs = own_pairs(desired)
        before, self._copies = self._copies, await self._certificates.own_copies(list(pairs))
        for pair, copy in self._copies.items():
            self._report(pairs[pair], pair, copy, before.get(pair))
        self._forget(before.keys() - self._copies.keys())
        await self._serve(pairs)

    def _report(
        self, sites: tuple[str, ...], pair: OwnPair, copy: OwnCopy, before: OwnCopy | None
    ) -> None:
        """What stays unusable between two looks is not just being written."""
        subject, name = _subject(pair), f"certificate {', '.join(sites)}"
        if not copy.problem:
            self._troubles.resolve(subject)
        elif before and before.problem == copy.problem:
            holds = "the previous one" if copy.files else "a local certificate"
            self._troubles.report(subject, f"{name}: {copy.problem}; {holds} is still served")
        if copy.files and (said := warning_of_own(copy.facts, self._clock.now())):
            sentence = f"{name}: {said}; renew {pair.certificate}"
            self._troubles.report(_expiry(pair), sentence)
        else:
            self._troubles.resolve(_expiry(pair))

    def _forget(self, pairs: Iterable[OwnPair]) -> None:
        for pair in pairs:
            self._troubles.resolve(_subject(pair))
            self._troubles.resolve(_expiry(pair))

    async def _serve(self, pairs: Mapping[OwnPair, tuple[str, ...]]) -> None:
        wanted = {pair: copy.files for pair, copy in self._copies.items()}
        if any(self._served.get(pair) != files for pair, files in wanted.items()):
            await self._in_force.render_again()
        for pair in wanted.keys() & self._served.keys():
            if wanted[pair] != self._served[pair]:
                self._record(pairs[pair], self._copies[pair])
        self._served = wanted

    def _record(self, sites: tuple[str, ...], copy: OwnCopy) -> None:
        now, until = self._clock.now(), moment(copy.facts.not_after)
        text = f"its files were renewed; valid until {until}, served since {moment(now)}"
        for site in sites:
            self._events.note("certificate", site, text)
        log.info("certificate %s: %s", ", ".join(sites), text)

    def views(self) -> list[CertificateView]:
        """One for each pair, called by the first site that is served with it."""
        pairs = own_pairs(self._intent.desired)
        return [
            self._view(pairs[pair][0], pair, copy)
            for pair, copy in self._copies.items()
            if pair in pairs
        ]

    def _view(self, name: str, pair: OwnPair, copy: OwnCopy) -> CertificateView:
        facts = copy.facts
        return CertificateView(
            name=name,
            names=facts.names or pair.names,
            source=pair.certificate,
            serial=facts.serial,
            not_before=facts.not_before if copy.files else None,
            not_after=facts.not_after if copy.files else None,
            served=copy.files is not None and self._served.get(pair) == copy.files,
            next="nothing",
            why=f"{pair.certificate} is your own file; a new one is served when it is there",
            error=copy.problem,
            given_until=facts.not_after if copy.files else None,
            warning=warning_of_own(facts, self._clock.now()) if copy.files else "",
        )


def _subject(pair: OwnPair) -> str:
    return f"copy of {pair.certificate}"


def _expiry(pair: OwnPair) -> str:
    return f"expiry of {pair.certificate}"

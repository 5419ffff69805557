"""Revokes certificates. Another one is served first, so that no client meets a revoked one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from portico.core.model.certificate import Certificate, Issuer, Lineage
from portico.core.model.revocation import REASON_CODES, Reason
from portico.core.planning import renewal_state
from portico.engine.certificates.loop import CertificateLoop
from portico.engine.changes import Change
from portico.engine.engine import Engine
from portico.errors import NotFound, PorticoError, Refused
from portico.ports.certificates import Authorities, Lineages


class Revocation:
    def __init__(
        self,
        engine: Engine,
        loop: CertificateLoop,
        *,
        authorities: Authorities,
        lineages: Lineages,
    ) -> None:
        self._events, self._state, self._loop = engine.events, engine.state, loop
        self._authorities, self._lineages = authorities, lineages

    async def revoke(self, name: str, reason: Reason, change: Change, *, force: bool) -> None:
        """Obtain and serve another certificate, with a new key, and revoke the one before it.

        Refused where no other can be obtained and served; with `force` it is revoked then too,
        and served until there is another.
        """
        wanted = await self._loop.wanted_lineages()
        old = self._lineages.current(name) or self._lineages.held(name)
        if old is None:
            raise NotFound(f"there is no certificate from an authority for {name!r}")
        issuer = _issuer_of(old, wanted)
        if name in wanted:
            await self._loop.obtain_here(wanted[name], "revoke", change)
            await self._replace(old, change, force=force)
        async with self._loop.account.in_use_by(name):
            await self._authorities.revoke(issuer, old, REASON_CODES[reason])
        self._state.put_renewal_state(
            renewal_state.after_revocation(self._state.renewal_state(name), old.serial)
        )
        said = f"serial {old.serial} is revoked, reason {reason}"
        self._events.note("revoked", name, said)
        change.say(f"{name}: {said}{self._consequence(old)}")
        self._loop.wake()

    async def _replace(self, old: Certificate, change: Change, *, force: bool) -> None:
        name = old.lineage
        before = self._state.renewal_state(name)
        try:
            await self._loop.renew(name, change, force=True)
        except PorticoError as error:
            if self._is_replaced(old):  # its hook failed, or what else comes afterwards
                change.say(str(error))
                return
            self._state.put_renewal_state(
                replace(self._state.renewal_state(name), forced=before.forced)
            )
            if not force:
                raise Refused(
                    f"{name} is not revoked, because another certificate could not be obtained "
                    f"and served first: {error}. `portico certs revoke {name} --force` revokes "
                    "it all the same"
                ) from error
            change.say(f"no other certificate could be obtained and served: {error}")

    def _is_replaced(self, old: Certificate) -> bool:
        current = self._lineages.current(old.lineage)
        return current is not None and current.serial != old.serial

    def _consequence(self, old: Certificate) -> str:
        if self._is_replaced(old) or self._lineages.current(old.lineage) is None:
            return ""
        return "; it is served until another one is obtained, and clients may reject it"


def _issuer_of(held: Certificate, wanted: Mapping[str, Lineage]) -> Issuer:
    """With the settings that the file has for this authority, for whatever site."""
    if not held.issuer:
        raise Refused(
            f"cannot revoke {held.lineage}: the authority that issued it is not known; nothing "
            "was changed"
        )
    own = wanted.get(held.lineage)
    lineages = [*([own] if own else []), *wanted.values()]
    known = (each for lineage in lineages for each in lineage.issuers)
    return next((each for each in known if each.directory == held.issuer), Issuer(held.issuer))

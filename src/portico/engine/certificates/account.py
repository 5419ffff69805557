"""The key of our accounts at authorities, and the accounts: shown, replaced, given up.

No order is under way while the key is replaced, and none is begun: an authority looks for the
thumbprint of the key that its order was signed with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, Protocol

from portico.core.model.certificate import Issuer, Lineage
from portico.core.model.certificate_views import AccountsView, AccountView
from portico.core.model.order import Accounts
from portico.engine.certificates.sharing import CertificateSharing
from portico.errors import NotFound, PorticoError, Refused
from portico.ports.certificates import Authorities
from portico.ports.state import State

log = logging.getLogger(__name__)

THUMBPRINT: Final = "account_thumbprint"
"""Setting: of the account's key, which nginx's files hold."""
THUMBPRINT_OF: Final = "account_thumbprint_of"
"""Setting: digest of the key file that it was made of, when nginx was known to answer with it."""
ROLLOVER: Final = "account_rollover"
"""Setting: how far a replacement of the key is; empty when it has come to its end."""
ROLLOVER_BEGUN: Final = "begun"
KEY_REPLACED: Final = "replaced"
"""At all authorities; nginx, and in a cluster the other machines, may not have the new one yet."""


class Renderer(Protocol):
    async def render_again(self) -> None: ...


class AccountKeeper:
    def __init__(
        self,
        renderer: Renderer,
        *,
        authorities: Authorities,
        sharing: CertificateSharing | None = None,
        state: State,
    ) -> None:
        self._renderer, self._authorities, self._state = renderer, authorities, state
        self._sharing = sharing
        self._changing = asyncio.Lock()
        self._users: list[str] = []

    @asynccontextmanager
    async def in_use_by(self, certificate: str) -> AsyncIterator[None]:
        """While inside, neither the key nor the accounts change; waits until they have."""
        async with self._changing:
            if self._state.setting(ROLLOVER):
                raise Refused("the account's key is still being replaced; retrying soon")
            self._users.append(certificate)
        try:
            yield
        finally:
            self._users.remove(certificate)
            if self._sharing:
                self._sharing.wake()

    def is_in_use(self) -> bool:
        """Whether an order or a change is under way, or the key is not replaced everywhere yet."""
        return bool(self._users or self._changing.locked() or self._state.setting(ROLLOVER))

    async def view(self, wanted: Mapping[str, Lineage]) -> AccountsView:
        """Nobody is asked."""
        known, asked = await self._authorities.accounts(), _issuers(wanted.values())
        directories = dict.fromkeys((*_first_of(wanted), *known.urls, *known.deactivated))
        return AccountsView(
            thumbprint=known.thumbprint,
            halfway=bool(known.halfway or self._state.setting(ROLLOVER)),
            accounts=tuple(
                AccountView(
                    directory=each,
                    url=known.urls.get(each) or known.deactivated.get(each, ""),
                    contact=asked[each].contact if each in asked else (),
                    deactivated=each not in known.urls and each in known.deactivated,
                    wanted=each in asked,
                )
                for each in directories
            ),
        )

    async def publish_thumbprint(self, wanted: Mapping[str, Lineage]) -> None:
        """From now on nginx answers HTTP-01 for the key that there is: one reload, before the
        first order and after the key was lost or replaced by hand. A replacement of the key that
        was interrupted is brought to its end first; in a cluster by the machine that obtains the
        certificates.
        """
        if self._sharing and not self._sharing.has_account():
            return
        if await self._is_ready(wanted):
            return
        if self._sharing and self._state.setting(ROLLOVER) and not self._sharing.is_issuer():
            return  # the issuer, which orders with the key that all have, would lose the account
        async with self._changing:
            if self._state.setting(ROLLOVER) == ROLLOVER_BEGUN:
                await self._replace_key(wanted)
            if not await self._is_ready(wanted):
                await self._answer((await self._authorities.accounts()).thumbprint, wanted)
        if self._sharing:
            self._sharing.wake()  # a new key is for all machines, before this one can be lost

    async def _is_ready(self, wanted: Mapping[str, Lineage]) -> bool:
        if self._state.setting(ROLLOVER):
            return False
        if not _behind_nginx(wanted):
            return True
        known, digest = self._state.setting(THUMBPRINT_OF), await self._authorities.key_digest()
        return bool(known) and known == digest

    async def roll_over(self, wanted: Mapping[str, Lineage]) -> str:
        """A new key for all accounts. Returns its thumbprint."""
        self._refuse_if_used("replace the account's key")
        async with self._changing:
            thumbprint = await self._replace_key(wanted)
            await self._answer(thumbprint, wanted)
        return thumbprint

    async def _replace_key(self, wanted: Mapping[str, Lineage]) -> str:
        asked = _issuers(wanted.values())
        known = await self._authorities.accounts()
        self._state.put_setting(ROLLOVER, ROLLOVER_BEGUN)
        try:
            changed = await self._roll_over(
                [asked.get(each) or Issuer(each) for each in known.urls], known.thumbprint
            )
        except PorticoError:
            now = await self._authorities.accounts()
            if now.thumbprint != known.thumbprint:  # only the child's answer is missing
                self._state.put_setting(ROLLOVER, KEY_REPLACED)
            elif not now.halfway:
                self._state.put_setting(ROLLOVER, "")
            raise
        self._state.put_setting(ROLLOVER, KEY_REPLACED)
        return changed.thumbprint

    async def _roll_over(self, issuers: Sequence[Issuer], before: str) -> Accounts:
        """`before` is the thumbprint of the key that is to be replaced."""
        if self._sharing:
            prepared = await self._authorities.prepare_rollover(issuers)
            if prepared.thumbprint != before:
                return prepared
            await self._sharing.share_new_key()
        return await self._authorities.roll_over(issuers)

    async def _answer(self, thumbprint: str, wanted: Mapping[str, Lineage]) -> None:
        before = self._state.setting(THUMBPRINT)
        if before and before != thumbprint and not self._state.setting(ROLLOVER):
            log.warning("the account key was lost or replaced; its thumbprint is %s", thumbprint)
        self._state.put_setting(THUMBPRINT, thumbprint)
        if _behind_nginx(wanted):
            await self._renderer.render_again()
        self._state.put_setting(THUMBPRINT_OF, await self._authorities.key_digest())
        if self._sharing and self._state.setting(ROLLOVER):
            await self._sharing.share_account()
        self._state.put_setting(ROLLOVER, "")

    async def deactivate(self, directory: str, wanted: Mapping[str, Lineage]) -> str:
        """For ever. Returns the account's URL."""
        known = await self._authorities.accounts()
        if directory in known.deactivated:
            raise Refused(f"the account at {directory} is already deactivated")
        if directory not in known.urls:
            there = ", ".join(known.urls) or "none"
            raise NotFound(f"no account at {directory}; accounts: {there}")
        self._refuse_if_used("deactivate the account")
        async with self._changing:
            issuer = _issuers(wanted.values()).get(directory) or Issuer(directory)
            await self._authorities.deactivate(issuer)
        return known.urls[directory]

    def _refuse_if_used(self, what: str) -> None:
        if self._sharing and (why := self._sharing.account_hindrance()):
            raise Refused(f"cannot {what} on this machine: {why}; nothing was changed")
        if self._users:
            names = ", ".join(sorted(set(self._users)))
            raise Refused(
                f"cannot {what} while it is in use to obtain a certificate for {names}; nothing "
                "was changed. Try again when that has finished"
            )
        if self._changing.locked():
            raise Refused(f"cannot {what}: it is already being changed; nothing else was changed")


def _behind_nginx(wanted: Mapping[str, Lineage]) -> bool:
    return any(each.behind_nginx for each in wanted.values())


def _first_of(wanted: Mapping[str, Lineage]) -> Iterator[str]:
    """Directories that are asked for certificates that count."""
    for lineage in wanted.values():
        for issuer in lineage.issuers:
            yield issuer.directory


def _issuers(lineages: Iterable[Lineage]) -> dict[str, Issuer]:
    """Every authority that may be asked, by its directory: their stagings are authorities too."""
    found: dict[str, Issuer] = {}
    for lineage in lineages:
        for issuer in lineage.issuers:
            found.setdefault(issuer.directory, issuer)
            if issuer.staging:
                found.setdefault(issuer.staging, replace(issuer, directory=issuer.staging))
    return found

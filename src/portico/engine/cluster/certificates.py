"""Certificates of a cluster with a store: one machine obtains them, and all serve them.

Implements `engine.certificates.sharing`. What others have written is taken into this machine's own
database and folders, so that everything else goes by these, with the store or without.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from portico.core.model.certificate import Lineage
from portico.core.model.shared import (
    ACCOUNT_KEY,
    CURRENT_LINEAGES,
    ISSUER_CLAIM_KEY,
    ISSUER_KEY,
    PRESENCES,
    THUMBPRINT_KEY,
    Presence,
    decode,
    encode,
    order_key,
)
from portico.core.model.shared_certificates import (
    AccountThumbprint,
    SharedAccount,
    SharedOrder,
    digest_of,
)
from portico.core.model.snapshot import ABSENT, Compare, Put
from portico.core.planning.issuer import (
    NO_THUMBPRINT,
    IssuerView,
    hindrance,
    problem,
    silent_machines,
)
from portico.engine.batches import in_batches
from portico.engine.certificates.account import (
    ROLLOVER,
    ROLLOVER_BEGUN,
    THUMBPRINT,
    THUMBPRINT_OF,
)
from portico.engine.certificates.loop import YIELD_INTERVAL
from portico.engine.cluster.cluster_store import ClusterStore
from portico.engine.cluster.failures import SharedFailures
from portico.engine.cluster.issuer import IssuerRole
from portico.engine.cluster.ledger import SharedLedger
from portico.engine.cluster.lineages import SharedLineages
from portico.engine.cluster.store_follower import KeyChanges, Position
from portico.engine.engine import Engine
from portico.errors import Failed
from portico.ports.certificates import Authorities, KeepOrder, Lineages
from portico.ports.store import SessionEnded, StoreUnavailable
from portico.ports.vault import Vault

log = logging.getLogger(__name__)

SUBJECT: Final = "certificates of the cluster"
TAKEN_ACCOUNT: Final = "shared_account"
"""Setting: digest of the account's files as they were last taken or written here."""
TAKEN_THUMBPRINT: Final = "shared_account_thumbprint"
"""Setting: of the key of these files."""
_NOT_ISSUER: Final = "another machine obtains the certificates of the cluster now"
_NEW_KEY: Final = ".new"
"""End of the name of a key that is to replace the account's, and has not yet everywhere."""
_WAKING_KEYS: Final = (CURRENT_LINEAGES, THUMBPRINT_KEY, ISSUER_KEY, ISSUER_CLAIM_KEY, PRESENCES)


class SharedCertificates:
    def __init__(
        self,
        engine: Engine,
        shared: ClusterStore,
        *,
        authorities: Authorities,
        lineages: Lineages,
        vault: Vault,
    ) -> None:
        self._clock, self._state, self._troubles = engine.clock, engine.state, engine.troubles
        self._shared, self._follower = shared, shared.follower
        self._authorities, self._vault = authorities, vault
        self._role = IssuerRole(shared, engine.clock)
        self._ledger = SharedLedger(shared, engine.state, engine.clock)
        self._lineages = SharedLineages(shared, engine, lineages, vault)
        self._failures = SharedFailures(shared, engine.state)
        self._account_written: Position = (0, ABSENT)
        """Where in the store this machine wrote the account last."""
        self._cached_view: tuple[object, IssuerView] | None = None
        """With what it is a view of."""
        self._wanted_lineages: Mapping[str, Lineage] = {}
        self._lock = asyncio.Lock()
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to take, or this machine's part may have changed."""
        self.is_busy: Callable[[], bool] = bool
        """Whether an order is under way here, or a change of the account."""
        self._follower.subscribe(SUBJECT, self._wake_for)
        shared.take_before_serving = self._take_all

    def _wake_for(self, changes: KeyChanges) -> None:
        if any(key.startswith(_WAKING_KEYS) for key in changes):
            self.wake()

    async def _take_all(self) -> None:
        """What a new machine is to have before its sites are served."""
        async with self._lock:
            await self._take_account()
            await self._lineages.take(self._follower.items_of(CURRENT_LINEAGES))

    # what may be done here

    def problem(self, lineage: Lineage) -> str:
        return problem(lineage)

    def hindrance(self, lineage: Lineage) -> str:
        return hindrance(lineage, self._view(), self._clock.now())

    def why_unanswered(self, lineage: Lineage) -> str:
        return silent_machines(lineage, self._view())

    def is_issuer(self) -> bool:
        return self._role.is_ready and not self._follower.trouble

    def account_hindrance(self) -> str:
        view = self._view()
        return hindrance(Lineage("", (), (), challenges=()), view, self._clock.now())

    def has_account(self) -> bool:
        known, item = (
            self._follower.value(AccountThumbprint, THUMBPRINT_KEY),
            self._follower.item(THUMBPRINT_KEY),
        )
        if known is None or item is None:
            return False
        return (
            self._is_own_write_missing(item.revision)
            or known.digest == self._state.setting(TAKEN_ACCOUNT)
            or self._is_replaced_here(known)
        )

    def _is_own_write_missing(self, revision: int) -> bool:
        """Whether what is followed has not yet what this machine wrote of the account last."""
        return (self._follower.history, revision) < self._account_written

    def _is_halfway(self) -> bool:
        """Whether the account's key was being replaced when the machine was lost that did it."""
        known, item = (
            self._follower.value(AccountThumbprint, THUMBPRINT_KEY),
            self._follower.item(THUMBPRINT_KEY),
        )
        if known is None or item is None or self._is_own_write_missing(item.revision):
            return False
        return known.halfway and not self._state.setting(ROLLOVER)

    def _is_replaced_here(self, known: AccountThumbprint) -> bool:
        """Whether an authority may know only a key that is to replace this one, and that no other
        machine has. One that the store has as well counts more: it was shared first.
        """
        is_same_key = known.thumbprint == self._state.setting(TAKEN_THUMBPRINT)
        return bool(self._state.setting(ROLLOVER)) and is_same_key and not known.halfway

    def number(self, lineage: str) -> int:
        return self._lineages.number(lineage)

    def answering_thumbprint(self) -> str:
        """What others are to know: the thumbprint by which nginx answers authorities here."""
        if not any(each.behind_nginx for each in self._wanted_lineages.values()):
            return ""
        if self._state.setting(ROLLOVER) or not self._state.setting(THUMBPRINT_OF):
            return NO_THUMBPRINT
        return self._state.setting(THUMBPRINT) or NO_THUMBPRINT

    def _view(self) -> IssuerView:
        """Made once in a second, for thousands of lineages ask."""
        trouble, fence = self._follower.trouble, self._role.fence
        known = (
            trouble,
            self._follower.revision,
            fence,
            self._role.ready_revision,
            int(self._clock.now()),
        )
        if self._cached_view is None or self._cached_view[0] != known:
            self._cached_view = known, self._new_view(fence)
        return self._cached_view[1]

    def _new_view(self, fence: int) -> IssuerView:
        present = self._follower.values(Presence, PRESENCES)
        return IssuerView(
            self._follower.trouble,
            self._role.holder,
            "" if self._role.claimant == self._shared.machine else self._role.claimant,
            is_yielding=self._role.is_yielding,
            is_own=bool(fence),
            is_ready=self._role.is_ready,
            ledger_until=self._ledger.until,
            thumbprint=self._state.setting(THUMBPRINT) or "",
            answering={n: each.thumbprint for n, each in present.items() if each.thumbprint},
        )

    # the machine that obtains them

    async def take_role(self, say: Callable[[str], None]) -> None:
        needed = any(each.behind_nginx for each in self._wanted_lineages.values())
        if needed and not self._role.is_ready and not self._follower.trouble:
            await self._role.obtain(say)

    def note_attempt(self, *, reached: bool) -> None:
        self._role.note_attempt(reached=reached)
        if self._role.is_yielding:
            self.wake()

    # an order

    def has_order(self, lineage: Lineage) -> bool:
        return self._follower.item(order_key(lineage.name)) is not None

    async def begin(self, lineage: Lineage, order: str) -> KeepOrder | None:
        compares = self._role.compares() if lineage.behind_nginx else []
        if not await self._ledger.share(compares):
            raise Failed(_NOT_ISSUER)
        if not order or not lineage.behind_nginx:
            return None
        await self._failures.share(self._state.renewal_state(lineage.name), compares)
        key = order_key(lineage.name)
        if item := self._follower.item(key):
            opened = await self._vault.open(self._follower.prefix + key, item.value)
            known = decode(SharedOrder, opened)
            if known and known.order == order:
                await self._authorities.take_order(order, known.files)
        return partial(self._keep, key, order)

    async def _keep(self, key: str, order: str, files: Mapping[str, str]) -> None:
        value = await self._seal(key, encode(SharedOrder(order=order, files=files)))
        if await self._shared.transaction(self._role.compares(), [Put(key, value)]) is None:
            raise Failed(_NOT_ISSUER)

    async def share(self, lineage: Lineage) -> None:
        async with self._lock:
            with self._fence():
                await self._share([lineage])

    # all that there is

    async def look(self, wanted: Mapping[str, Lineage]) -> None:
        self._wanted_lineages = wanted
        async with self._lock:
            fence = self._role.fence
            self._ledger.take()
            if not self._role.is_ready:
                self._failures.take()
            is_whole = await self._take_account() and await self._lineages.take(wanted)
            if self._follower.trouble:
                return
            self._role.ready_revision = fence if is_whole else 0
            if self.is_issuer() and self._is_halfway():
                self._state.put_setting(ROLLOVER, ROLLOVER_BEGUN)  # it is continued here
            with self._fence():
                await self._share(wanted.values())
                needed = any(each.behind_nginx for each in wanted.values())
                await self._role.update(
                    needed=needed and is_whole,
                    is_busy=self.is_busy(),
                    is_interrupted=bool(self._state.setting(ROLLOVER)),
                )

    @contextmanager
    def _fence(self) -> Iterator[None]:
        """What cannot be written now is written later. Following the store says what is wrong
        with it.
        """
        try:
            yield
        except (StoreUnavailable, SessionEnded) as error:
            log.info("%s: not written yet: %s", SUBJECT, error)
        except Failed as error:
            self._troubles.report(SUBJECT, f"{SUBJECT}: {error}")
        else:
            self._troubles.resolve(SUBJECT)

    # taking

    async def _take_account(self) -> bool:
        """Whether the account here is that of the cluster, if it has one. A copy of the store may
        have one of before.
        """
        known, item = (
            self._follower.value(AccountThumbprint, THUMBPRINT_KEY),
            self._follower.item(ACCOUNT_KEY),
        )
        if known is None or item is None or self._follower.trouble:
            return known is None or self.has_account()
        if self.has_account() and not await self._is_key_lost(known):
            return True
        with self._troubles.fence("account of the cluster"):
            opened = await self._vault.open(self._follower.prefix + ACCOUNT_KEY, item.value)
            account = decode(SharedAccount, opened)
            if account is None or digest_of(account.files) != known.digest:
                raise Failed("the account of the cluster cannot be read")
            if self._state.setting(THUMBPRINT) != known.thumbprint:
                self._state.put_setting(THUMBPRINT_OF, "")  # nginx does not answer with it yet
            await self._authorities.take_account(account.files)
            self._state.put_setting(THUMBPRINT, known.thumbprint)
            self._state.put_setting(ROLLOVER, "")  # what was begun here has ended elsewhere
            self._remember_account(known)
            return True
        return False

    async def _is_key_lost(self, known: AccountThumbprint) -> bool:
        """Whether the account's key was lost or replaced by hand, on a machine that does not
        obtain the certificates: what it would answer with is for this machine alone.
        """
        if self._role.is_ready or self._state.setting(ROLLOVER):
            return False
        if self._state.setting(THUMBPRINT) != known.thumbprint:
            return True
        answered = self._state.setting(THUMBPRINT_OF)
        return bool(answered) and answered != await self._authorities.key_digest()

    def _remember_account(self, record: AccountThumbprint) -> None:
        self._state.put_setting(TAKEN_THUMBPRINT, record.thumbprint)
        self._state.put_setting(TAKEN_ACCOUNT, record.digest)

    # sharing

    async def share_new_key(self) -> None:
        if why := await self._reason_not_shared(is_halfway=True):
            raise Failed(
                "the account key is not replaced yet: the new one is not in the store of the "
                f"cluster: {why}. Portico continues when it can write it there; no certificate is "
                "obtained before"
            )

    async def share_account(self) -> None:
        if why := await self._reason_not_shared():
            raise Failed(
                f"the account key was replaced, and is not in the store of the cluster: {why}. "
                "This machine writes it there when it can; no certificate is obtained before"
            )

    async def _reason_not_shared(self, *, is_halfway: bool = False) -> str:
        """Why the account is not in the store now; empty if it is."""
        try:
            async with self._lock:
                compares = self._role.compares()
                is_shared = await self._share_account(compares, is_halfway=is_halfway)
        except Failed as error:
            return str(error)
        return "" if is_shared else _NOT_ISSUER

    async def _share(self, lineages: Iterable[Lineage]) -> None:
        """Raises StoreUnavailable."""
        await self._ledger.share([])
        if not self._role.is_ready:
            return
        compares = self._role.compares()
        known = self._state.renewal_states()
        async for lineage in in_batches(lineages, YIELD_INTERVAL):
            if lineage.behind_nginx:
                await self._lineages.share(lineage.name, compares)
                if renewal := known.get(lineage.name):
                    await self._failures.share(renewal, compares)
        await self._share_account(compares)
        await self._ledger.prune(compares)
        await self._lineages.prune(self._wanted_lineages, compares)

    async def _share_account(self, compares: list[Compare], *, is_halfway: bool = False) -> bool:
        """Whether the store has it. `is_halfway` shares a key that is to replace it, too."""
        files = await self._authorities.account_files()
        known = self._follower.value(AccountThumbprint, THUMBPRINT_KEY)
        if known and digest_of(files) == self._state.setting(TAKEN_ACCOUNT):
            return True
        has_new_key = any(name.endswith(_NEW_KEY) for name in files)
        if has_new_key and not is_halfway:
            return False
        thumbprint = (await self._authorities.accounts()).thumbprint  # of a new key, if need be
        files = await self._authorities.account_files()
        value = await self._seal(ACCOUNT_KEY, encode(SharedAccount(files=files)))
        record = AccountThumbprint(
            thumbprint=thumbprint, digest=digest_of(files), halfway=has_new_key
        )
        writes = [Put(ACCOUNT_KEY, value), Put(THUMBPRINT_KEY, encode(record))]
        if written := await self._shared.transaction(compares, writes):
            self._account_written = written
            self._remember_account(record)
        return written is not None

    async def _seal(self, key: str, plain: bytes) -> bytes:
        return await self._vault.seal(self._follower.prefix + key, plain)

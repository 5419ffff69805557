"""What certificates need of the other machines of a cluster with a store (engine/cluster)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from portico.core.model.certificate import Lineage
from portico.ports.certificates import KeepOrder


class CertificateSharing(Protocol):
    wake: Callable[[], None]
    """Called when `look` has something to do."""
    is_busy: Callable[[], bool]
    """Whether an order is under way here, or a change of the account."""

    async def look(self, wanted: Mapping[str, Lineage]) -> None:
        """Take what others have written, and write what they have not seen. Raises nothing that
        is only about the store, or about one certificate.
        """

    def problem(self, lineage: Lineage) -> str:
        """Why no machine of the cluster can obtain it; empty if one can."""

    def hindrance(self, lineage: Lineage) -> str:
        """Why this machine may not order a certificate for it now; empty if it may."""

    def why_unanswered(self, lineage: Lineage) -> str:
        """Which machines cannot answer an authority yet; empty where all can."""

    def is_issuer(self) -> bool:
        """Whether this machine obtains the certificates of the cluster, and has all it shares."""

    def account_hindrance(self) -> str:
        """Why this machine may not change the account now; empty if it may."""

    async def take_role(self, say: Callable[[str], None]) -> None:
        """Become the machine that obtains the certificates of the cluster, where one does and this
        one can: `hindrance` says otherwise. Waits until the one that does has ended its orders.
        Raises Refused, StoreUnavailable.
        """

    def note_attempt(self, *, reached: bool) -> None:
        """An order was tried; whether an authority answered."""

    def has_account(self) -> bool:
        """Whether the account here is that of the cluster."""

    async def share_new_key(self) -> None:
        """Give the key that is to replace the account's to all machines, before an authority is
        told it: whichever machine is left can go on. Raises Failed.
        """

    async def share_account(self) -> None:
        """Give the key that was replaced here to all machines. Raises Failed where this machine
        may not write now: then it has to be called again.
        """

    def number(self, lineage: str) -> int:
        """Of the newest certificate that machines share; 0 for none."""

    def has_order(self, lineage: Lineage) -> bool:
        """Whether one for it was begun on any machine, of which no certificate is shared yet."""

    async def begin(self, lineage: Lineage, order: str) -> KeepOrder | None:
        """What is in the ledger is known to all machines after it, and an order of this name that
        another machine has begun goes on here. None where it is this machine's own.

        Raises Failed where this machine may not order; then nothing may be sent.
        """

    async def share(self, lineage: Lineage) -> None:
        """What has just come of an order, as `look`."""

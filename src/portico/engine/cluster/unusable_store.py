"""A machine of a cluster that cannot use the store: a file that says how to reach it is damaged.

It serves what is in force, and changes, runs and orders nothing that machines share: the others
would not know.
"""
# ruff: noqa: ARG002 - the arguments are those of a port

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from portico.core.model.certificate import Lineage
from portico.core.model.event import Requester
from portico.core.model.member_verbs import MEMBER_VERBS
from portico.core.model.names import is_instance_name
from portico.core.model.requests import DownRequest
from portico.core.model.verbs import DELETE, PAUSE, RESUME, ROLLBACK, SCALE, UP
from portico.core.model.views import ChangeView
from portico.engine.control.operations import Operations
from portico.engine.engine import Engine
from portico.errors import Failed, Refused
from portico.ports.certificates import KeepOrder

REASON: Final = "this machine cannot use the store of its cluster (`portico status` says why)"
SHARED_VERBS: Final = frozenset(
    each.name for each in (UP, SCALE, DELETE, ROLLBACK, PAUSE, RESUME, *MEMBER_VERBS)
)
"""Names of verbs that concern all machines, whatever is said with them."""


def skip_run(engine: Engine, app: str) -> None:
    """In place of a run of its schedule."""
    wanted = engine.intent.desired.apps[app]
    if wanted.instances and not wanted.stopped:
        engine.events.note("skip", app, f"it did not run on this machine: {REASON}")


class UnsharedOperations:
    """Stands before `Operations`, as `ClusterOperations` does where the store can be used."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def __getattr__(self, name: str) -> object:
        return _refuse if name in SHARED_VERBS else getattr(self._operations, name)

    async def down(
        self,
        who: Requester,
        request: DownRequest,
        project: str | None = None,
        folder: str | None = None,
    ) -> ChangeView:
        """Everything on this machine alone, or nothing."""
        _assert_own(is_own=request.everything)
        return await self._operations.down(who, request, project, folder)

    async def start(
        self, app: str | None, who: Requester, folder: str | None = None, here: str | None = None
    ) -> ChangeView:
        _assert_own(is_own=bool(here))
        return await self._operations.start(app, who, folder)

    async def stop(
        self, app: str | None, who: Requester, folder: str | None = None, here: str | None = None
    ) -> ChangeView:
        _assert_own(is_own=bool(here))
        return await self._operations.stop(app, who, folder)

    async def restart(
        self, app: str | None, who: Requester, folder: str | None = None, here: str | None = None
    ) -> ChangeView:
        _assert_own(is_own=bool(here) or is_instance_name(app))
        return await self._operations.restart(app, who, folder)

    async def reload(
        self, app: str | None, who: Requester, folder: str | None = None, here: str | None = None
    ) -> ChangeView:
        _assert_own(is_own=bool(here) or is_instance_name(app))
        return await self._operations.reload(app, who, folder)

    async def drain(self, who: Requester, machine: str | None = None) -> ChangeView:
        _assert_own(is_own=self._is_this(machine))
        return await self._operations.drain(who)

    async def undrain(self, who: Requester, machine: str | None = None) -> ChangeView:
        _assert_own(is_own=self._is_this(machine))
        return await self._operations.undrain(who)

    def _is_this(self, machine: str | None) -> bool:
        own = self._operations.machine_drain
        return own is not None and machine in {None, own.machine}

    async def leave_cluster(self) -> None:
        raise Failed(REASON)  # `portico cluster leave --force` leaves all the same


class UnsharedCertificates:
    """Implements `engine.certificates.sharing`: another machine obtains them."""

    def __init__(self) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.is_busy: Callable[[], bool] = bool

    async def look(self, wanted: Mapping[str, Lineage]) -> None: ...

    def problem(self, lineage: Lineage) -> str:
        return ""

    def hindrance(self, lineage: Lineage) -> str:
        return REASON

    def why_unanswered(self, lineage: Lineage) -> str:
        return ""

    def is_issuer(self) -> bool:
        return False

    def account_hindrance(self) -> str:
        return REASON

    async def take_role(self, say: Callable[[str], None]) -> None: ...

    def note_attempt(self, *, reached: bool) -> None: ...

    def has_account(self) -> bool:
        return False

    async def share_new_key(self) -> None:
        raise Failed(REASON)

    async def share_account(self) -> None:
        raise Failed(REASON)

    def number(self, lineage: str) -> int:
        return 0

    def has_order(self, lineage: Lineage) -> bool:
        return False

    async def begin(self, lineage: Lineage, order: str) -> KeepOrder | None:
        raise Failed(REASON)

    async def share(self, lineage: Lineage) -> None: ...

    def answering_thumbprint(self) -> str:
        return ""


def _assert_own(*, is_own: bool) -> None:
    if not is_own:
        _refuse()


def _refuse() -> None:
    raise Refused(
        f"{REASON}; nothing was changed. Repair that, then run `portico upgrade --daemon`"
    )

"""What the daemon remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from portico.core.model.certificate import (
    Entry,
    RenewalState,
)
from portico.core.model.desired import Spec
from portico.core.model.event import Event, EventFilter
from portico.core.model.instance import Instance
from portico.core.model.names import InstanceId
from portico.core.model.records import AppRecord, Revision
from portico.core.model.snapshot import Changes, Snapshot


class State(Protocol):
    """The one SQLite file. Every call is done when it returns; Failed when it cannot be.

    What an operator said (revisions, apps, settings) is then on disk and survives a power cut.
    What is only true while the machine runs (instances, serials, events) survives the death of
    this process.
    """

    def transaction(
        self, *, durable: bool = True, more: bool = False
    ) -> AbstractContextManager[None]:
        """All writes within are done at the end, or none of them: one transaction.

        Nothing may be awaited in it. If not `durable`, what is written survives the death of
        this process and not a power cut, whatever it is. If there is `more` to come at once,
        what is kept beside the database waits for that.
        """

    def revisions(self) -> list[Revision]:
        """Newest first."""

    def add_revision(self, revision: Revision) -> Revision:
        """Returns it with its number."""

    def put_revision(self, revision: Revision) -> None:
        """The same revision, with more known of it."""

    def apps(self) -> list[AppRecord]: ...

    def put_app(self, record: AppRecord) -> None: ...

    def drop_app(self, name: str) -> None: ...

    def instances(self) -> list[Instance]: ...

    def put_instance(self, instance: Instance) -> None: ...

    def drop_instance(self, instance: InstanceId) -> None: ...

    def specs(self) -> Mapping[str, Spec]:
        """Every version that an app record or an instance refers to, by id."""

    def next_serial(self, app: str) -> int:
        """The number of the next instance this app gets; never given twice in one boot."""

    def setting(self, name: str) -> str | None: ...

    def put_setting(self, name: str, value: str) -> None: ...

    def renewal_states(self) -> Mapping[str, RenewalState]:
        """What is remembered of certificates, by lineage."""

    def renewal_state(self, lineage: str) -> RenewalState:
        """An empty one for a lineage that nothing is known of."""

    def put_renewal_state(self, renewal: RenewalState) -> None: ...

    def drop_renewal_state(self, lineage: str) -> None: ...

    def ledger_since(self, at: float) -> list[Entry]:
        """Entries of that moment and later, oldest first."""

    def last_entry(self) -> int:
        """The number of the newest entry, another one for each; 0 if there is none."""

    def add_ledger(self, entries: Sequence[Entry]) -> None: ...

    def no_ledger_after(self, now: float) -> None:
        """Entries written by a clock that was ahead count as written now."""

    def add_event(self, event: Event) -> None:
        """Where it cannot be recorded the log has it instead: nothing is refused for that. So many
        are kept, whatever their age.
        """

    def drop_events(self, before: float) -> None:
        """Those of that wall time and earlier, but for the newest ones. Raises Failed."""

    def last_event(self) -> int:
        """The number of the newest; 0 if there is none."""

    def events(self, wanted: EventFilter, limit: int, *, after: int | None = None) -> list[Event]:
        """The newest so many; or the first so many that follow the one of that number. Oldest
        first.
        """

    def count_events(self, wanted: EventFilter, after: int) -> int:
        """How many follow the one of that number."""

    def last_notified(self) -> Mapping[str, int]:
        """By target of `[notify]`, the number of the last event that is done with."""

    def put_notified(self, target: str, number: int | None) -> None:
        """None forgets the target."""

    def mirror(self, cluster: str) -> Snapshot | None:
        """The copy of what the machines of that cluster share, without what ends with a session.
        None where there is none.
        """

    def put_mirror(self, cluster: str, changes: Changes) -> None:
        """The copy as it was, with these changes; one of another cluster is forgotten."""

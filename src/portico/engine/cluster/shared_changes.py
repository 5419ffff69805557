"""The beginning of a change of the whole cluster: of two operators at once one is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from portico.core.model.event import Requester
from portico.core.model.moments import moment
from portico.core.model.shared import CHANGE_KEY, encode
from portico.core.model.shared_change import SharedChange
from portico.core.model.snapshot import Compare, Put, Write
from portico.engine.cluster.change_state import ChangeState
from portico.engine.cluster.store_follower import NOT_ASKED, Position
from portico.errors import Refused
from portico.ports.clock import Clock

FIRST_ANSWER_TIMEOUT: Final = 3.0
FIRST_ANSWER_PAUSE: Final = 0.05
OTHER_CHANGE_TIMEOUT: Final = 3.0
OTHER_CHANGE_INTERVAL: Final = 0.05


class SharedChanges:
    def __init__(self, change_state: ChangeState, clock: Clock) -> None:
        self._shared, self._change_state, self._clock = change_state.shared, change_state, clock

    async def wait_for_first_answer(self) -> None:
        """A daemon that was just started for this command has not asked the store yet."""
        end = self._clock.monotonic() + FIRST_ANSWER_TIMEOUT
        while self._shared.follower.trouble == NOT_ASKED and self._clock.monotonic() < end:
            await self._clock.sleep(FIRST_ANSWER_PAUSE)

    def draft(
        self,
        verb: str,
        subject: str,
        who: Requester,
        without_absent: str | None = None,
        *,
        only: str | None = None,
    ) -> SharedChange:
        """Of all machines, or of one. Raises Refused where another one is under way, or a machine
        is absent, and StoreUnavailable where nothing can be shared.
        """
        self._shared.follower.assert_current()
        self.assert_none_under_way(verb)
        there, absent = self._change_state.machines()
        if only and only not in there:
            raise Refused(
                f"cannot {verb} {only}: it is not connected to the cluster's store; nothing was "
                f"changed. Run `portico cluster {verb}` on {only} if it runs; if it is lost, the "
                f"others send it no requests, and `portico cluster remove {only}` removes it"
            )
        if absent and not only and not without_absent:
            raise Refused(
                f"`{verb}` is refused because these machines are not connected to the cluster's "
                f"store: {', '.join(absent)}; nothing was changed. With --without-absent the "
                "others change now, and an absent machine when it is back"
            )
        before = self._shared.follower.item(CHANGE_KEY)
        return SharedChange(
            id=f"{before.revision if before else 0}-{int(self._clock.now() * 1000)}",
            verb=verb,
            subject=subject,
            who=str(who),
            by=self._shared.machine,
            began=self._clock.now(),
            order=(only,) if only else tuple(there),
            without_absent=bool(without_absent),
        )

    def down_under_way(self) -> SharedChange | None:
        last = self._change_state.change
        return last if last and not last.end and last.verb == "down" else None

    def assert_none_under_way(self, verb: str) -> None:
        """Raises Refused where one is, as far as this machine knows."""
        last = self._change_state.change
        if last and not last.end:
            raise Refused(
                f"`{verb}` is refused because {last.verb} of {last.subject}, which {last.who} "
                f"started on {last.by} at {moment(last.began)}, is under way; nothing was "
                "changed. `portico cluster show` says how far it is"
            )

    async def begin(self, change: SharedChange, writes: Sequence[Write] = ()) -> Position:
        """Returns from where in the store on it is under way. Raises Refused where another one has
        begun since the draft was made.
        """
        before = int(change.id.partition("-")[0])
        none_since = Compare(CHANGE_KEY, before)
        begun = await self._shared.transaction(
            [none_since], [*writes, Put(CHANGE_KEY, encode(change))]
        )
        if begun is None:
            await self._wait_for_other(before)
            self.assert_none_under_way(change.verb)
            raise Refused(
                f"`{change.verb}` is refused because another change of the cluster was made at "
                "the same time; nothing was changed. Try again"
            )
        return begun

    async def _wait_for_other(self, before: int) -> None:
        """Wait until this machine knows of another change than the one of that revision."""
        end, follower = self._clock.monotonic() + OTHER_CHANGE_TIMEOUT, self._shared.follower
        while self._clock.monotonic() < end:
            item = follower.item(CHANGE_KEY)
            if item and item.revision != before:
                return
            await self._clock.sleep(OTHER_CHANGE_INTERVAL)

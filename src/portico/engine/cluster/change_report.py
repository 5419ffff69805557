"""What an operator is shown of a change of the whole cluster, as it goes over the machines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from portico.core.model.shared_change import TOUCHED_STATES, SharedChange
from portico.core.planning.turns import TurnState
from portico.engine.cluster.change_state import ChangeState
from portico.engine.cluster.store_follower import SUBJECT
from portico.errors import Failed, Refused
from portico.ports.clock import Clock
from portico.ports.store import StoreUnavailable

POLL_INTERVAL: Final = 1.0
STORE_TIMEOUT: Final = 600.0
"""Seconds without the store after which a command ends that waits for what machines share."""
MAX_BACK_PAUSES: Final = 600
"""Pauses of a second at most: for so long it is followed how what failed is rolled back."""
_STATE_TEXTS: Final = {"done": "done", "back": "the previous file is in force again"}


class StoreWait:
    """What a command does between two looks at what machines share."""

    def __init__(
        self, change_state: ChangeState, clock: Clock, say: Callable[[str], None]
    ) -> None:
        self._change_state, self._clock, self._say = change_state, clock, say
        self._unavailable_since: float | None = None

    async def pause(self, moved: asyncio.Event) -> None:
        """Until anything has changed, a second at most. Raises StoreUnavailable where the store
        was not available for long.
        """
        if trouble := self._change_state.trouble:
            self._note(trouble)
        else:
            self._unavailable_since = None
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_INTERVAL):
                await moved.wait()

    def _note(self, trouble: str) -> None:
        self._say(f"waiting for {SUBJECT}: {trouble}")
        now = self._clock.monotonic()
        since = self._unavailable_since = self._unavailable_since or now
        if now - since >= STORE_TIMEOUT:
            raise StoreUnavailable(
                f"{SUBJECT} has not been available for {STORE_TIMEOUT / 60:.0f} minutes: "
                f"{trouble}. Each machine serves what it has; the change continues, or is "
                "rolled back, when the store is available (`portico cluster show`)"
            )


class ChangeReport:
    def __init__(self, change_state: ChangeState, id_: str, say: Callable[[str], None]) -> None:
        self._change_state, self._id, self._say = change_state, id_, say
        self._counts: dict[str, int] = {}
        self._states: dict[str, str] = {}
        self._going_back_before: Sequence[str] = ()

    async def follow(self, pause: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        """Return when it is done. Raises what it ended with."""
        pauses = 0
        while True:
            moved, change, state = (
                self._change_state.moved,
                self._change_state.change,
                self._change_state.state(),
            )
            if change is None or change.id != self._id:
                if self._change_state.switches.last == self._id:
                    return  # it was done, and the next one has begun
                raise Failed(
                    "another change of the cluster was started; `portico events` shows both"
                )
            going_back = self._going_back(change, state)
            self._report(change, state, going_back)
            if change.end and (not going_back or pauses > MAX_BACK_PAUSES):
                _raise_end(change, state, going_back)
                return
            pauses += bool(change.end)
            await pause(moved)

    def _report(self, change: SharedChange, state: TurnState, going_back: Sequence[str]) -> None:
        for name in change.order:
            if not (machine_state := state.state_of(name)):
                continue
            progress = state.progress[name]
            new = progress.count - self._counts.get(name, 0)
            for line in progress.lines[-new:] if new > 0 else ():
                self._say(f"{name}: {line}")
            self._counts[name] = progress.count
            if machine_state != self._states.get(name) and machine_state in _STATE_TEXTS:
                self._say(f"{name}: {_STATE_TEXTS[machine_state]}")
            self._states[name] = machine_state
        if going_back and going_back != self._going_back_before:
            self._say(f"rolling back on {', '.join(going_back)}")
        self._going_back_before = going_back

    def _going_back(self, change: SharedChange, state: TurnState) -> list[str]:
        """The machines that have yet to put the previous file in force again."""
        if change.end != "failed" or change.project not in state.heads:
            return []
        touched = [m for m in change.order if state.state_of(m) in TOUCHED_STATES]
        return [name for name in touched if self._change_state.is_there(name)]


def _raise_end(change: SharedChange, state: TurnState, going_back: Sequence[str]) -> None:
    if change.end == "refused":
        raise Refused(f"{change.why}\nnothing was changed on any machine")
    if change.end == "failed":
        parts = {
            "the previous file is in force again on": _machines_in(change, state, {"back"}),
            "not yet on": going_back,
            "it remains done on": [] if change.project else _machines_in(change, state, {"done"}),
            "nothing was changed on": _machines_in(change, state, {"", "ready", "refused"}),
        }
        said = "; ".join(f"{text} {', '.join(names)}" for text, names in parts.items() if names)
        raise Failed("\n".join(filter(None, (change.why, said))))


def _machines_in(change: SharedChange, state: TurnState, states: set[str]) -> list[str]:
    return [name for name in change.order if state.state_of(name) in states]

"""One run of a child: how long it may take, and whom it tells what it does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.wire import Failure, Step

if TYPE_CHECKING:  # at run time it would bring the whole model along, a tenth of a second
    from portico.ports.clock import Clock

FIRST_PAUSE: Final = 0.25  # seconds; most answers are there by then
MAX_PAUSE: Final = 5.0
CLEANUP_TIME: Final = 20.0
"""Seconds for removing what was published, after the deadline too."""


@dataclass(frozen=True, slots=True)
class RunContext:
    clock: Clock
    wait: Callable[[float], None]
    ends: float
    """On the clock that never goes backwards."""
    say: Callable[[Step, str], None]
    exits: ExitStack = field(default_factory=ExitStack)
    """What is left open until its end: connections."""

    def now(self) -> float:
        """Wall time."""
        return self.clock.now()

    def time_left(self) -> float:
        return self.ends - self.clock.monotonic()

    def timeout(self, most: float, what: str) -> float:
        """Seconds that one call may take. Raises AcmeFailure when there is no time left."""
        if (left := self.time_left()) <= 0:
            raise timeout_failure(what)
        return min(most, left)

    def pause(self, seconds: float, what: str) -> None:
        """Wait for something. Raises AcmeFailure at once if that would last too long."""
        if seconds >= self.time_left():
            raise timeout_failure(what, self.now() + seconds)
        self.wait(seconds)

    def with_cleanup_time(self) -> RunContext:
        """The same run, with some more time for what must be taken away in any case."""
        return replace(self, ends=self.clock.monotonic() + CLEANUP_TIME)


def pauses() -> Callable[[], float]:
    """Growing ones, in seconds, for asking again."""
    following = FIRST_PAUSE / 1.5

    def pause() -> float:
        nonlocal following
        following = min(following * 1.5, MAX_PAUSE)
        return following

    return pause


def timeout_failure(what: str, retry_at: float | None = None) -> AcmeFailure:
    return AcmeFailure(Failure("late", f"timed out while {what}", retry_at=retry_at))

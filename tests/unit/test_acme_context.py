from __future__ import annotations

import pytest

from portico.adapters.acme.child.context import CLEANUP_TIME, MAX_PAUSE, RunContext, pauses
from portico.adapters.acme.child.failures import AcmeFailure
from tests.fakes.clock import FakeClock


class Stepping(FakeClock):
    """Waiting moves it; `stepped` is by how much somebody has set the wall clock."""

    stepped = 0.0

    def now(self):
        return super().now() + self.stepped

    def wait(self, seconds):
        self._elapsed += seconds


def context(clock, seconds):
    return RunContext(clock, clock.wait, clock.monotonic() + seconds, lambda _step, _text: None)


def test_a_wall_clock_that_is_set_changes_no_deadline():
    clock = Stepping()
    one = context(clock, 60)
    clock.stepped = -86400.0

    one.pause(59, "waiting")

    assert one.time_left() == 1


def test_a_wait_beyond_the_deadline_is_not_begun_and_says_when_to_come_back():
    clock = Stepping()
    one = context(clock, 60)

    with pytest.raises(AcmeFailure, match="timed out while waiting") as caught:
        one.pause(3600, "waiting")

    assert clock.monotonic() == 0
    assert caught.value.failure.retry_at == clock.now() + 3600


def test_a_call_gets_no_more_time_than_is_left():
    clock = Stepping()
    one = context(clock, 10)

    assert one.timeout(30, "asking") == 10
    assert one.timeout(3, "asking") == 3
    clock.wait(10)
    with pytest.raises(AcmeFailure, match="while asking"):
        one.timeout(3, "asking")
    assert one.with_cleanup_time().time_left() == CLEANUP_TIME


def test_pauses_grow_to_a_limit():
    pause = pauses()
    seen = [pause() for _ in range(20)]

    assert seen[0] < 0.5
    assert seen == sorted(seen)
    assert seen[-1] == MAX_PAUSE

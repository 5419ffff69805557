"""Six months of a 6-day and of a 45-day profile: never expired, never above the ledger."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.authority_simulation import Authority, World
from tests.unit.certificates import DAY, HOUR, NOW

WEEKS = 26
SHORT = 160 / 24


@dataclass(frozen=True)
class Outage:
    """The authority does not answer; a day is left to notice that it does again."""

    hours: float

    def happen(self, world):
        world.authority.down = True
        world.run(world.now + self.hours * HOUR)
        world.authority.down = False


@dataclass(frozen=True)
class Unprovable:
    """A firewall, say, keeps the authority out."""

    hours: float

    def happen(self, world):
        world.authority.unprovable = True
        world.run(world.now + self.hours * HOUR)
        world.authority.unprovable = False


@dataclass(frozen=True)
class Clock:
    """Steps by so many days, and back after some hours."""

    days: float
    hours: float

    def happen(self, world):
        world.ahead = self.days * DAY
        world.run(world.now + self.hours * HOUR)
        world.ahead = 0.0


@dataclass(frozen=True)
class Drift:
    """A clock that is wrong by so little that nobody notices, for good."""

    seconds: float

    def happen(self, world):
        world.ahead = self.seconds


@dataclass(frozen=True)
class Window:
    """The authority suggests another time for hours, or talks nonsense."""

    days: float | None
    hours: float

    def happen(self, world):
        world.authority.window_days, world.authority.malformed = self.days, self.days is None
        world.run(world.now + self.hours * HOUR)
        world.authority.window_days, world.authority.malformed = None, False


@dataclass(frozen=True)
class Deploys:
    """Nothing that is new can be served."""

    hours: float

    def happen(self, world):
        world.broken_deploy = True
        world.run(world.now + self.hours * HOUR)
        world.broken_deploy = False


@dataclass(frozen=True)
class Restarts:
    """The daemon dies again and again, and is away for some hours."""

    times: int
    hours: float

    def happen(self, world):
        for _ in range(self.times):
            world.restart()
            world.run(world.now + 1.0)
        world.stopped = True
        world.run(world.now + self.hours * HOUR)
        world.stopped = False


events = st.one_of(
    st.builds(Outage, st.floats(0.1, 47.0)),
    st.builds(Unprovable, st.floats(0.1, 47.0)),
    st.builds(
        Clock, st.sampled_from([-9000, -30, -1, 0.5, 1, 5, 8, 60, 3000]), st.floats(0.1, 24)
    ),
    st.builds(Drift, st.floats(-500, 500)),
    st.builds(Window, st.sampled_from([None, -30, -1, 0, 0.5, 3]), st.floats(0.1, 100)),
    st.builds(Deploys, st.floats(0.1, 24)),
    st.builds(Restarts, st.integers(1, 20), st.floats(0.0, 30)),
)
weeks = st.lists(st.tuples(st.floats(0, 2), events), min_size=WEEKS, max_size=WEEKS)


@pytest.mark.slow
@pytest.mark.parametrize("has_ari", [True, False])
@pytest.mark.parametrize("days", [SHORT, 45])
@examples(2)
@given(happening=weeks)
def test_nothing_expires_and_no_limit_is_hit_whatever_happens(days, has_ari, happening):
    world = World.of(Authority(days, has_ari))
    for number, (day, event) in enumerate(happening):
        world.run(NOW + (number * 7 + day) * DAY)
        event.happen(world)
    world.run(NOW + WEEKS * 7 * DAY)
    assert all(each.served for each in world.kept)


@pytest.mark.parametrize(("days", "renewals"), [(SHORT, 55), (45, 6)])
@pytest.mark.parametrize("has_ari", [True, False])
def test_months_without_trouble_take_no_more_certificates_than_needed(days, renewals, has_ari):
    world = World.of(Authority(days, has_ari), lineages=1)
    world.run(NOW + WEEKS * 7 * DAY)
    assert renewals <= len(world.authority.issued) <= renewals * 1.1 + 1
    assert all(exempt for _, _, exempt in world.authority.issued[1:]) is has_ari


def test_a_daemon_that_is_restarted_every_second_sends_no_order_more():
    world = World.of(Authority(SHORT, has_ari=True), lineages=1)
    world.authority.unprovable = True
    for _ in range(600):
        world.restart()
        world.run(world.now + 1.0)
    assert len(world.authority.orders) == 0, "it was tried on staging, and failed there"
    assert world.kept[0].memory.last_trouble.failures == 2


def test_a_window_that_stays_in_the_past_renews_a_few_times_and_not_in_a_loop():
    authority = Authority(45, has_ari=True, window_days=-1)
    world = World.of(authority, lineages=1)
    world.run(NOW + 14 * DAY)
    assert 10 <= len(authority.issued) <= 15, "once a day"

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.planning.backoff import restart_delay


def test_the_delay_doubles_with_every_crash_up_to_its_limit():
    delays = [restart_delay(crashes, first=0.1, limit=1.0, jitter=0) for crashes in range(1, 7)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_what_ran_well_is_started_again_at_once():
    assert restart_delay(0, first=0.1, limit=15, jitter=0.9) == 0


def test_instances_that_died_together_do_not_return_together():
    assert restart_delay(1, first=10, limit=15, jitter=0.0) == 10
    assert restart_delay(1, first=10, limit=15, jitter=0.5) == pytest.approx(10.5)
    assert restart_delay(9, first=10, limit=15, jitter=0.5) == pytest.approx(15.75)


@given(st.integers(0, 1_000_000), st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0, 0.99))
def test_no_delay_is_longer_than_its_limit_and_a_tenth(crashes, first, limit, jitter):
    assert 0 <= restart_delay(crashes, first=first, limit=limit, jitter=jitter) <= limit * 1.1

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from portico.core.counting.histogram import (
    MAX_RELATIVE_ERROR,
    ZERO,
    add,
    bucket,
    cumulative,
    quantile,
)

TIMES = st.lists(st.integers(0, 1 << 40), min_size=1, max_size=200)


def histogram_of(times):
    found = {}
    for time in times:
        add(found, {bucket(time): 1})
    return found


def merged(*every):
    found = {}
    for each in every:
        add(found, each)
    return found


def test_the_error_is_below_two_percent():
    assert MAX_RELATIVE_ERROR < 0.02


@given(st.integers(1, 1 << 40))
def test_a_bucket_holds_what_is_in_its_bounds(milliseconds):
    number = bucket(milliseconds)
    assert (
        2 ** ((number - 1) / 32) * (1 - 1e-12) < milliseconds <= 2 ** (number / 32) * (1 + 1e-12)
    )


def test_times_below_one_millisecond_and_powers_of_two_are_exact():
    assert bucket(0) == ZERO
    assert [bucket(2**n) for n in range(40)] == [32 * n for n in range(40)]


@given(TIMES, st.floats(0, 1))
def test_a_quantile_is_within_its_error(times, share):
    exact = sorted(times)[max(1, math.ceil(share * len(times))) - 1]
    found = quantile(histogram_of(times), share)
    assert abs(found - exact) <= exact * MAX_RELATIVE_ERROR * (1 + 1e-9)


def test_no_times_have_no_quantile():
    assert quantile({}, 0.5) is None


@given(TIMES, TIMES, TIMES)
def test_merging_is_associative_and_commutative_and_the_same_as_counting_all(a, b, c):
    x, y, z = map(histogram_of, (a, b, c))
    whole = histogram_of(a + b + c)
    assert merged(merged(x, y), z) == merged(x, merged(y, z)) == merged(z, y, x) == whole


@given(TIMES)
def test_counts_up_to_a_power_of_two_are_exact(times):
    found = cumulative(histogram_of(times), range(1, 16))
    assert found == [sum(time <= 2**n for time in times) for n in range(1, 16)]

"""The arithmetic of docs/benchmarks.md."""

from __future__ import annotations

import pytest

from bench.compare.arithmetic import (
    MAX_LOAD,
    MAX_SPREAD,
    MAX_STEAL,
    doubts,
    exponent,
    paired_ratio,
    percentile,
    range_of,
)
from bench.compare.budgets import Budget
from bench.compare.results import Results, Sample, joined, rotated


def test_a_range_is_the_median_the_lowest_and_the_highest():
    found = range_of([4.0, 1.0, 2.0])
    assert (found.median, found.low, found.high, found.count) == (2.0, 1.0, 4.0, 3)
    assert found.spread == 1.5


def test_no_values_have_no_range():
    with pytest.raises(ValueError, match="no values"):
        range_of([])


def test_a_round_that_is_slow_for_both_does_not_change_their_ratio():
    ours, theirs = {0: 100.0, 1: 300.0, 2: 110.0}, {0: 200.0, 1: 600.0, 2: 220.0}
    found = paired_ratio(ours, theirs)
    assert found
    assert (found.low, found.high) == (0.5, 0.5)


def test_a_round_that_only_one_has_is_not_compared():
    found = paired_ratio({0: 1.0, 1: 9.0}, {0: 2.0})
    assert found
    assert (found.median, found.count) == (0.5, 1)
    assert paired_ratio({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_growth_is_found(power):
    points = [(size, 3.0 * size**power) for size in (10.0, 100.0, 1000.0)]
    assert exponent(points) == pytest.approx(power)


def test_one_size_has_no_exponent():
    assert exponent([(10.0, 1.0), (10.0, 2.0)]) is None


def test_a_percentile_is_one_of_the_values():
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 0.999)] == [50.0, 99.0, 100.0]
    assert percentile([], 0.5) == 0.0


def test_a_quiet_machine_with_steady_repetitions_is_evidence():
    assert doubts(load=0.05, steal=0.001, spreads=[0.01, 0.02, 0.9]) == []


@pytest.mark.parametrize(
    ("load", "steal", "spreads", "said"),
    [
        (MAX_LOAD + 0.01, 0.0, [0.0], "other work"),
        (0.0, MAX_STEAL + 0.01, [0.0], "host"),
        (0.0, 0.0, [0.0, MAX_SPREAD + 0.01, 0.5], "differ"),
        (0.0, 0.0, [], "repeated"),
    ],
)
def test_a_busy_machine_or_unsteady_repetitions_are_no_evidence(load, steal, spreads, said):
    (why,) = doubts(load, steal, spreads)
    assert said in why


def results(**values: list[float]) -> Results:
    """One case of one row; a value a round for each peer."""
    return Results(
        samples=[
            Sample("row", "case", peer, number, {"us": value})
            for peer, rounds in values.items()
            for number, value in enumerate(rounds)
        ]
    )


def test_a_ratio_table_compares_each_round_with_itself():
    found = results(ours=[10.0, 40.0], theirs=[20.0, 80.0])
    ratio = found.ratio("row", "case", ("ours", "theirs"), "us")
    assert ratio
    assert (ratio.median, ratio.count) == (0.5, 2)


def test_only_what_was_repeated_has_a_spread():
    assert results(ours=[10.0, 11.0], theirs=[20.0]).spreads("row", "us") == [
        pytest.approx(1 / 10.5)
    ]


@pytest.mark.parametrize(
    ("bound", "least", "measured", "verdict"),
    [
        (100.0, False, 80.0, "met by 20%"),
        (100.0, False, 120.0, "**missed by 20%**"),
        (2.0, True, 3.0, "met by 50%"),
        (2.0, True, 1.0, "**missed by 50%**"),
        (0.0, False, 0.0, "met"),
        (0.0, False, 3.0, "**missed by 3.00 ms**"),
    ],
)
def test_a_budget_says_by_how_much_it_is_met_or_missed(bound, least, measured, verdict):
    def look(found: Results):
        return found.range("row", "case", "ours", "us")

    budget = Budget("what", bound, " ms", look, least=least)
    assert budget.judged(results(ours=[measured]))[-1] == verdict
    assert budget.judged(results())[-1] == "not measured"


def test_results_are_read_as_they_were_written(tmp_path):
    before = results(ours=[10.0, 11.0])
    before.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == before


def test_rows_that_a_run_lacks_are_taken_from_another_one():
    first, other = results(ours=[10.0]), results(ours=[99.0])
    first.problems = ["Growth: no time was left", "PM2 did not start: it is not here"]
    other.steal, other.samples = 0.5, [*other.samples, Sample("growth", "5", "ours", 0, {"s": 2})]
    found = joined(first, [other], {"row": "A row", "growth": "Growth"})
    assert found.range("row", "case", "ours", "us") == range_of([10.0])
    assert found.range("growth", "5", "ours", "s") == range_of([2])
    assert found.problems == first.problems[1:]
    assert (found.runs, found.steal) == ({"growth": other}, 0.5)
    untimed = joined(first, [other], {"row": "A row", "growth": "Growth"}, {"growth"})
    assert (untimed.runs, untimed.steal) == ({"growth": other}, first.steal)


def test_each_round_begins_with_another_peer():
    assert [rotated("abc", number)[0] for number in range(4)] == ["a", "b", "c", "a"]

"""The short form of bench/chaos: what other tests do not show under a load of every kind.

Rows that are missing here differ little from one that is there, or have a test of their own
(bad versions, full disks, damaged state, upgrades); bench/chaos runs them all.
"""

from __future__ import annotations

import pytest

from bench.chaos_rows.outcome import SHORT, Outcome, Row
from bench.chaos_rows.rows import ROWS

SHOWN = {
    "rollout-node-ignores-sigterm",
    "rollout-node-dies-at-once",
    "rollout-python-pinned",
    "kill-instance",
    "crash-loop",
    "hung-instance",
    "kill-daemon-in-rollout",
    "restart-daemon",
    "kill-nginx-worker",
    "structural-reloads",
}
TIMED = {
    "rollout-node-ignores-sigterm",
    "rollout-node-dies-at-once",
    "rollout-python-pinned",
    "kill-instance",
    "crash-loop",
    "hung-instance",
}
"""Of those: what a loss is due to is told by when it was, within a second and less."""
CHOSEN = [row for row in ROWS if row.name in SHOWN]
PARAMS = [
    pytest.param(row, id=row.name, marks=pytest.mark.alone if row.name in TIMED else ())
    for row in CHOSEN
]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("row", PARAMS)
def test_a_site_goes_on_through(row: Row):
    outcome = Outcome()
    row.show(SHORT, outcome)
    assert outcome.wrong == []
    assert outcome.failed == 0
    assert outcome.during.requests > SHORT.rate / 2


def test_every_row_that_is_chosen_exists():
    assert {row.name for row in CHOSEN} == SHOWN

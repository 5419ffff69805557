"""Who is ready: by its check and, with wait_ready, by its own word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portico.adapters.processes.notices import parse
from portico.core.model.app import App
from portico.core.model.desired import Spec
from portico.core.model.instance import InstanceState, Process
from portico.core.model.launch import Notice
from portico.core.planning.lifecycle import after_adoption, after_kill, after_spawn
from portico.core.planning.reasons import READY_NOT_REPORTED
from portico.core.planning.reconcile import plan
from portico.engine.instances.readiness import Readiness
from tests.fakes.clock import FakeClock
from tests.unit.worlds import NOW, app, desired, one, planned, world
from tests.unit.worlds import why as whys

S = InstanceState
SAID = Notice(frozenset({4001}), ready=True)


class Known:
    """What the engine knows, and what programs have said."""

    def __init__(self, *instances, wait_ready=True, **keys) -> None:
        self.instances = {i.id: i for i in instances}
        self.app, self.said = App(command="run", wait_ready=wait_ready, **keys), []
        self.woken = 0
        self.versions = self
        self.readiness = Readiness(self, self, self.wake, clock=FakeClock(), notices=self)

    def wake(self) -> None:
        self.woken += 1

    def put(self, i) -> None:
        self.instances[i.id] = i

    def spec(self, _: str) -> Spec:
        return Spec("v1", "web", self.app, "/srv", {})

    def app_of(self, _: object) -> App:
        return self.app

    def take_notices(self) -> list[Notice]:
        said, self.said = self.said, []
        return said

    def after(self, *said: Notice, passed=False):
        self.said += said
        if passed:
            self.readiness.check_passed(self.first)
        self.readiness.apply_events()
        return self.first.state

    @property
    def first(self):
        return next(iter(self.instances.values()))


def test_both_its_check_and_its_word_are_needed_in_any_order():
    first = Known(one(S.STARTING))
    assert first.after(passed=True) is S.STARTING
    assert first.after() is S.STARTING
    assert first.after(SAID) is S.READY

    second = Known(one(S.STARTING))
    assert second.after(SAID) is S.STARTING
    assert second.after(passed=True) is S.READY


def test_nobody_is_woken_by_strangers_or_by_who_goes_on_saying_it():
    known = Known(one(S.STARTING))
    known.readiness.on_notice(Notice(frozenset({99}), ready=True))
    assert known.woken == 0
    known.readiness.on_notice(SAID)
    assert known.woken == 1
    known.after(SAID)
    known.readiness.on_notice(SAID)
    assert known.woken == 1


def test_without_wait_ready_its_check_is_enough():
    assert Known(one(S.STARTING), wait_ready=False).after(passed=True) is S.READY


def test_the_word_of_a_stranger_or_of_the_process_before_counts_for_nothing():
    known = Known(one(S.STARTING))
    assert known.after(Notice(frozenset({1, 99}), ready=True), passed=True) is S.STARTING
    known.put(replace(known.first, process=Process(4002, 8.0)))
    assert known.after(SAID) is S.STARTING
    assert known.after(Notice(frozenset({4002}), ready=True)) is S.STARTING, "its check is older"
    assert known.after(passed=True) is S.READY


def test_what_it_says_is_shown_until_another_process_takes_its_place():
    known = Known(one(S.STARTING))
    assert known.readiness.status_text(known.first) == "no readiness notification yet (wait_ready)"
    known.after(Notice(frozenset({4001}), status="loads 40 %"))
    assert known.readiness.status_text(known.first) == "loads 40 %"
    known.put(replace(known.first, process=Process(4002, 8.0), said_ready=True))
    known.after()
    assert known.readiness.status_text(known.first) == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"READY=1", (True, None)),
        (b"READY=1\nSTATUS=works\nMAINPID=7\n", (True, "works")),
        (b"READY=0", (False, None)),
        (b"STATUS=\x1b[31mred\x07", (False, "[31mred")),
        (b"STATUS=", (False, "")),
        (b"WATCHDOG=1", (False, None)),
        (b"\xff\xfe", (False, None)),
        (b"STATUS=" + b"x" * 999, (False, "x" * 200)),
    ],
)
def test_messages_of_sd_notify_are_read(said, expected):
    assert parse(said) == expected


def test_who_never_says_it_is_killed_in_time_and_that_is_the_reason():
    its = app(wait_ready=True, ready_timeout=5, good=None)
    late = one(S.STARTING, since=NOW - 5)
    (step,) = plan(desired(its), world(late, knows=[its]), generation="g1")
    assert step.why == f"was not ready within 5s: {READY_NOT_REPORTED}"
    assert after_kill(late, now=NOW, why=step.why).reason == step.why


def test_who_said_it_and_fails_its_check_has_that_as_the_reason():
    its = app(wait_ready=True, ready_timeout=5, good=None)
    late = one(S.STARTING, since=NOW - 5, said_ready=True, reason="opened no port within 5s")
    assert whys(plan(desired(its), world(late, knows=[its]), generation="g1")) == [late.reason]
    silent = replace(late, said_ready=False)
    assert whys(plan(desired(its), world(silent, knows=[its]), generation="g1")) == [
        f"was not ready within 5s: {READY_NOT_REPORTED}; besides, it opened no port within 5s"
    ]


def test_a_rollout_to_a_version_that_never_says_it_is_reverted():
    its = app(version="v2", wait_ready=True, ready_timeout=5)
    new = one(S.STARTING, version="v2", since=NOW - 5)
    assert planned(its, one(), new) == ["roll back web to the previous version"]


def test_a_new_process_has_said_nothing_and_under_a_new_daemon_it_has_its_time_once_more():
    again = after_spawn(one(S.BACKOFF, said_ready=True), Process(7, 7.0), now=NOW)
    assert again.said_ready is False
    assert after_adoption(one(S.STARTING, since=NOW - 50), now=NOW).since == NOW
    assert after_adoption(one(S.READY, since=NOW - 50), now=NOW).since == NOW - 50

"""What is not ready in time, where it is to continue as under PM2."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.config.desired import desired_from
from portico.core.model.instance import InstanceState
from portico.core.planning.lateness import is_late, is_overdue, run_time_until_ready
from portico.core.planning.progress import LATE_TIME, progress
from portico.core.planning.reconcile import plan
from tests.documents import read
from tests.unit.test_readiness import SAID, Known
from tests.unit.worlds import NOW, SERVING, app, desired, one, planned, world

S = InstanceState
PATIENT = {"ready_timeout": 5, "after_ready_timeout": "continue"}


def late(**fields):
    return one(S.STARTING, since=NOW - 5, reason="opened no port within 5s", **fields)


def test_an_instance_is_late_or_overdue_only_when_its_time_is_up():
    for its, expected in ((app(**PATIENT), (True, False)), (app(ready_timeout=5), (False, True))):
        assert (is_late(late(), its.app, NOW), is_overdue(late(), its.app, NOW)) == expected
        for other in (one(S.STARTING, since=NOW - 4.9), one(since=NOW - 9)):
            assert not is_late(other, its.app, NOW)
            assert not is_overdue(other, its.app, NOW)


@pytest.mark.parametrize(
    ("keys", "seconds"),
    [({}, 1), ({"min_uptime": 10}, 10), ({"min_uptime": 60}, 15), ({"ready_timeout": 1}, 0.5)],
)
def test_what_cannot_be_probed_is_ready_before_its_time_is_up(keys, seconds):
    assert run_time_until_ready(app(**keys).app) == seconds


def test_it_is_neither_restarted_nor_is_the_version_rolled_back():
    assert planned(app(good=None, **PATIENT), late()) == []
    assert planned(app(version="v2", **PATIENT), one(), late(version="v2")) == []
    assert planned(app(good=None, ready_timeout=5), late()) == ["kill web.1.1"]


def test_nginx_does_not_wait_for_it():
    old, its = replace(SERVING, live="g0"), app(good=None, **PATIENT)
    for instance, switches in ((late(), True), (one(S.STARTING), False)):
        seen = world(instance, knows=[its], nginx=old)
        steps = [type(step).__name__ for step in plan(desired(its), seen, generation="g1")]
        assert ("SwitchGeneration" in steps) == switches


def test_who_waits_for_it_learns_after_half_a_minute_that_it_continues():
    its, said = app(good=None, **PATIENT), late()

    def waited(seconds):
        seen = world(said, knows=[its])
        return progress(desired(its), seen, ["web"], generation="g1", waited=seconds)

    assert waited(LATE_TIME - 1).waiting == ("web: 0 of 1 ready",)
    assert waited(LATE_TIME).done
    assert waited(LATE_TIME).late == (
        "web.1.1 opened no port within 5s; it keeps running and gets requests when it answers",
    )


def test_its_check_alone_makes_it_ready_when_its_word_is_late():
    def after(*said, seconds=0.0, passed=True, **fields):
        return Known(one(S.STARTING, since=-seconds, **fields), **PATIENT).after(
            *said, passed=passed
        )

    assert after(seconds=4.9) is S.STARTING
    assert after(seconds=5) is S.READY
    assert after(seconds=5, passed=False) is S.STARTING
    assert after(seconds=5, taken=True) is S.STARTING
    assert after(SAID) is S.READY


def test_an_app_is_reached_by_a_site_a_route_or_an_upstream_of_one():
    text = """
    apps.web.command = "x"
    apps.api.command = "x"
    apps.one.command = "x"
    apps.jobs.command = "x"
    upstreams.both.apps = ["one"]
    upstreams.unused.apps = ["jobs"]
    [sites."a.localhost"]
    app = "web"
    routes = { "/api" = "api", "/one" = { upstream = "both" } }
    """
    found = desired_from(read(text), folder="/srv", environ={}, cores=1, root=False)
    assert {name for name, each in found.apps.items() if each.reached} == {"web", "api", "one"}

from __future__ import annotations

from dataclasses import replace

import pytest

from portico.core.model.instance import Exit, InstanceState, LastExit
from portico.core.model.world import NginxSeen
from portico.core.planning.preview import preview
from tests.unit.worlds import SERVING, app, desired, one, said, world
from tests.waiting import processor_seconds

S = InstanceState
OLD_GENERATION = NginxSeen(pid=81, generation=1, live="g0")


def steps(its, seen, generation="g1"):
    return said(preview(desired(*its), seen, generation=generation))


def test_a_first_start_is_shown_to_its_end():
    assert steps([app(good=None, instances=2)], world(nginx=NginxSeen())) == [
        "start web.1 on a free port",
        "start web.2 on a free port",
        "publish slots none of web",
        "publish slots 1, 2 of web",
        "switch nginx to the new configuration",
    ]


def test_a_rollout_is_shown_slot_by_slot():
    its = app(version="v2", instances=2)
    assert steps([its], world(one(slot=1), one(slot=2), knows=[its])) == [
        "start web.1 on a free port",
        "drain web.1.1",
        "start web.2 on a free port",
        "publish slots 1, 2 of web",
        "drain web.2.2",
        "publish slots 1, 2 of web",
        "stop web.1.1",
        "stop web.2.2",
    ]


def test_a_run_before_a_rollout_is_shown_to_its_end():
    run = replace(app("migrate", version="v2", port=False, autorestart=False), must_end=True)
    its = [run, app(version="v2", after=("migrate",))]
    before = one(S.STOPPED, name="migrate", process=None, ended=LastExit(Exit(0), 1.0))
    shown = steps(its, world(one(), before, knows=its))
    assert [step for step in shown if step.startswith("start")] == [
        "start migrate.1 on a free port",
        "start web.1 on a free port",
    ]


def test_a_single_pinned_port_is_shown_with_its_stand_in():
    its = app(version="v2", port=3000)
    shown = steps([its], world(one(port=3000), knows=[its]))
    assert [step for step in shown if not step.startswith("publish")] == [
        "start web.1 on a free port",
        "drain web.1.1",
        "stop web.1.1",
        "start web.1 on port 3000",
        "drain web.1.new2",
        "stop web.1.new2",
    ]


def test_a_removed_app_is_shown_leaving_after_nginx_has_switched():
    old, new = app("old"), app(good=None)
    shown = steps([new], world(one(name="old"), knows=[old], nginx=OLD_GENERATION))
    assert shown[-4:] == [
        "switch nginx to the new configuration",
        "drain old.1.1",
        "publish slots none of old",
        "stop old.1.1",
    ]


def test_where_nothing_changes_nothing_is_shown():
    its = app()
    assert steps([its], world(one(), knows=[its], nginx=SERVING)) == []


@pytest.mark.parametrize("state", [S.STARTING, S.RESTARTING, S.BACKOFF, S.DRAINING, S.STOPPING])
def test_what_is_under_way_does_not_hold_the_preview_up(state):
    its = app(version="v2", port=3000)
    shown = steps([its], world(one(state, port=3000, retry_at=1e9), knows=[its]))
    assert "start web.1 on port 3000" in shown


def test_a_busy_nginx_is_shown_what_comes_after():
    its = app()
    busy = NginxSeen(pid=81, generation=1, live="g0", busy=True)
    shown = steps([its], world(one(), knows=[its], nginx=busy))
    assert shown == ["switch nginx to the new configuration"]


def test_a_version_that_has_already_failed_is_shown_to_be_reverted_once():
    its = app(version="v2")
    shown = steps([its], world(one(), one(S.BACKOFF, version="v2", crashes=1), knows=[its]))
    assert shown == ["roll back web to the previous version", "drain web.1.11"]


def test_the_end_of_everything_is_shown():
    its = app()
    shown = said(preview(desired(), world(one(), knows=[its]), generation=""))
    assert shown == [
        "stop nginx",
        "drain web.1.1",
        "publish slots none of web",
        "stop web.1.1",
    ]


def test_a_preview_of_many_instances_ends():
    its = app(version="v2", instances=60, batch=7)
    before = [one(slot=n) for n in range(1, 61)]
    shown = steps([its], world(*before, knows=[its]))
    assert len([step for step in shown if step.startswith("stop")]) == 60


def test_the_end_of_thousands_of_instances_is_foreseen_in_a_moment():
    many = [one(slot=slot) for slot in range(1, 4001)]
    before = processor_seconds()
    shown = preview(desired(), world(*many, knows=[app()]), generation="")
    assert len(shown) == 8002
    assert processor_seconds() - before < 2, "each step copied all of them: 4.5 s"

from __future__ import annotations

from dataclasses import replace

from portico.core.model.instance import InstanceState
from portico.core.model.world import NginxSeen
from portico.core.planning.progress import TOO_MANY_CRASHES, Progress, progress
from tests.unit.worlds import SERVING, app, desired, one, world

S = InstanceState


def of(its, *instances, waited=0.0, **fields) -> Progress:
    seen = world(*instances, **{"knows": [its], **fields})
    return progress(desired(its), seen, [its.name], generation="g1", waited=waited)


def test_an_app_is_done_when_every_slot_is_ready_and_the_version_is_kept():
    ready = one(slot=1), one(slot=2)
    assert of(app(instances=2), *ready).done
    assert of(app(instances=2, good=None), *ready).waiting == ("web: 2 of 2 ready",)
    assert of(app(instances=2), one(), one(S.STARTING, slot=2)).waiting == ("web: 1 of 2 ready",)


def test_a_rollout_is_done_only_when_nothing_older_serves():
    its = app(version="v2", good="v2")
    assert of(its, one(version="v2"), one()).waiting == ("web: 1 of 1 ready",)
    assert of(its, one(version="v2"), one(S.DRAINING)).done


def test_a_stand_in_and_a_slot_that_leaves_are_not_what_is_waited_for():
    assert of(app(port=3000), one()).waiting == ("web: 0 of 1 ready",)
    assert of(app(instances=2), one(), one(slot=3)).waiting == ("web: 1 of 2 ready",)


def test_nobody_waits_longer_for_a_crash_loop_or_for_what_has_stopped_for_good():
    failed = one(S.FAILED, reason="exited with code 1")
    assert of(app(), failed).failed == ("web.1.1 exited with code 1",)
    stopped = one(S.STOPPED, reason="exited with code 0")
    assert of(app(autorestart=False), stopped).failed == ("web.1.1 exited with code 0",)
    assert of(app(stop_exit_codes=(0,)), stopped).failed == ("web.1.1 exited with code 0",)


def test_a_few_crashes_in_a_row_are_enough_to_stop_waiting():
    crashing = one(S.BACKOFF, crashes=TOO_MANY_CRASHES, reason="exited with code 1")
    assert of(app(), crashing).failed == (
        "web.1.1 exited with code 1; Portico continues to restart it",
    )
    again = replace(crashing, state=S.STARTING, reason="", last_failure="exited with code 1")
    assert of(app(), again) == of(app(), crashing)
    assert not of(app(), replace(crashing, crashes=TOO_MANY_CRASHES - 1)).failed


def test_what_leaves_is_no_failure_of_what_comes_after_it():
    gone = one(S.GONE, crashes=TOO_MANY_CRASHES, reason="exited with code 1")
    assert of(app(), gone).waiting == ("web: 0 of 1 ready",)


def test_a_single_crash_ends_the_wait_only_when_its_time_is_up():
    crashed = one(S.STARTING, crashes=1, reason="exited with code 1")
    assert not of(app(ready_timeout=5), crashed, waited=4.9).failed
    assert of(app(ready_timeout=5), crashed, waited=5).failed


def test_crashes_before_it_became_ready_are_held_against_nobody():
    assert of(app(), one(crashes=9)).done


def test_what_an_older_version_does_is_no_failure_of_the_new_one():
    its = app(version="v2")
    assert of(its, one(S.FAILED), one(S.STARTING, version="v2")).failed == ()


def test_an_app_that_was_stopped_is_waited_for_until_nothing_of_it_is_left():
    its = app(stopped=True)
    assert of(its, one(S.STOPPING)).waiting == ("web: waiting for 1 to stop",)
    assert of(its).done


def test_an_app_that_was_removed_is_waited_for_until_it_is_forgotten():
    nothing = desired()
    left = world(one(S.STOPPING), endpoints={"web": ()})
    forgotten = progress(nothing, world(), ["web"], generation="g1", waited=0)
    assert progress(nothing, left, ["web"], generation="g1", waited=0).waiting
    assert forgotten.done


def test_the_new_generation_is_waited_for_until_a_running_nginx_serves_it():
    its, ready = app(), one()
    not_yet = ("nginx: the new configuration is not loaded yet",)
    assert of(its, ready, nginx=NginxSeen(81, 1, "g0")).waiting == not_yet
    assert of(its, ready, nginx=NginxSeen(None, 1, "g1")).waiting == not_yet
    assert of(its, ready, nginx=SERVING).done


def test_a_generation_that_nginx_refused_is_a_failure_in_its_words():
    refusing = NginxSeen(81, 1, "g0", refused="g1", refused_because="port 80 is in use")
    assert of(app(), one(), nginx=refusing).failed == ("port 80 is in use",)


def test_without_sites_nginx_is_waited_for_until_it_has_stopped():
    its = app()
    seen = world(one(), knows=[its], nginx=SERVING)
    waiting = progress(desired(its), seen, ["web"], generation="", waited=0).waiting
    assert waiting == ("nginx: waiting for it to stop",)
    gone = world(one(), knows=[its], nginx=NginxSeen())
    assert progress(desired(its), gone, ["web"], generation="", waited=0).done

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.core.model.app import App, SlotServer
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.instance import Instance, InstanceState
from portico.core.model.names import InstanceId
from portico.core.model.world import World
from portico.core.planning.endpoints import endpoints_of
from portico.core.planning.reconcile import wake_at
from portico.core.planning.slow_start import next_step, share

S = InstanceState
LONG_AGO, NOW = 1000.0, 5000.25


def instances(*since: float) -> list[Instance]:
    """Ready ones, one a slot, by when they became so."""
    return [
        Instance(InstanceId(f"web.{n}.{n}"), "web", n, "v1", 41000 + n, S.READY, moment)
        for n, moment in enumerate(since, 1)
    ]


def weights(slow_start: float, now: float, *since: float, scale: int = 10, **app) -> list[int]:
    made = App(slow_start=slow_start, instances=len(since), **app)
    spec = Spec("v1", "web", made, "/srv", {})
    wanted = DesiredApp("web", len(since), spec, scale=scale)
    return [e.weight for e in endpoints_of(wanted, instances(*since), now)]


@pytest.mark.parametrize(
    ("age", "weight"),
    [(0, 1), (5, 1), (6, 3), (11, 3), (12, 5), (18, 7), (24, 9), (29, 9), (30, 10), (999, 10)],
)
def test_the_share_of_a_new_instance_grows_in_five_steps(age, weight):
    assert weights(30, NOW + age, LONG_AGO, LONG_AGO, NOW) == [10, 10, weight]


def moments(*beside: Instance) -> list[float]:
    return sorted(i.since for i in beside)


@pytest.mark.parametrize(
    ("slow_start", "shares"),
    [
        (1, [0.5]),
        (2, [0.25, 0.75]),
        (3.5, [1 / 6, 1 / 6, 0.5, 5 / 6]),
        (5, [0.1, 0.3, 0.5, 0.7, 0.9]),
        (0.3, [0.5]),
    ],
)
def test_a_short_one_has_fewer_steps_a_second_apart(slow_start, shares):
    old, new = instances(LONG_AGO, NOW)
    found = [
        share(new, moments(old, new), slow_start, NOW + age) for age in range(len(shares) + 1)
    ]
    assert found == pytest.approx([*shares, 1.0])


@given(st.floats(0.1, 4000), st.floats(0, 5000), st.floats(0, 5000))
def test_the_share_never_falls_and_ends_on_time(slow_start, first, second):
    old, new = instances(LONG_AGO - slow_start, NOW)
    early, late = sorted((NOW + first, NOW + second))
    both = moments(old, new)
    assert 0.1 <= share(new, both, slow_start, early) <= share(new, both, slow_start, late) <= 1
    assert share(new, both, slow_start, NOW + slow_start + 2) == 1


@given(st.floats(1, 600), st.lists(st.floats(0, 600), min_size=1, max_size=8))
def test_an_app_changes_once_a_second_at_most_and_is_woken_for_each_change(slow_start, ages):
    """However many of its instances grow, and whenever each became ready."""
    since = [NOW - age for age in ages]
    warm = [LONG_AGO - slow_start] * len(since)
    now, changed = NOW, []
    while now < NOW + 610:
        before = weights(slow_start, now, *warm, *since)
        steps = [next_step(i, slow_start, now) for i in instances(*since)]
        following = min((step for step in steps if step), default=NOW + 610)
        assert following > now
        just_before = following - 0.001
        if just_before > now:
            assert weights(slow_start, just_before, *warm, *since) == before
        now = following
        changed.append(now)
    assert all(moment == int(moment) for moment in changed[:-1])


def test_at_a_first_start_nobody_is_held_back():
    assert weights(30, NOW + 3, NOW, NOW + 0.5, NOW + 2, NOW + 2) == [10, 10, 10, 10]


def test_the_only_instance_has_its_whole_weight():
    assert weights(30, NOW, NOW) == [10]


def test_it_needs_as_many_warm_ones_as_new_ones():
    """Late in a rollout the last old instances must not get what is kept from all the others."""
    assert weights(30, NOW, LONG_AGO, NOW) == [10, 1]
    assert weights(30, NOW, LONG_AGO, LONG_AGO, NOW, NOW) == [10, 10, 1, 1]
    assert weights(30, NOW, LONG_AGO, NOW, NOW) == [10, 10, 10]


def test_weights_of_slots_and_of_the_app_stay_in_proportion():
    slots = {"2": SlotServer(weight=4), "3": SlotServer(weight=4)}
    since = (LONG_AGO, LONG_AGO, NOW)
    assert weights(30, NOW, *since, weight=2, slots=slots) == [20, 40, 4]
    assert weights(30, NOW + 30, *since, weight=2, slots=slots) == [20, 40, 40]


def test_backups_and_the_others_are_counted_apart():
    slots = {"2": SlotServer(backup=True)}
    assert weights(30, NOW, LONG_AGO, NOW, slots=slots) == [10, 10]


def test_without_a_slow_start_weights_are_what_the_file_says():
    assert weights(0, NOW, LONG_AGO, NOW, scale=1) == [1, 1]
    assert weights(0, NOW, LONG_AGO, NOW, scale=10, weight=3) == [30, 30]


def test_what_is_handed_out_although_it_fails_its_check_is_not_held_back():
    old, new = instances(LONG_AGO, NOW)
    unready = [replace(i, state=S.UNREADY) for i in (old, new)]
    assert share(unready[1], moments(*unready), 30, NOW) == 1


def test_the_plan_is_made_again_for_the_next_step():
    app = App(slow_start=30, instances=2)
    wanted = DesiredApp("web", 2, Spec("v1", "web", app, "/srv", {}), scale=10)
    desired = Desired(apps={"web": wanted})
    world = World(NOW + 1, {i.id: i for i in instances(LONG_AGO, NOW)})
    assert wake_at(desired, world) == 5006
    assert wake_at(desired, replace(world, now=NOW + 31)) is None

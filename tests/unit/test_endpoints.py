from __future__ import annotations

import pytest

from portico.core.model.instance import InstanceState
from portico.core.model.world import Endpoint
from portico.core.planning.endpoints import endpoints_of
from tests.unit.worlds import NOW, app, one, rolled_back

S = InstanceState


def handed_out(its, *instances) -> list[str]:
    return [endpoint.instance for endpoint in endpoints_of(its, instances, NOW)]


def test_every_slot_with_a_ready_instance_has_one_endpoint_in_their_order():
    instances = [one(slot=3), one(slot=1), one(S.STARTING, slot=2)]
    assert handed_out(app(instances=3), *instances) == ["web.1.1", "web.3.3"]


@pytest.mark.parametrize("state", [s for s in S if s not in {S.READY, S.UNREADY}])
def test_what_is_not_ready_is_not_handed_out(state):
    assert handed_out(app(), one(state)) == []


def test_an_old_instance_is_handed_out_until_the_new_one_in_its_slot_is_ready():
    its, old = app(version="v2"), one()
    assert handed_out(its, old, one(S.STARTING, version="v2")) == ["web.1.1"]
    assert handed_out(its, old, one(version="v2")) == ["web.1.11"]


def test_after_a_revert_the_version_before_goes_before_the_one_given_up():
    assert handed_out(app(), one(version="v2"), one()) == ["web.1.1"]


def test_after_a_rollback_the_version_says_whether_it_listens_and_the_file_whether_it_is_down():
    assert handed_out(rolled_back({"port": 3000}, {"port": False}), one(port=3000)) == ["web.1.1"]
    assert handed_out(rolled_back({"port": 3000}, {"down": True}), one(port=3000)) == []


def test_of_two_of_one_version_the_one_at_home_is_handed_out_before_a_stand_in():
    its = app(port=3000)
    stand_in, at_home = one(serial=7, spawned=NOW + 1), one(port=3000)
    assert handed_out(its, stand_in) == ["web.1.7"]
    assert handed_out(its, stand_in, at_home) == ["web.1.1"]


def test_of_two_alike_the_younger_is_handed_out():
    older, younger = one(spawned=NOW - 9), one(serial=2)
    assert handed_out(app(), younger, older) == ["web.1.2"]


def test_a_successor_is_handed_out_before_the_worn_instance_it_replaces():
    assert handed_out(app(), one(spawned=NOW + 9, worn="old"), one(serial=2)) == ["web.1.2"]


def test_an_endpoint_has_the_weight_of_its_slot_or_else_of_its_app():
    its = app(instances=3, weight=2, slots={"2": {"weight": 5}, "3": {"backup": True}})
    assert endpoints_of(its, [one(slot=1), one(slot=2), one(slot=3)], NOW) == (
        Endpoint(1, "web.1.1", 41001, weight=2),
        Endpoint(2, "web.2.2", 41002, weight=5),
        Endpoint(3, "web.3.3", 41003, weight=2, backup=True),
    )


def test_slots_and_apps_that_are_down_run_without_being_handed_out():
    both = one(slot=1), one(slot=2)
    assert handed_out(app(instances=2, slots={"2": {"down": True}}), *both) == ["web.1.1"]
    assert handed_out(app(instances=2, down=True), *both) == []


def test_a_worker_is_handed_out_neither_as_such_nor_while_it_learns_to_listen():
    worker = one(port=0)
    assert handed_out(app(port=False), worker) == []
    assert handed_out(app(version="v2"), worker) == []

"""Where an app runs in a cluster, with how many instances, and what differs there."""

from __future__ import annotations

import tomllib

import pytest

from portico.core.config.desired import desired_from
from portico.core.config.document import read_document
from portico.core.config.placement import desired_on, document_on, parts, vacated_machines
from portico.core.model.cluster import Machine
from portico.core.model.desired import Desired
from portico.core.model.document import Document
from portico.errors import ConfigError

MACHINES = {
    "m1": Machine(address="10.0.0.1"),
    "m2": Machine(address="10.0.0.2", labels=("large", "jobs")),
    "m3": Machine(address="10.0.0.3", labels=("large",)),
}
TABLES = "\n".join(
    f'machines.{name} = {{ address = "{each.address}", labels = {[*each.labels]} }}'
    for name, each in MACHINES.items()
)


def read(*keys: str, machines: str = TABLES) -> Document:
    text = "\n".join(['apps.web.command = "x"', *(f"apps.web.{key}" for key in keys), machines])
    return read_document(tomllib.loads(text), source="portico.toml")


def problems(*keys: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(*keys)
    return [
        f"{each.where.removeprefix('apps.web.')}: {each.what}" for each in error.value.problems
    ]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (["instances = 2"], {"m1": 2, "m2": 2, "m3": 2}),
        (['instances = "max"', "machines.m2.instances = 1"], {"m1": "max", "m2": 1, "m3": "max"}),
        (["machines.large.instances = 4"], {"m1": 1, "m2": 4, "m3": 4}),
        (
            ["machines.m3.instances = 2", "machines.large.instances = 4"],
            {"m1": 1, "m2": 4, "m3": 2},
        ),
        (
            ["machines.large.instances = 4", 'machines.jobs.env.A = "b"'],
            {"m1": 1, "m2": 4, "m3": 4},
        ),
        (["machines.jobs.instances = 0"], {"m1": 1, "m3": 1}),
        (['on = ["large"]', "machines.m2.instances = 3"], {"m2": 3, "m3": 1}),
        (["total = 6", "machines.m2.instances = 4"], {"m1": 1, "m2": 4, "m3": 1}),
        (["total = 4", "machines.m1.instances = 0"], {"m2": 2, "m3": 2}),
    ],
)
def test_how_many_instances_run_on_each_machine(keys, found):
    assert parts("web", read(*keys).apps["web"], MACHINES) == found


@pytest.mark.parametrize(
    ("keys", "drained", "found"),
    [
        (["total = 6"], ["m2"], {"m1": 3, "m3": 3}),
        (["total = 6"], ["m1", "m2"], {"m3": 6}),
        (["total = 6"], ["m1", "m2", "m3"], {"m1": 2, "m2": 2, "m3": 2}),
        (["total = 6", "machines.m2.instances = 4"], ["m2"], {"m1": 3, "m3": 3}),
        (["total = 6", "machines.m2.instances = 4"], ["m1"], {"m2": 4, "m3": 2}),
        (["total = 4", 'on = ["large"]'], ["m2"], {"m3": 4}),
        (["instances = 2"], ["m2"], {"m1": 2, "m2": 2, "m3": 2}),
    ],
)
def test_of_a_total_others_run_the_part_of_a_drained_machine(keys, drained, found):
    app = read(*keys).apps["web"]
    assert parts("web", app, MACHINES, drained) == found
    usual = parts("web", app, MACHINES)
    assert all(found[m] >= usual.get(m, 0) for m in found)  # none ends anything for it


@pytest.mark.parametrize(
    ("machine", "drained", "instances", "on", "elsewhere"),
    [
        ("m3", [], 0, ("m2",), {"m2": 1}),
        ("m2", [], 1, ("m2",), {"m3": 1}),
        ("m1", ["m2"], 0, ("m2", "m3"), {"m3": 1}),
        ("m3", ["m2"], 1, ("m2", "m3"), {"m1": 1}),
        ("m2", ["m2"], 1, ("m2", "m3"), {"m3": 1}),  # until it leaves it
        ("m1", ["m2", "m3"], 1, ("m1", "m2"), {"m2": 1}),
        # m3 runs it for m2, and may cross to all
        ("m3", ["m2", "m3"], 1, (), {"m1": 1}),
    ],
)
def test_where_one_instance_runs_while_its_machine_is_drained(
    machine, drained, instances, on, elsewhere
):
    """Both places take requests, and each waits for the other one."""
    document = read("total = 1")
    desired = desired_from(document, folder="/srv", environ={}, cores=2, root=False)
    found = desired_on(desired, machine, 2, drained)
    app = found.apps["web"]
    assert (app.instances, app.app.on, app.elsewhere) == (instances, on, elsewhere)


@pytest.mark.parametrize("total", [1, 2, 4, 6])
@pytest.mark.parametrize("machine", MACHINES)
def test_no_machine_runs_fewer_for_its_own_drain_while_another_one_is_left(machine, total):
    document = read(f"total = {total}")
    desired = desired_from(document, folder="/srv", environ={}, cores=2, root=False)

    def number(*drained: str) -> int:
        return desired_on(desired, machine, 2, drained).apps["web"].instances

    others = [m for m in MACHINES if m != machine]
    for before in ([], *([m] for m in others)):
        assert number(*before, machine) == number(*before)
    assert number(*MACHINES) == (number() or total)  # none is left to take it


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (['on = ["m1"]'], ['on = ["m2"]'], {"m1"}),
        (['on = ["m1"]'], ['on = ["large"]'], {"m1"}),
        (['on = ["large"]'], ['on = ["m1"]', "total = 1"], {"m2", "m3"}),
        (['on = ["large"]'], ['on = ["m1", "m3"]'], set()),
        (["instances = 1"], ['on = ["m2"]'], set()),
        (['on = ["m1"]'], ['on = ["m2"]', 'replace_order = "stop_first"'], set()),
    ],
)
def test_machines_that_lose_an_app_to_others_are_known(before, after, found):
    one, other = (
        desired_from(read(*keys), folder="/srv", environ={}, cores=2, root=False)
        for keys in (before, after)
    )
    assert vacated_machines(one, other) == found
    assert vacated_machines(Desired(), other) == set()


def test_environment_and_limit_are_those_of_the_most_precise_table():
    document = read(
        'env = { A = "all", B = "all" }',
        'max_memory = "1g"',
        'machines.m2.env.B = "m2"',
        'machines.large = { env = { B = "large", C = "large" }, max_memory = "2g" }',
    )
    found = {name: document_on(document, name, MACHINES).apps["web"] for name in MACHINES}
    assert {name: (app.env, (app.max_memory or 0) >> 30) for name, app in found.items()} == {
        "m1": ({"A": "all", "B": "all"}, 1),
        "m2": ({"A": "all", "B": "m2", "C": "large"}, 2),
        "m3": ({"A": "all", "B": "large", "C": "large"}, 2),
    }


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (
            ["machines.m4.instances = 1", "machines.m2.instances = -1"],
            ['machines.m4: there is no machine or label "m4"'],
        ),
        (["machines.m2.port = 1"], ["machines.m2.port: unknown key"]),
        (
            ["total = 6", 'machines.m2.instances = "max"'],
            ["machines.m2.instances: must be a number, because the app has a total"],
        ),
        (
            ["total = 3", "machines.large.instances = 2"],
            ["total: is 3, but with the numbers of its machines they run 4"],
        ),
        (
            ["total = 7", "machines.large.instances = 2", "machines.m1.instances = 2"],
            ["total: is 7, but with the numbers of its machines they run 6"],
        ),
        (
            ['on = ["m1"]', "machines.m1.instances = 0"],
            ["machines: leaves no machine that runs the app"],
        ),
        (
            ["port = 8440", "machines.m2.instances = 6"],
            ["machines.m1.port"],
        ),
        (
            ["port = false", 'schedule = "@daily"', "machines.m2.instances = 2"],
            ["machines.m2.instances: must be 0 or 1 with schedule: one run at a time"],
        ),
        (
            ["find_port = true", "machines.m2.instances = 2"],
            ["find_port: is for one instance; several cannot listen on the same port"],
        ),
    ],
)
def test_what_cannot_be_on_a_machine_is_refused(keys, found):
    said = problems(*keys)
    for each in found:
        assert any(line.startswith(each) for line in said), said


def test_slots_are_those_of_the_machine_with_most_instances():
    read("machines.m2.instances = 3", "slots.3.weight = 2")
    assert problems("machines.m2.instances = 3", "slots.4.weight = 2") == [
        "slots.4: is not a slot of the app, which has 3 instances"
    ]

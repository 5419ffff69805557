"""Tables `[machines.NAME]`, and where an app is placed."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from portico.core.config.notes import notes
from portico.core.model.cluster import Machine, MemberList, placed_on, shares
from portico.core.model.names import PROJECT
from portico.core.model.place import RenderContext
from portico.core.model.requests import DocumentRequest
from portico.core.model.shared import SharedMachine, encode
from portico.core.model.snapshot import StoredItem
from portico.core.planning.members import member_list
from portico.core.render.generation import render_generation
from portico.engine.inputs import Inputs, ReadFiles, read_files
from portico.errors import ConfigError
from tests.documents import problems_of, read
from tests.rendered import IN_CLUSTER, MACHINE, WHEEL

MACHINES = {
    "m1": Machine(address="10.0.0.1", labels=("web",)),
    "m2": Machine(address="10.0.0.2", labels=("web", "jobs")),
    "m3": Machine(address="fd00::3"),
}


@pytest.mark.parametrize(
    ("on", "names"),
    [
        ((), ("m1", "m2", "m3")),
        (("m3", "m1"), ("m1", "m3")),
        (("web",), ("m1", "m2")),
        (("jobs", "m3"), ("m2", "m3")),
        (("absent",), ()),
    ],
)
def test_an_app_is_placed_by_names_and_labels(on, names):
    assert placed_on(on, MACHINES) == names


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ('machines.m1.address = "m1.example"', 'must be an IP address such as "10.0.0.1"'),
        ('machines.m1.address = "0.0.0.0"', "that other machines can reach"),
        ('machines.m1.address = "fe80::3"', "that other machines can reach"),
        ('machines.m1.address = "fe80::3%eth0"', "that other machines can reach"),
        ('machines.m1.address = "fd00::3%; x"', "that other machines can reach"),
        ('machines.m_1.address = "10.0.0.1"', "must be a name of 1 to 50"),
        ("machines.m1.port = 8445", "machines.m1.address: is required"),
    ],
)
def test_a_machine_has_a_name_and_an_address(toml, problem):
    [found] = problems_of(toml)
    assert problem in found


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (
            'machines.m1.address = "10.0.0.1"\nmachines.m2.address = "10.0.0.1"',
            "machines.m2.address: is the same as machines.m1 has, with the same port",
        ),
        (
            'machines.m1 = { address = "10.0.0.1", labels = ["m1"] }',
            "machines.m1.labels[0]: is the name of a machine",
        ),
        (
            'machines.m1 = { address = "10.0.0.1", port = 443 }\nedge.https = 443',
            "machines.m1.port: overlaps with edge.https: both would have port 443",
        ),
        (
            'machines.m1.address = "10.0.0.1"\napps.web = { command = "x", on = ["m2"] }',
            'apps.web.on[0]: there is no machine or label "m2"',
        ),
    ],
)
def test_what_no_cluster_can_be(toml, problem):
    assert problems_of(toml) == [problem]


def test_machines_may_share_an_address_on_other_ports_and_apps_need_no_machines():
    table = 'address = "10.0.0.1"\nport = '
    assert problems_of(f"[machines.m1]\n{table}1\n[machines.m2]\n{table}2") == []
    assert problems_of('apps.web = { command = "x", on = ["m2"] }') == []


APPS = """
[apps.web]
command = "run"
[apps.jobs]
command = "run"
on = ["m2"]
instances = 3
[machines.m1]
address = "10.0.0.1"
[machines.m2]
address = "10.0.0.2"
"""


def of_machine(name: str | None, text: str = APPS, project: str | None = PROJECT) -> ReadFiles:
    request = DocumentRequest(source="x", folder="/", table=tomllib.loads(text), environ={})
    inputs = Inputs({PROJECT: request}, {}, frozenset(), project=project)
    return read_files(inputs, MACHINE, name and replace(IN_CLUSTER, name=name))


@pytest.mark.parametrize(("name", "instances"), [("m1", 0), ("m2", 3), (None, 3)])
def test_an_app_has_instances_only_where_it_is_placed(name, instances):
    read = of_machine(name)
    assert read.desired.apps["jobs"].instances == instances
    assert read.desired.apps["web"].instances == 1
    assert read.desired.machine == (name or "")


def test_a_machine_that_the_file_does_not_name_is_refused_there():
    with pytest.raises(ConfigError, match='has no table for this machine, which is "m3"'):
        of_machine("m3")
    assert of_machine("m3", project=None).desired.machine == ""  # what is in force goes on
    assert of_machine("m3", 'apps.web.command = "x"').desired.machine == ""


def test_a_stream_of_an_app_that_is_not_everywhere_is_noted():
    text = f'{APPS}\n[streams]\n5432.app = "jobs"\n5433.app = "web"'
    [note] = [each for each in notes(read(text)) if "streams" in each]
    assert note.startswith("streams.5432: is answered only where jobs runs")


MEMBERS = MemberList(IN_CLUSTER.cluster, MACHINES)


def with_members(toml: str, members: MemberList = MEMBERS) -> ReadFiles:
    request = DocumentRequest(source="portico.toml", folder="/srv", table=tomllib.loads(toml))
    inputs = Inputs({PROJECT: request}, {}, frozenset(), members=members, project=PROJECT)
    return read_files(inputs, MACHINE, replace(IN_CLUSTER, name="m1"))


def test_the_machines_of_the_store_are_those_of_a_file_without_any():
    desired = with_members('apps.a = { command = "a", on = ["jobs"] }').desired
    assert (desired.machine, desired.machines) == ("m1", MACHINES)
    assert desired.apps["a"].instances == 0
    with pytest.raises(ConfigError, match='no machine or label "job"'):
        with_members('apps.a = { command = "a", on = ["job"] }')


def test_a_file_cannot_have_machines_where_the_store_has_them():
    with pytest.raises(ConfigError, match="the machines of this cluster are in its store"):
        with_members('machines.m1.address = "10.0.0.1"')


def test_the_machines_of_another_cluster_have_no_effect():
    assert with_members("", replace(MEMBERS, cluster="another")).desired.machines == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("m1", b"{"),
        ("m1", b"{}"),
        ("m1", encode(SharedMachine(address="10.0.0.1; include /etc/passwd"))),
        ("m1", encode(SharedMachine(address="10.0.0.1", port=0))),
        ("m1", encode(SharedMachine(address="10.0.0.1", labels=("a b",)))),
        ("m1;", encode(SharedMachine(address="10.0.0.1"))),
    ],
)
def test_a_machine_of_the_store_that_cannot_be_used_is_left_out(name, value):
    good = SharedMachine(address="10.0.0.2", port=9, labels=("web",), serial="5f", state="leaving")
    items = {n: StoredItem(v, 1, 1) for n, v in ((name, value), ("m2", encode(good)))}
    found = member_list("6a1c", items)
    assert found.machines == {"m2": Machine(address="10.0.0.2", port=9, labels=("web",))}
    assert found.serials == {"m2": "5f"}


@pytest.mark.parametrize("serial", ["", "5F", "~.", "5f;", "default", "5" * 41])
def test_a_serial_of_the_store_that_is_none_is_that_of_no_certificate(serial):
    record = encode(SharedMachine(address="10.0.0.2", serial=serial))
    found = member_list("6a1c", {"m2": StoredItem(record, 1, 1)})
    assert found.serials == {}
    assert found.machines.keys() == {"m2"}


def test_with_a_store_a_certificate_counts_by_its_serial_as_nginx_writes_it():
    members = replace(MEMBERS, serials={"m1": "1", "m2": "abc"})
    read = with_members("", members)
    assert read.desired.needs_nginx
    machine = replace(IN_CLUSTER, name="m1", has_store=True)
    context = RenderContext(WHEEL, "/home", "127.0.0.1:53", machine=machine)
    text = render_generation(read.desired, context)["nginx.conf"]
    strangers = text.split("map $ssl_client_serial $portico_stranger", 1)[1].split("}")[0]
    assert strangers.split() == ["{", "default", "1;", "01", '"";', "0ABC", '"";']  # itself too
    assert "listen 80" not in text


@pytest.mark.parametrize(
    ("total", "machines", "counts"),
    [
        (7, ("m1", "m2", "m3"), [2, 2, 3]),
        (6, ("m1", "m2", "m3"), [2, 2, 2]),
        (2, ("m1", "m2", "m3"), [1, 1]),
        (5, ("m1",), [5]),
        (5, (), []),
    ],
)
def test_a_total_is_spread_evenly_over_the_machines(total, machines, counts):
    parts = shares("web", total, machines)
    assert sorted(parts.values()) == counts
    assert shares("web", total, reversed(machines)) == parts


def test_a_machine_that_leaves_moves_no_instance_between_the_others():
    names = [f"m{number}" for number in range(1, 8)]
    for app in ("web", "jobs", "api"):
        before = shares(app, 3, names)
        for gone in names:
            after = shares(app, 3, [name for name in names if name != gone])
            assert before.keys() - {gone} <= after.keys()


def test_a_machine_runs_its_part_of_a_total_and_is_one_that_requests_cross_to_if_it_has_any():
    text = APPS.replace("instances = 3", "total = 3").replace('on = ["m2"]\n', "")
    parts = {name: of_machine(name, text).desired for name in ("m1", "m2")}
    counts = {name: desired.apps["jobs"].instances for name, desired in parts.items()}
    assert counts == shares("jobs", 3, ("m1", "m2"))
    one = text.replace("total = 3", "total = 1")
    here = [n for n in parts if (d := of_machine(n, one).desired).is_here(d.apps["jobs"].app)]
    assert here == [*shares("jobs", 1, ("m1", "m2"))]
    assert problems_of('apps.web = { command = "x", total = 3, instances = 2 }') == [
        "apps.web.total: cannot be combined with instances; set only one"
    ]

"""Tables `[machines.NAME]`, and where an app is placed."""

from __future__ import annotations

import pytest

from portico.core.model.cluster import Machine, placed_on
from tests.documents import problems_of

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
        ('machines.m_1.address = "10.0.0.1"', "must be a name of 1 to 50"),
        ("machines.m1.port = 8445", "machines.m1.address: is required"),
    ],
)
def test_a_machine_has_a_name_and_an_address(toml, problem):
    [found] = problems_of(toml)
    assert problem in found

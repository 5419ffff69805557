"""Answers of machines of other versions, as this one reads and shows them."""

from __future__ import annotations

import json

import pytest

from portico.cli.cluster.machines import machine_row
from portico.cli.commands.status import HEADS, instance_row
from portico.cli.states import STATES
from portico.cli.top.rows import COLUMNS, rows_of
from portico.client.client import Record
from portico.core.model.machine_views import MachineStatusView, MachineView
from tests.unit.top_views import app, status

LATER = {
    "machine": "m2",
    "zone": "a",
    "apps": [
        {
            "name": "web",
            "project": "shop",
            "state": "hibernating",
            "instances": [{"id": "web.1.1", "state": "dreaming", "moons": 2}],
        }
    ],
    "daemon": {"version": "9.0", "mode": "lunar"},
}


def test_what_is_unknown_is_ignored_and_what_is_missing_is_null():
    read = MachineStatusView.model_validate_json(json.dumps(LATER))
    [[instance]] = [each.instances for each in read.apps]
    assert (read.daemon.version, read.nginx.version, read.drained) == ("9.0", None, None)
    assert (instance.state, instance.pid, instance.memory_bytes) == ("dreaming", None, None)
    row = dict(zip(HEADS, instance_row("web", instance), strict=True))
    assert row.pop("instance") == "web.1.1"
    assert row.pop("state") == "dreaming"
    assert set(row.values()) == {"web", "-"}


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        ({"reached": True}, "reached"),
        ({"reached": True, "drained": True}, "drained"),
        ({"reached": True, "down": True}, "down"),
        ({"reached": False, "down": True}, "down"),
        ({"reached": False}, "not reached"),
    ],
)
def test_status_says_whether_another_machine_is_reached_drained_or_down(keys, state):
    machine = MachineView(name="m2", address="10.0.0.2", used=True, **keys)
    assert machine_row(machine, "m1")[2] == state
    assert state in STATES


def test_rows_of_top_are_those_of_all_machines_and_each_has_a_key():
    read = MachineStatusView.model_validate(LATER)
    two = MachineView(
        name="m2", address="10.0.0.2", reached=True, used=True, drained=False, status=read
    )
    lost = two.model_copy(update={"name": "m3", "status": None})
    rows = list(rows_of(status([app("web", [1, 2])]), [two, lost]))
    assert [(row.machine, row.label) for row in rows] == [
        ("", "web.1"),
        ("", "web.2"),
        ("m2", "web.1.1"),
    ]
    assert len({row.key for row in rows}) == len(rows)
    shown = {column.head: column.text(rows[-1]) for column in COLUMNS}
    assert (shown["machine"], shown["cpu"], shown["restarts"]) == ("m2", "-", "-")


def test_the_command_line_reads_the_same_from_json():
    raw = json.dumps(MachineStatusView.model_validate(LATER).model_dump())
    read = json.loads(raw, object_hook=Record)
    assert instance_row("web", read.apps[0].instances[0])[4] == "dreaming"

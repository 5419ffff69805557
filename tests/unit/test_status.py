"""What `portico status` takes to say: it is asked again and again, with a thousand instances."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from types import SimpleNamespace

from portico.api.app import json_of
from portico.core.model.app import App
from portico.core.model.instance import InstanceState
from portico.core.model.traffic import Rates
from portico.core.model.views import DaemonView, StatusView, TrafficView
from portico.core.model.world import NginxActivity
from portico.core.planning.served_certificates import ServedCertificates
from portico.engine.control.control_ports import ControlPorts
from portico.engine.control.status import StatusReport
from portico.engine.exposure import Exposure
from portico.engine.instances.supervision import OutputTail
from tests.unit.growth import steps_of
from tests.unit.simulation import Machine

MOST_STEPS = 300
"""Of the interpreter, for one instance: 3 ms for a thousand."""


class Quiet:
    """Stands for ports and parts that have nothing to say."""

    def __init__(self) -> None:
        self.requests: dict[str, TrafficView] = {}

    async def measure(self) -> None: ...

    def usage(self, _process: object) -> tuple[int, float, float]:
        return 1 << 20, 0.1, 2.5

    async def rates(self) -> Rates:
        return Rates({}, {}, self.requests)

    async def connection_counts(self, _ports: object) -> dict[int, int]:
        return {}

    async def activity(self) -> NginxActivity:
        return NginxActivity(workers=2)

    def groups(self) -> Iterator:
        return iter(())

    def served_certificates(self) -> ServedCertificates:
        return ServedCertificates({}, 0.0)


@contextmanager
def reported(count: int, quiet: Quiet) -> Iterator[tuple[Machine, StatusReport]]:
    with Machine() as machine:
        machine.up("web", App(command="x", instances=count, port=False), "v1")
        machine.run(30)
        daemon = machine.daemon
        assert daemon is not None
        engine = SimpleNamespace(
            intent=daemon.intent,
            observed=daemon.observed,
            clock=machine.loop,
            troubles=daemon.troubles,
        )
        programs = SimpleNamespace(logs=machine.host, nginx=quiet, ports=quiet, processes=quiet)
        yield (
            machine,
            StatusReport(
                engine,
                daemon.instances,
                Exposure(daemon.intent, daemon.observed, machine.host, root=False),
                quiet,
                ControlPorts(None, None, programs, quiet),
                daemon=DaemonView(
                    pid=1, version="1", memory_bytes=0, home="/", uptime_s=0, mode="unit"
                ),
                issued=quiet,
            ),
        )


def seen(report: StatusReport) -> StatusView:
    """Without `asyncio.run`, which goes through all tasks that there are."""
    with closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(report.view())


def steps(count: int) -> int:
    quiet = Quiet()
    with reported(count, quiet) as (machine, report):
        quiet.requests = dict.fromkeys(machine.instances, TrafficView(1.0, 0.01, 0.02, 0.03, 0))
        seen(report)  # what is read or built once
        return steps_of(lambda: seen(report))


def test_an_instance_costs_a_status_few_steps():
    few, many = 20, 80
    assert (steps(many) - steps(few)) / (many - few) < MOST_STEPS


def test_a_status_says_of_each_instance_what_is_so_now():
    with reported(3, Quiet()) as (machine, report):
        before = seen(report).apps[0].instances
        machine.run(7)
        machine.crash(machine.processes[before[1].id])
        machine.run(0.0)
        after = seen(report).apps[0].instances
        assert [i.uptime_s for i in after] == [before[0].uptime_s + 7, 0.0, before[2].uptime_s + 7]
        assert [i.state for i in after] == ["ready", "starting", "ready"]
        assert [i.restarts for i in after] == [0, 1, 0]
        assert after[1].pid != before[1].pid


def test_the_last_lines_are_of_what_is_in_trouble_now_or_was_since_a_change_began():
    with reported(1, Quiet()) as (machine, report):
        [name] = machine.instances
        tails = machine.daemon.instances.supervision.output_tails

        def ends_badly() -> None:
            tails["web"] = OutputTail(name, ("boom",), machine.now)

        ends_badly()
        assert report.last_lines("web", machine.now) == [f"the last lines of {name}:", "  | boom"]
        assert report.last_lines("web", machine.now + 1) == []
        machine.observed.put(replace(machine.instances[name], state=InstanceState.FAILED))
        assert report.last_lines("web", machine.now + 1) != []


def test_an_answer_is_the_json_of_the_view():
    with reported(3, Quiet()) as (_, report):
        view = seen(report)
    assert StatusView.model_validate_json(json_of(view)) == view
    assert StatusView.model_validate_json(view.model_dump_json()) == view

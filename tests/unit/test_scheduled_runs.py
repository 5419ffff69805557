"""A run of an app with a schedule takes place on one of the machines that could have it."""

from __future__ import annotations

from types import SimpleNamespace

from portico.core.model.shared import RUNS
from portico.engine.cluster.scheduled_runs import MINUTES_KEPT, ScheduledRuns
from tests.unit.linked_machines import Machines

NOON = 1_790_000_000.0 // 60 * 60
APP = "jobs/clean"


class Scheduler:
    """As much of a machine as runs apps."""

    def __init__(self, machines: Machines, name: str) -> None:
        self.runs: list[str] = []
        self.notes: list[tuple[str, ...]] = []
        self.app = SimpleNamespace(instances=1, stopped=False)
        revision = SimpleNamespace(document={"project": "jobs"}, folder="/srv")
        intent = SimpleNamespace(
            desired=SimpleNamespace(apps={APP: self.app}),
            revisions={"jobs": revision},
            request_run=self.runs.append,
        )
        engine = SimpleNamespace(
            intent=intent,
            events=SimpleNamespace(note=lambda *note: self.notes.append(note)),
            loop=SimpleNamespace(wake=lambda: None),
            tasks=SimpleNamespace(start=lambda _, work, of: machines.loop.create_task(work())),
        )
        self.claim = ScheduledRuns(engine, machines[name].shared).claim


def test_each_run_takes_place_once_and_none_without_the_store():
    with Machines("m1", "m2", "m3") as machines:
        schedulers = [Scheduler(machines, each.name) for each in machines]
        schedulers[2].app.instances = 0  # placed on the others
        for minute in range(3):
            for each in schedulers:
                each.claim(APP, NOON + 60 * minute)
            machines.run(5.0)
        assert sum(len(each.runs) for each in schedulers) == 3
        assert schedulers[2].runs == []

        machines.store.fail("stopped")
        for each in schedulers:
            each.claim(APP, NOON + 180)
        machines.run(5.0)
        assert sum(len(each.runs) for each in schedulers) == 3
        assert all("stopped" in each.notes[0][2] for each in schedulers[:2])

        machines.store.fail("")
        machines.run(10.0)
        schedulers[0].claim(APP, NOON + 60 * (MINUTES_KEPT + 2))
        machines.run(5.0)
        assert len(machines["m1"].shared.following.under(RUNS)) == 2

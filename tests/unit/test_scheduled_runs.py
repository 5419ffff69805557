"""A run of an app with a schedule takes place on one of the machines that could have it."""

from __future__ import annotations

from types import SimpleNamespace

from portico.core.model.instance import InstanceState
from portico.core.model.shared import RUNS, requested_run_key, run_key
from portico.engine.cluster.scheduled_runs import MINUTES_KEPT, START_TIMEOUT, ScheduledRuns
from tests.unit.linked_machines import Machines

NOON = 1_790_000_000.0 // 60 * 60
APP = "jobs/clean"


async def _again(runs: ScheduledRuns) -> None:
    while True:
        await runs.look()
        await runs.pause()


class Scheduler:
    """As much of a machine as runs apps."""

    def __init__(self, machines: Machines, name: str) -> None:
        self._clock = machines.loop
        self.runs: list[str] = []
        self.notes: list[tuple[str, ...]] = []
        self.app = SimpleNamespace(
            instances=1, stopped=False, app=SimpleNamespace(schedule="@hourly")
        )
        self.instances: dict[str, SimpleNamespace] = {}
        revision = SimpleNamespace(document={"project": "jobs"}, folder="/srv")
        intent = SimpleNamespace(
            desired=SimpleNamespace(apps={APP: self.app}),
            revisions={"jobs": revision},
            runs=SimpleNamespace(request=self.runs.extend),
        )
        engine = SimpleNamespace(
            clock=machines.loop,
            observed=SimpleNamespace(instances=self.instances),
            intent=intent,
            events=SimpleNamespace(note=lambda *note: self.notes.append(note)),
            loop=SimpleNamespace(wake=lambda: None),
            tasks=SimpleNamespace(start=lambda _, work, of: machines.loop.create_task(work())),
        )
        self._runs = ScheduledRuns(engine, machines[name].shared)
        self.claim = self._runs.claim
        self.task = machines.loop.create_task(_again(self._runs))

    def run(self) -> None:
        """What was claimed last is under way."""
        self._observe(InstanceState.READY, object())

    def end(self) -> None:
        self._observe(InstanceState.STOPPED, None)

    def _observe(self, state: InstanceState, process: object) -> None:
        self.instances["clean.1"] = SimpleNamespace(
            app=APP, process=process, state=state, is_run=True, since=self._clock.monotonic()
        )

    def skipped(self) -> list[str]:
        return [text for kind, _, text in self.notes if kind == "skip"]


def test_a_run_that_was_skipped_does_not_keep_its_app_taken():
    with Machines("m1", "m2") as machines:
        one = Scheduler(machines, "m1")
        one.claim(APP, NOON)
        machines.run(0.2)
        one.end()
        machines.run(0.1)
        one.claim(APP, NOON + 60)  # its key is not dropped yet
        machines.run(6.0)
        one.claim(APP, NOON + 120)
        machines.run(1.0)
        assert (len(one.runs), len(one.skipped())) == (2, 1)


def test_a_run_that_lasts_is_the_only_one_on_all_machines():
    with Machines("m1", "m2") as machines:
        one, two = (Scheduler(machines, each.name) for each in machines)
        one.claim(APP, NOON)
        machines.run(0.5)
        one.run()
        machines.run(50.0)
        two.claim(APP, NOON + 60)
        machines.run(1.0)
        one.claim(APP, NOON + 60)
        machines.run(1.0)
        assert (len(one.runs), two.runs, one.skipped()) == (1, [], [])
        assert two.skipped() == ["the previous run on m1 has not finished"]

        one.task.cancel()  # its daemon dies, and the next one finds the run
        machines["m1"].kill()
        machines.run(5.0)
        machines["m1"].start()
        again = Scheduler(machines, "m1")
        again.run()
        machines.run(40.0)
        two.claim(APP, NOON + 120)
        machines.run(1.0)
        assert two.runs == []

        again.instances.clear()
        machines.run(5.0)
        two.claim(APP, NOON + 180)
        machines.run(1.0)
        assert two.runs == [APP]
        machines.run(START_TIMEOUT + 5.0)  # it was too short to be seen
        again.claim(APP, NOON + 240)
        machines.run(1.0)
        assert again.runs == [APP]


def test_a_run_that_was_short_makes_room_for_another_one_at_once():
    with Machines("m1", "m2") as machines:
        one, two = (Scheduler(machines, each.name) for each in machines)
        for minute in range(3):
            one.claim(APP, NOON + 60 * minute)
            machines.run(1.0)
            assert len(one.runs) == minute + 1
            machines.run(5.0)
            two.claim(APP, NOON + 600 + 60 * minute)  # it has not started yet
            machines.run(1.0)
            assert two.runs == []
            one.end()
            machines.run(5.0)
        assert (len(one.skipped()), len(two.skipped())) == (0, 3)


def test_each_run_takes_place_once_and_none_without_the_store():
    with Machines("m1", "m2", "m3") as machines:
        schedulers = [Scheduler(machines, each.name) for each in machines]
        schedulers[2].app.instances = 0  # placed on the others
        for minute in range(3):
            for each in schedulers:
                each.claim(APP, NOON + 60 * minute)
            machines.run(60.0)
        assert sum(len(each.runs) for each in schedulers) == 3
        assert schedulers[2].runs == []

        machines.store.fail("stopped")
        for each in schedulers:
            each.claim(APP, NOON + 180)
        machines.run(5.0)
        assert sum(len(each.runs) for each in schedulers) == 3
        assert all("stopped" in each.notes[0][2] for each in schedulers[:2])

        machines.store.fail("")
        machines.run(60.0)
        schedulers[0].claim(APP, NOON + 60 * (MINUTES_KEPT + 2))
        machines.run(5.0)
        assert len(machines["m1"].shared.follower.items_of(RUNS)) == 2


def test_runs_that_were_asked_for_and_keys_that_are_no_run_hold_up_no_run():
    with Machines("m1") as machines:
        one = Scheduler(machines, "m1")
        follower = machines["m1"].shared.follower
        names = [requested_run_key(APP, str(n)) for n in range(300)]
        names += [f"{RUNS}{APP}/{each}" for each in ("\u00b2", "9" * 5000)]
        names.append(run_key(APP, 1))
        machines.store.write({follower.prefix + each: b"{}" for each in names})
        machines.run(5.0)
        for minute in range(4):
            one.claim(APP, NOON + 60 * minute)
            machines.run(60.0)
        assert (len(one.runs), one.notes) == (4, [])
        assert len(follower.items_of(RUNS)) == 4

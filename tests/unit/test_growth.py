"""What is done in every round grows with the number of instances, and not with its square."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from portico.core.model.instance import InstanceState
from portico.core.planning.order import waiting_apps
from portico.core.planning.progress import progress
from portico.core.planning.reconcile import plan, wake_at
from portico.core.render.generation import render_generation
from tests.rendered import place_for, wanted
from tests.unit.growth import steps_of
from tests.unit.worlds import NOW, app, desired, one, world

S = InstanceState
FEW = 60
MOST_STEPS = 400
"""For one instance: below 4 ms for a thousand."""
FEW_SITES = 10
MOST_STEPS_OF_SITE = 13_000
"""For one with nothing but its app: below 2 s for 5,000."""


def grows(act: Callable[[int], Callable[[], object]]) -> float:
    """How many times as much work four times as many are, above what none are."""
    none, few, many = (steps_of(act(count)) for count in (0, FEW, 4 * FEW))
    return (many - none) / (few - none)


@pytest.mark.slow
@pytest.mark.parametrize("slow_start", [0, 30])
@pytest.mark.parametrize(
    "state", [S.READY, S.STARTING, S.UNREADY, S.DRAINING, S.STOPPING, S.BACKOFF, S.GONE, None]
)
def test_a_plan_for_four_times_as_many_instances_is_four_times_the_work(state, slow_start):
    """None: there are none yet, and all are to be started."""

    def planning(count: int) -> Callable[[], object]:
        its = app(instances=max(1, count), batch=10, slow_start=slow_start)
        found = [one(state, slot=n + 1, retry_at=NOW) for n in range(count)] if state else []
        wanted, seen = desired(its), world(*found, knows=[its], most_starting=16)

        def act() -> None:
            plan(wanted, seen, generation="g1")
            wake_at(wanted, seen)
            waiting_apps(wanted, seen.by_app())
            progress(wanted, seen, ["web"], generation="g1", waited=0.1)

        return act

    assert grows(planning) < 5


def test_an_instance_that_is_as_it_should_be_costs_a_plan_few_steps():
    def steps(count: int) -> int:
        its = app(instances=count, batch=10)
        wanted, seen = desired(its), world(*(one(slot=n + 1) for n in range(count)), knows=[its])

        def act() -> None:
            plan(wanted, seen, generation="g1")
            wake_at(wanted, seen)

        return steps_of(act)

    assert (steps(4 * FEW) - steps(FEW)) / (3 * FEW) < MOST_STEPS


def test_a_plan_for_four_times_as_many_apps_is_four_times_the_work():
    def planning(count: int) -> Callable[[], object]:
        its = [app(f"a{n}") for n in range(count)]
        seen = world(*(one(name=each.name) for each in its), knows=its)
        return lambda: plan(desired(*its), seen, generation="g1")

    assert grows(planning) < 5


def test_one_more_site_costs_rendering_few_steps():
    def steps(count: int) -> int:
        sites = "".join(f'[sites."s{n}.example"]\napp = "web"\n' for n in range(count))
        wanted_sites = wanted(f'[apps.web]\ncommand = "x"\n{sites}')
        place = place_for(wanted_sites)
        return steps_of(lambda: render_generation(wanted_sites, place))

    steps(1)  # what is the same for all is made once
    assert (steps(3 * FEW_SITES) - steps(FEW_SITES)) / (2 * FEW_SITES) < MOST_STEPS_OF_SITE


def test_the_count_tells_work_that_grows_with_the_square():
    assert grows(lambda count: lambda: [1 for _ in range(count) for _ in range(count)]) > 12

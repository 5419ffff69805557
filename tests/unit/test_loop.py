"""A round of the loop, on what it is told to see and with steps that only tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.core.model.world import World
from portico.core.planning.steps import StartInstance, Step
from portico.engine.loop import ReconcileLoop
from portico.errors import Failed
from tests.fakes.clock import FakeClock, settle
from tests.unit.worlds import app, desired, one, world

Listener = Callable[[str], None]


class Rounds:
    """The loop runs until nothing is left to do; `on_step` and `on_look` happen within it."""

    def __init__(self, wanted: Desired, seen: World) -> None:
        self.wanted, self.seen, self.done = wanted, seen, list[str]()
        self.looks = 0
        self.reserved: list[list[int]] = []
        self.reserve_fails = False
        self.on_step: Listener = lambda _: None
        self.on_look: Callable[[], None] = lambda: None

    def run(self) -> list[str]:
        async def story() -> None:
            loop = ReconcileLoop(
                FakeClock(),
                lambda: (self.wanted, "g1"),
                self._look,
                self._step,
                lambda *_: None,
                self._reserve,
            )
            running = asyncio.get_running_loop().create_task(loop.run())
            await settle()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        asyncio.run(story())
        return self.done

    async def _look(self) -> World:
        self.looks += 1
        await asyncio.sleep(0)
        self.on_look()
        return self.seen

    async def _reserve(self, steps: Sequence[StartInstance]) -> None:
        if self.reserve_fails:
            raise Failed("no room")
        self.reserved.append([step.slot for step in steps])

    async def _step(self, step: Step) -> None:
        self.done.append(str(step))
        self.on_step(str(step))


NOTHING = world(now=0.0, endpoints={"web": ()})


def test_what_an_operator_says_ends_the_round_and_the_next_one_plans_for_it():
    rounds = Rounds(desired(app(instances=3)), NOTHING)

    def stop(_: str) -> None:
        rounds.wanted = desired(app(instances=3, stopped=True))

    rounds.on_step = stop
    assert rounds.run() == ["start web.1 on a free port"]
    assert rounds.looks == 2


def test_a_version_is_not_kept_as_good_after_another_one_was_asked_for():
    old = app(version="v2", good="v1", instances=1)
    rounds = Rounds(desired(old), world(one(version="v2"), now=0.0, knows=[]))

    def up(_: str) -> None:
        rounds.wanted = desired(app(version="v3", good="v1"))

    rounds.on_step = up
    first, *rest = rounds.run()
    assert first == "publish slots 1 of web"
    assert "mark this version of web as good" not in rest


def test_what_is_said_while_the_world_is_looked_at_is_planned_for():
    rounds = Rounds(desired(app()), NOTHING)

    def stop() -> None:
        rounds.wanted = desired(app(stopped=True))

    rounds.on_look = stop
    assert rounds.run() == []


@pytest.mark.parametrize("says", [True, False])
def test_a_step_that_failed_is_tried_again_by_time_unless_something_else_is_wanted(says):
    rounds = Rounds(desired(app()), NOTHING)

    def fail(_: str) -> None:
        if says:
            rounds.wanted = desired(app(stopped=True))
        raise Failed("no")

    rounds.on_step = fail
    assert rounds.run() == ["start web.1 on a free port"]
    assert rounds.looks == (2 if says else 1)


def test_a_step_that_ends_by_a_bug_keeps_no_other_app_from_its_steps():
    rounds = Rounds(
        desired(app("api", instances=2), app("web")),
        world(now=0.0, endpoints={"web": (), "api": ()}),
    )

    def break_api(step: str) -> None:
        if "api" in step:
            raise LookupError("nobody foresaw this")

    rounds.on_step = break_api
    assert rounds.run() == ["start api.1 on a free port", "start web.1 on a free port"]


def test_a_run_is_not_lost_when_its_round_ends_early_and_none_comes_twice():
    clean = App(command="clean", port=False, schedule="@daily")
    apps = [DesiredApp(n, 1, Spec("v1", n, clean, "/srv", {}), "v1") for n in "abc"]
    rounds = Rounds(desired(*apps), world(now=0.0, endpoints=dict.fromkeys("abc", ())))

    def time_goes_on() -> None:
        rounds.seen = replace(rounds.seen, due=frozenset("abc" if rounds.looks == 1 else ()))

    def other(_: str) -> None:
        rounds.wanted = desired(*apps)

    rounds.on_look, rounds.on_step = time_goes_on, other
    assert rounds.run() == [f"start {name}.1 on a free port" for name in "abc"]
    assert rounds.looks == 4


def test_all_that_a_round_starts_is_reserved_at_once_and_before_the_first_of_it():
    rounds = Rounds(desired(app(instances=3), app("api", instances=2)), NOTHING)

    def see(step: str) -> None:
        assert rounds.reserved == [[1, 2, 3, 1, 2]]
        if step == "publish slots none of api":
            raise Failed("the end of this test")  # or the world would go on as it is

    rounds.on_step = see
    assert len([step for step in rounds.run() if step.startswith("start")]) == 5


def test_where_nothing_can_be_reserved_what_is_no_start_is_done_all_the_same():
    rounds = Rounds(desired(app(instances=3), app("api", instances=2)), NOTHING)
    rounds.reserve_fails = True
    assert [step for step in rounds.run() if step.startswith("start")] == []
    assert "publish slots none of api" in rounds.done


def test_others_have_their_turn_between_any_two_steps():
    """Requests, signals and ends of programs are heard while a thousand steps are done."""
    rounds = Rounds(desired(app(instances=5)), NOTHING)
    turns: list[str] = []

    def ask(step: str) -> None:
        asyncio.get_running_loop().call_soon(turns.append, step)
        assert len(turns) == len(rounds.done) - 1

    rounds.on_step = ask
    rounds.run()
    assert len(turns) >= 5


def test_others_have_their_turn_between_a_look_and_its_plan():
    """Each of them takes a while with a thousand instances. What is said then is planned for."""
    rounds = Rounds(desired(app(instances=5)), NOTHING)

    def want_three() -> None:
        rounds.wanted = desired(app(instances=3))

    rounds.on_look = lambda: asyncio.get_running_loop().call_soon(want_three)
    rounds.run()
    assert rounds.reserved[0] == [1, 2, 3]


def test_what_follows_rounds_waits_for_one_that_ends_late_enough_and_sets_no_timer():
    async def story() -> None:
        clock = FakeClock()

        async def look() -> World:
            return NOTHING

        loop = ReconcileLoop(
            clock,
            lambda: (desired(), ""),
            look,
            lambda _: settle(),
            lambda *_: None,
            lambda _: settle(),
        )
        running = asyncio.get_running_loop().create_task(loop.run())
        await settle()
        waiting = [asyncio.ensure_future(loop.after_round(seconds)) for seconds in (0.0, 1.0)]
        ended: list[tuple[bool, ...]] = []
        for seconds in (0.5, 0.5):
            await clock.advance(seconds)
            loop.wake()
            await settle()
            ended.append(tuple(each.done() for each in waiting))
        assert ended == [(True, False), (True, True)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())

"""The engine's timetable, with a clock that this test owns."""

from __future__ import annotations

from datetime import UTC
from types import SimpleNamespace

from portico.core.model.app import App
from portico.core.model.desired import Desired, DesiredApp, Spec
from portico.engine.instances.timetable import Timetable
from portico.engine.requested_runs import RequestedRuns

START = 1_790_000_040.0  # 14 minutes after a full hour


class Wall:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time


class Wanted:
    def __init__(self, **apps: App) -> None:
        self.runs = RequestedRuns()
        self.desired = Desired(
            apps={n: DesiredApp(n, 1, Spec("v1", n, a, "/", {})) for n, a in apps.items()}
        )


def timetable(**apps: App):
    clock, wanted = Wall(), Wanted(**apps)
    return SimpleNamespace(
        clock=clock, wanted=wanted, table=Timetable(wanted, clock, lambda _: UTC)
    )


def task(expression: str, **keys) -> App:
    return App(command="x", port=False, schedule=expression, **keys)


def struck(case, seconds: int) -> list[tuple[int, str]]:
    found = []
    for second in range(0, seconds, 2):
        case.clock.time = START + second
        found += [(second, name) for name in sorted(case.table.due())]
    return found


def test_apps_are_due_at_their_times_and_no_other():
    case = timetable(five=task("*/5 * * * *"), hourly=App(command="x", restart_schedule="@hourly"),
                     other=App(command="x"))  # fmt: skip
    assert struck(case, 900) == [(60, "five"), (360, "five"), (660, "five")]
    assert case.table.next("hourly") == START - 840 + 3600
    assert case.table.next("other") is None


def test_a_changed_schedule_begins_anew():
    case = timetable(a=task("*/5 * * * *"))
    case.table.due()
    case.wanted.desired = Wanted(a=task("0 0 * * *")).desired
    assert struck(case, 900) == []
    assert case.table.next("a") % 86400 == 0


def test_a_run_that_was_asked_for_is_due_once():
    case = timetable(a=task("0 0 * * *"))
    case.wanted.runs.request({"a"})
    assert case.table.due() == {"a"}
    assert case.table.due() == frozenset()


def test_without_its_zone_a_schedule_goes_by_utc(caplog):
    case = timetable(a=task("0 0 * * *", tz="Europe/Berlin"))

    def none(name):
        raise ValueError(f'time zone "{name}" does not exist on this machine')

    case.table = Timetable(case.wanted, case.clock, none)
    case.table.due()
    assert case.table.next("a") % 86400 == 0
    assert 'time zone "Europe/Berlin" does not exist' in caplog.text

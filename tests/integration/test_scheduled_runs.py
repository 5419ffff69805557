"""Programs that are to end: run at their times, when asked to, or once."""

from __future__ import annotations

import time

import pytest

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually


def task(stack: Stack, script: str, keys: str = "", schedule: str = "0 0 1 1 *") -> None:
    (stack.folder / "clean.sh").write_text(script)
    stack.up(f"[apps.clean]\nscript = 'clean.sh'\nport = false\nschedule = '{schedule}'\n{keys}\n")


def app(stack: Stack, name: str = "clean") -> dict:
    return next(a for a in stack.status()["apps"] if a["name"] == name)


def test_a_task_runs_when_asked_to_and_its_end_is_remembered(stack):
    task(stack, "echo cleaning; sleep 0.5; exit 3\n", "stop_exit_codes = [0]")
    before = app(stack)
    assert (before["state"], before["instances"]) == ("scheduled", [])
    assert before["next_run"] > time.time()
    assert "clean runs next at" in stack.done("status").stdout
    stack.done("restart", "clean")
    failed = eventually(lambda: (a := app(stack))["state"] == "failed" and a)
    (run,) = failed["instances"]
    assert (run["state"], run["exit_code"]) == ("stopped", 3)
    assert run["ran_s"] >= 0.5
    assert any("clean.1.1 exited with code 3" in each for each in stack.status()["troubles"])
    assert "cleaning" in stack.done("logs", "clean").stdout
    (stack.folder / "clean.sh").write_text("exit 0\n")
    stack.done("restart", "clean")
    eventually(lambda: (a := app(stack))["state"] == "scheduled" and a["instances"][0])
    (run,) = app(stack)["instances"]
    assert (run["exit_code"], run["restarts"]) == (0, 1)
    assert stack.status()["troubles"] == []


def test_a_run_that_still_goes_on_is_not_started_twice(stack):
    end = stack.folder / "end"
    task(stack, f"echo run >> {stack.folder}/runs; until [ -e {end} ]; do sleep 0.1; done\n")
    stack.done("restart", "clean")
    eventually(lambda: app(stack)["state"] == "running")
    stack.done("restart", "clean")
    log = stack.home / "logs/porticod.log"
    eventually(
        lambda: (
            "skip a run of clean: the previous run clean.1.1 has not finished" in log.read_text()
        )
    )
    end.touch()
    eventually(lambda: app(stack)["state"] == "scheduled")
    assert (stack.folder / "runs").read_text() == "run\n"


def test_a_run_that_takes_too_long_is_ended(stack):
    task(stack, "trap '' TERM\nwhile true; do sleep 0.1; done\n", "timeout = 2\nstop_timeout = 1")
    stack.done("restart", "clean")
    failed = eventually(lambda: (a := app(stack))["state"] == "failed" and a)
    assert failed["instances"][0]["reason"] == "ran longer than its timeout of 2s"
    assert failed["instances"][0]["ran_s"] < 60


def test_a_run_survives_the_daemon_and_the_next_one_sees_its_end(stack):
    task(stack, f"until [ -e {stack.folder}/end ]; do sleep 0.1; done\n")
    stack.done("restart", "clean")
    pid = eventually(lambda: (i := app(stack)["instances"]) and i[0]["pid"])
    stack.kill_daemon()
    assert app(stack)["instances"][0]["pid"] == pid
    (stack.folder / "end").touch()
    eventually(lambda: app(stack)["instances"][0]["state"] == "stopped")


@pytest.mark.slow
def test_at_its_time_a_task_runs_and_instances_are_replaced_one_after_the_other(stack):
    (stack.folder / "clean.sh").write_text(f"date +%S >> {stack.folder}/runs\n")
    stack.up(
        "[apps.clean]\nscript = 'clean.sh'\nport = false\nschedule = '* * * * *'\n"
        f"[apps.web]\ncommand = 'python3 {PROGRAMS / 'echo.py'}'\ninstances = 2\n"
        "restart_schedule = '* * * * *'\n[sites.'app.localhost']\napp = 'web'\n"
    )
    before = {i["id"] for i in stack.instances("web")}

    def replaced() -> bool:
        now = stack.instances("web")
        assert sum(i["state"] == "ready" for i in now) >= 2
        return len(now) == 2 and before.isdisjoint(i["id"] for i in now)

    with stack.load("app.localhost", rate=20) as load:
        eventually(replaced, within=100, every=0.3)
        report = load.stop()
    assert report.failed == {}, report.first_failures
    assert int((stack.folder / "runs").read_text().split()[0]) < 10


def test_a_program_that_runs_once_is_fine_when_it_has_ended_well(stack):
    stack.up("[apps.once]\ncommand = 'true'\nport = false\nautorestart = false\n")
    once = app(stack, "once")
    assert once["state"] == "stopped"
    assert (once["instances"][0]["state"], once["instances"][0]["exit_code"]) == ("stopped", 0)
    assert stack.status()["troubles"] == []


def test_a_program_that_runs_once_and_fails_fails_up(stack):
    stack.write("[apps.once]\ncommand = 'false'\nport = false\nautorestart = false\n")
    result = stack.portico("up")
    assert result.returncode == 1
    assert "once.1.1 exited with code 1" in result.stderr


def test_a_time_zone_that_is_not_known_is_a_problem_of_the_file(stack):
    stack.write(
        "[apps.clean]\ncommand = 'true'\nport = false\nschedule = '@daily'\ntz = 'Mars/Phobos'\n"
    )
    result = stack.portico("up")
    assert result.returncode == 2
    assert 'apps.clean.tz: time zone "Mars/Phobos" does not exist on this machine' in result.stderr

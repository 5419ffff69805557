"""Single instances are replaced while the others, and the worn one itself, serve on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.addresses import free_port
from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One after the other, each test brings up its own file in it."""
    with Stack() as stack:
        yield stack


def web(keys: str) -> str:
    return (
        f"[apps.web]\ncommand = 'python3 {PROGRAMS / 'echo.py'}'\nhealth = '/healthz'\n{keys}\n"
        "[sites.'app.localhost']\napp = 'web'\n"
    )


def ids(stack: Stack) -> list[str]:
    return [instance["id"] for instance in stack.instances("web")]


def settled(stack: Stack, number: int) -> bool:
    return [i["state"] for i in stack.instances("web")] == ["ready"] * number


@pytest.mark.slow
def test_instances_that_leak_are_replaced_one_after_the_other_and_no_request_is_lost(stack):
    # 40 requests/s leave 4 MB/s in each of two, so 48 MiB are full after ten seconds.
    stack.up(web("instances = 2\nmax_memory = '48M'\nenv = { LEAK = 200000 }"), workers=2)
    before = ids(stack)

    def all_replaced() -> bool:
        now = stack.instances("web")
        assert sum(i["state"] == "starting" for i in now) <= 1
        assert sum(i["state"] == "ready" for i in now) >= 2
        return set(before).isdisjoint(i["id"] for i in now)

    with stack.load("app.localhost", rate=40, posts=0.2) as load:
        eventually(all_replaced, within=110, every=0.3)
        report = load.stop()
    assert report.failed == {}, report.first_failures
    said = (stack.home / "logs/porticod.log").read_text()
    assert "max_memory is 48 MiB" in said


@pytest.mark.parametrize("command", ["reload", "restart"])
def test_one_instance_is_replaced_by_hand(stack, command):
    stack.up(web("instances = 3"))
    before = ids(stack)
    with stack.load("app.localhost", "/?sleep=0.05", rate=40, posts=0.2) as load:
        stack.done(command, "web.2")
        report = load.stop()
    assert report.failed == {}, report.first_failures
    eventually(lambda: len(ids(stack)) == 3)
    after = ids(stack)
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]
    assert after[1].startswith("web.2.")


def test_a_lone_instance_on_its_own_port_is_replaced_by_hand_without_a_gap(stack):
    port = free_port()
    stack.up(web(f"port = {port}\nenv = {{ START_DELAY = 0.5 }}"))
    (before,) = stack.instances("web")
    with stack.load("app.localhost", rate=50) as load:
        stack.done("reload", before["id"])
        eventually(lambda: settled(stack, 1) and ids(stack) != [before["id"]])
        report = load.stop()
    assert report.failed == {}, report.first_failures
    assert stack.instances("web")[0]["port"] == port


def test_if_its_successor_fails_the_worn_one_serves_on_and_the_command_says_so(stack):
    broken = stack.folder / "broken"
    program = stack.folder / "web.sh"
    program.write_text(
        f"[ -e {broken} ] && echo 'no luck today' >&2 && exit 3\n"
        f"exec python3 {PROGRAMS / 'echo.py'}\n"
    )
    stack.up(
        "[apps.web]\nscript = 'web.sh'\ninstances = 2\n[sites.'app.localhost']\napp = 'web'\n"
    )
    before = ids(stack)
    broken.touch()
    result = stack.portico("reload", before[1])
    assert result.returncode == 1
    assert "exited with code 3" in result.stderr
    assert f"{before[1]} keeps serving" in result.stderr
    assert "no luck today" in result.stderr
    assert {stack.get("app.localhost").json["instance"] for _ in range(8)} == {0, 1}
    broken.unlink()
    eventually(lambda: settled(stack, 2) and before[1] not in ids(stack))


def test_an_instance_that_does_not_exist_is_named(stack):
    stack.up(web(""))
    result = stack.portico("reload", "web.7")
    assert result.returncode == 2
    assert "there is no instance 'web.7'" in result.stderr

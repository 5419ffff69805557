"""Every method and every parameter of balancing, seen to act by real requests to two workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from tests.stack import PROGRAMS, Stack
from tests.waiting import eventually

ECHO = f"python3 {PROGRAMS / 'echo.py'}"

APPS = {
    "plain": "instances = 4",
    "weighted": "instances = 3\nslots = {2 = {weight = 2}, 3 = {weight = 5}}",
    "random": 'instances = 4\nbalance = "random"',
    "two": 'instances = 4\nbalance = "random two"',
    "sticky": "instances = 3\nsticky = true",
    "limited": "instances = 2\nmax_conns = 2",
    "spare": 'instances = 2\nslots = {2 = {backup = true}}\nenv.UNHEALTHY_0 = "unhealthy"',
    "part": "instances = 3\nslots = {2 = {down = true}}",
    "heavy": "instances = 1\nweight = 3",
    "light": "instances = 1",
}
PREFER_THE_FASTER = {
    "least-conn": "least_conn",
    "two-least": "random two least_conn",
    "header": "least_time header inflight",
    "last-byte": "least_time last_byte",
}
SLOW = [*((name, 0) for name in PREFER_THE_FASTER), ("least-conn", 1)]
"""The first one, which also a method would ask that knows no other; and once the second."""
APPS |= {
    f"{name}-{slow}": f'instances = 2\nbalance = "{PREFER_THE_FASTER[name]}"\n'
    f'env = {{SLEEP_{slow} = "0.2"}}'
    for name, slow in SLOW
}
TOGETHER = """
[upstreams.both]
apps = ["heavy", "light"]

[sites."both.localhost"]
upstream = "both"
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """All the apps at once: they do not disturb each other, and starting takes time."""
    with Stack() as stack:
        stack.up("".join(app(name, keys) for name, keys in APPS.items()) + TOGETHER, workers=2)
        yield stack


def app(name: str, keys: str) -> str:
    return (
        f"[apps.{name}]\ncommand = '{ECHO}'\nhealth = '/healthz'\n{keys}\n"
        f"[sites.'{name}.localhost']\napp = '{name}'\n"
    )


def spread(stack: Stack, name: str, number: int = 200, connections: int = 16) -> Counter[int]:
    """Who answers so many requests, one after the other, from clients of both workers."""
    seen: Counter[int] = Counter()
    with ExitStack() as exits:
        clients = [
            exits.enter_context(stack.client(f"{name}.localhost")) for _ in range(connections)
        ]
        for turn in range(number):
            answer = clients[turn % connections].ask("GET")
            assert answer.status == 200
            seen[answer.json["instance"]] += 1
    return seen


def crowd(stack: Stack, name: str, number: int, at_once: int, path: str = "/") -> list:
    """The answers to so many requests, of which `at_once` are always open."""

    def ask(share: int) -> list:
        with stack.client(f"{name}.localhost") as client:
            return [client.ask("GET", path) for _ in range(share)]

    with ThreadPoolExecutor(at_once) as pool:
        shares = list(pool.map(ask, [number // at_once] * at_once))
    return [answer for share in shares for answer in share]


def test_two_workers_take_connections(stack):
    workers = psutil.Process(stack.status()["nginx"]["pid"]).children()
    with ExitStack() as exits:
        for _ in range(16):
            exits.enter_context(stack.client("plain.localhost")).ask("GET")
        holding = [
            w.pid
            for w in workers
            if any(c.laddr.port == stack.https and c.raddr for c in w.net_connections("tcp"))
        ]
    assert len(holding) == 2


def test_round_robin_gives_every_instance_the_same(stack):
    seen = spread(stack, "plain")
    assert set(seen) == {0, 1, 2, 3}
    assert all(abs(count - 50) <= 10 for count in seen.values()), seen


def test_slots_share_by_their_weights(stack):
    seen = spread(stack, "weighted")
    for instance, share in {0: 25, 1: 50, 2: 125}.items():
        assert abs(seen[instance] - share) <= 10, seen


def test_apps_of_one_upstream_share_by_their_weights(stack):
    pids = {name: stack.instances(name)[0]["pid"] for name in ("heavy", "light")}
    with ExitStack() as exits:
        clients = [exits.enter_context(stack.client("both.localhost")) for _ in range(16)]
        seen = Counter(clients[n % 16].ask("GET").json["pid"] for n in range(200))
    assert abs(seen[pids["heavy"]] - 150) <= 10, seen
    assert abs(seen[pids["light"]] - 50) <= 10, seen


@pytest.mark.parametrize("name", ["random", "two"])
def test_random_reaches_every_instance_about_as_often(stack, name):
    seen = spread(stack, name)
    assert set(seen) == {0, 1, 2, 3}
    # Five standard deviations of a fair choice among four, over 200 requests.
    assert all(abs(count - 50) <= 31 for count in seen.values()), seen


@pytest.mark.parametrize(("name", "slow"), SLOW)
def test_the_faster_of_two_instances_gets_more(stack, name, slow):
    answers = crowd(stack, f"{name}-{slow}", number=400, at_once=8)
    seen = Counter(answer.json["instance"] for answer in answers)
    # On a busy machine the faster one is slow too: five standard deviations above a fair choice.
    assert seen[1 - slow] > 250, seen
    assert seen.total() == 400


def test_round_robin_does_not_prefer_the_faster_of_two(stack):
    """The counterpart, so that the test before says something about the method."""
    seen = Counter(a.json["instance"] for a in crowd(stack, "plain", 400, at_once=8))
    assert max(seen.values()) <= 120, seen


def test_a_sticky_cookie_keeps_a_visitor_on_one_instance(stack):
    homes = set()
    for _ in range(12):
        with stack.client("sticky.localhost") as client:
            first = client.ask("GET")
            cookie = first.headers["Set-Cookie"]
            assert "httponly" in cookie
            assert "secure" in cookie
            home = first.json["instance"]
            value = cookie.split(";")[0]
            again = {client.ask("GET", Cookie=value).json["instance"] for _ in range(10)}
        # Another connection, perhaps to the other worker.
        again.add(stack.get("sticky.localhost", Cookie=value).json["instance"])
        assert again == {home}
        homes.add(home)
    assert homes == {0, 1, 2}


def test_max_conns_is_never_exceeded(stack):
    answers = crowd(stack, "limited", number=24, at_once=12, path="/?sleep=0.2")
    good = [answer.json for answer in answers if answer.status == 200]
    assert max(facts["most"] for facts in good) == 2
    assert {answer.status for answer in answers} == {200, 503}
    assert {facts["instance"] for facts in good} == {0, 1}


def test_a_backup_slot_answers_only_while_the_others_are_away(stack):
    assert set(spread(stack, "spare", 100)) == {0}

    first = stack.instances("spare")[0]
    unhealthy = stack.folder / "unhealthy"
    unhealthy.touch()  # it stays away until we have looked
    psutil.Process(first["pid"]).kill()
    assert eventually(lambda: set(spread(stack, "spare", 20)) == {1})

    unhealthy.unlink()
    eventually(lambda: stack.instances("spare")[0]["state"] == "ready")
    assert eventually(lambda: set(spread(stack, "spare", 20)) == {0})


def test_a_slot_that_is_down_runs_and_gets_nothing(stack):
    assert set(spread(stack, "part", 100)) == {0, 2}
    assert {i["state"] for i in stack.instances("part")} == {"ready"}

"""Whose program answers on a port, from the sockets that listen and who holds them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from portico.core.model.app import App
from portico.core.model.check import Check
from portico.core.model.instance import Instance, InstanceState, Process
from portico.core.model.names import InstanceId
from portico.core.model.port_owner import Family, Holder, Owner, PortAnswer, Socket
from portico.core.planning.ownership import (
    no_listener_text,
    passed_on_text,
    port_answer,
    port_taken_text,
)
from portico.engine.instances.ownership import Ownership

APP, ROOT, OTHER = 1000, 0, 1001
FAMILY = Family(inodes=frozenset({1, 2}), uids=frozenset({APP}))
MALLORY = Holder("pid 812 (python3) of user mallory")
PROXY = Holder("pid 99 (docker-proxy)")
LEFT = Holder("pid 77 (node)", left_behind=True)


@pytest.mark.parametrize(
    ("sockets", "holders", "expected"),
    [
        ([], {}, PortAnswer(Owner.NOBODY)),
        ([Socket(1, APP)], {}, PortAnswer(Owner.ITSELF)),
        # Opened before it gave up being root, as a server with workers does.
        ([Socket(1, ROOT)], {}, PortAnswer(Owner.ITSELF)),
        # SO_REUSEPORT: each of them may be chosen.
        ([Socket(1, APP), Socket(2, APP)], {}, PortAnswer(Owner.ITSELF)),
        (
            [Socket(1, APP), Socket(9, OTHER)],
            {9: MALLORY},
            PortAnswer(Owner.STRANGER, MALLORY.text),
        ),
        ([Socket(9, OTHER)], {9: MALLORY}, PortAnswer(Owner.STRANGER, MALLORY.text)),
        ([Socket(9, OTHER)], {}, PortAnswer(Owner.STRANGER)),
        # The same user is not the same instance: it may be what the one before has left.
        ([Socket(9, APP)], {9: LEFT}, PortAnswer(Owner.STRANGER, LEFT.text)),
        # Handed to the instance over a unix socket by somebody else.
        ([Socket(1, OTHER)], {}, PortAnswer(Owner.STRANGER)),
        ([Socket(9, ROOT)], {9: PROXY}, PortAnswer(Owner.ROOT, PROXY.text)),
        ([Socket(9, ROOT)], {}, PortAnswer(Owner.ROOT)),
        ([Socket(9, ROOT)], {9: LEFT}, PortAnswer(Owner.STRANGER, LEFT.text)),
        ([Socket(1, APP), Socket(9, ROOT)], {9: PROXY}, PortAnswer(Owner.ROOT, PROXY.text)),
    ],
)
def test_a_port_is_an_instances_own_only_if_all_that_listen_there_are(sockets, holders, expected):
    assert port_answer(sockets, FAMILY, holders) == expected


def test_where_a_programs_sockets_cannot_be_read_its_user_is_what_counts():
    family = Family(uids=frozenset({APP, OTHER}), hidden=frozenset({OTHER}))
    assert port_answer([Socket(9, OTHER)], family, {}) == PortAnswer(Owner.ITSELF)
    assert port_answer([Socket(9, APP)], family, {}) == PortAnswer(Owner.STRANGER)


def test_what_is_said_names_the_port_and_who_has_it():
    assert port_taken_text(3000, MALLORY.text) == (
        "port 3000 is held by pid 812 (python3) of user mallory, which is not one of its processes"
    )
    assert (
        port_taken_text(3000, "")
        == "port 3000 is held by another program, which is not one of its processes"
    )
    assert "pid 99 (docker-proxy), which listens on port 3000" in passed_on_text(3000, PROXY.text)
    assert "nothing listens on port 3000" in no_listener_text(3000)


@pytest.mark.parametrize("state", [InstanceState.STARTING, InstanceState.READY])
@pytest.mark.parametrize(
    ("app", "reached", "is_taken"),
    [
        (App(command="run", after_ready_timeout="continue"), False, False),
        (App(command="run", after_ready_timeout="continue"), True, True),
        (App(command="run", after_ready_timeout="continue", health=Check()), False, True),
        (App(command="run"), False, True),
    ],
)
def test_another_program_may_have_the_port_of_what_may_listen_nowhere(
    state, app, reached, is_taken
):
    """A worker that a PM2 file started would be restarted for a port that it never uses."""
    worker = Instance(InstanceId("web.1.1"), "web", 1, "v1", 41001, state, 0.0, Process(7, 1.0))
    instances, woken = {worker.id: worker}, []

    async def answers(asked):
        return [PortAnswer(Owner.STRANGER, MALLORY.text) for _ in asked]

    ownership = Ownership(
        SimpleNamespace(instances=instances, put=lambda i: instances.update({i.id: i})),
        SimpleNamespace(app_of=lambda _: app, is_reached=lambda _: reached),
        lambda: woken.append(True),
        clock=SimpleNamespace(monotonic=lambda: 5.0),
        processes=SimpleNamespace(port_answers=answers),
    )
    asyncio.run(ownership.look())
    ownership.apply_events()
    assert (bool(woken), instances[worker.id].taken) == (is_taken, is_taken)

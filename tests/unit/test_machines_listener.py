"""What other machines may ask a daemon, and who may connect."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from portico.api.machines_listener import REPORTED_VERBS, MachinesListener
from portico.client import wire
from portico.core.model.machine_verbs import REPORTED_PATHS
from portico.engine.cluster.member import STATUS_TIME, AnswersToMachines
from portico.errors import Unreachable
from tests.fakes.control import FakeControl


def ask(path: Path, uids: frozenset[int], method: str, target: str) -> tuple[int, bytes]:
    path.touch()  # left by a daemon that was killed

    async def run() -> tuple[int, bytes]:
        listener = MachinesListener(FakeControl(), path, lambda: uids)
        await listener.open()
        try:
            return await asyncio.to_thread(wire.ask, path, method, target, seconds=60)
        finally:
            listener.close()

    return asyncio.run(run())


def test_only_verbs_that_change_nothing_are_answered(tmp_path):
    own, path = frozenset({os.geteuid()}), tmp_path / "s"
    assert all(each.method == "GET" and not each.request for each in REPORTED_VERBS)
    assert [each.path for each in REPORTED_VERBS] == list(REPORTED_PATHS)
    assert b'"name":"web"' in ask(path, own, "GET", "/v1/status")[1]
    assert ask(path, own, "POST", "/v1/status")[0] == 405
    for target in ("/v1/down", "/v1/apps/web/stop", "/v1/version", "/v1/machines"):
        assert ask(path, own, "POST", target)[0] == 404


def test_who_is_not_nginx_is_cut_off(tmp_path):
    with pytest.raises(Unreachable):
        ask(tmp_path / "s", frozenset(), "GET", "/v1/status")


def test_a_status_answers_all_machines_that_ask_at_about_the_same_time():
    made, now = [], [0.0]

    class Operations:
        async def status(self) -> int:
            made.append(len(made))
            await asyncio.sleep(0)
            return made[-1]

    async def run() -> None:
        answers = AnswersToMachines(Operations(), None, lambda: now[0])
        assert await asyncio.gather(answers.status(), answers.status()) == [0, 0]
        now[0] += STATUS_TIME
        assert await answers.status() == 1

    asyncio.run(run())

"""To wait for nginx's processes costs a look at those that are waited for, not at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from portico.adapters.nginx import lifecycle, upgrading
from portico.adapters.nginx.processes import NginxProcess

WORKER = NginxProcess(7, 1, "nginx: worker process", 0)


def test_other_processes_are_looked_for_only_when_the_known_ones_have_gone(monkeypatch):
    all_looks, own_looks = [[WORKER], []], [[WORKER], [WORKER], [], []]

    async def look_at_all(folder):
        return all_looks.pop(0)

    async def look_at(processes, folder):
        assert processes == [WORKER]
        return own_looks.pop(0)

    monkeypatch.setattr(lifecycle, "list_processes", look_at_all)
    monkeypatch.setattr(lifecycle, "_as_they_are", look_at)
    left = asyncio.run(lifecycle.wait_until_none([WORKER], 60, Path("/nginx")))
    assert (left, all_looks, own_looks) == ([], [], [])


def test_workers_that_a_master_is_to_start_again_are_seen_when_they_come(monkeypatch):
    looks = [[], [replace(WORKER, title="nginx: worker process is shutting down")], [WORKER]]
    master = SimpleNamespace(pid=1, signal=[].append, is_running=lambda: True)

    async def look_at_all(folder):
        return looks.pop(0)

    monkeypatch.setattr(upgrading, "list_processes", look_at_all)
    paths = SimpleNamespace(folder=Path("/nginx"))
    assert asyncio.run(upgrading.restore_workers(master, paths))
    assert looks == []

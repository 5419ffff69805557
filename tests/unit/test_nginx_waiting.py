"""To wait for nginx's processes costs a look at those that are waited for, not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

from portico.adapters.nginx import lifecycle
from portico.adapters.nginx.processes import NginxProcess

WORKER = NginxProcess(7, 1, "nginx: worker process", 0)


def test_other_processes_are_looked_for_only_when_the_known_ones_have_gone(monkeypatch):
    all_looks, own_looks = [[WORKER], [WORKER], []], [[WORKER], [WORKER], [], []]

    async def look_at_all(folder):
        return all_looks.pop(0)

    async def look_at(processes, folder):
        assert processes == [WORKER]
        return own_looks.pop(0)

    monkeypatch.setattr(lifecycle, "list_processes", look_at_all)
    monkeypatch.setattr(lifecycle, "_as_they_are", look_at)
    left = asyncio.run(lifecycle.wait_until_none(60, Path("/nginx"), lambda found: found))
    assert (left, all_looks, own_looks) == ([], [], [])

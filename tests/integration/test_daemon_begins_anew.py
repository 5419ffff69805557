"""A bug in the daemon: it begins anew by itself, and what it looked after never notices.

The bugs are put into the daemon's own parts by the program that starts it here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from portico.client.client import Client
from portico.client.stopping import stop_daemon
from portico.core.model import verbs
from portico.errors import Unreachable
from portico.system.home import Home
from portico.system.waiting import wait_for
from tests.waiting import eventually

WITHIN = 120.0  # seconds, on a machine that has much else to do
BEGINS = """
import os
import portico.daemon.main as main
import portico.engine.loop as loop

look = loop.ReconcileLoop._round

async def broken(self):
    {body}
    return await look(self)

loop.ReconcileLoop._round = broken
main.main()
"""
ONCE = """if "PORTICO_DEATHS" not in os.environ:
        raise LookupError("a bug, made by a test")"""
WITH_THIS_APP = """desired, _ = self._desired()
    if "broken" in desired.apps and any(
        task.get_name() == "housekeeping" for task in __import__("asyncio").all_tasks()
    ):
        raise LookupError("a bug, made by a test")"""
"""Whenever an app of this name is in the file, unless in safe mode."""


@contextmanager
def started(home: Home, folder, body: str) -> Iterator[subprocess.Popen]:
    program = folder / "porticod.py"
    program.write_text(BEGINS.format(body=body))
    environ = {**os.environ, "PORTICO_HOME": str(home.path)}
    with subprocess.Popen([sys.executable, str(program)], env=environ) as daemon:
        try:
            yield daemon
        finally:
            daemon.kill()


def test_a_bug_ends_the_daemon_and_the_same_process_begins_anew(tmp_path):
    home = Home(tmp_path / "home")
    with started(home, tmp_path, ONCE) as daemon:
        client = Client(home.socket)
        begun = wait_for(
            lambda: (
                home.daemon_log.exists() and "a bug, made by a test" in home.daemon_log.read_text()
            ),
            WITHIN,
        )
        assert begun
        assert wait_for(client.answers, WITHIN)
        assert client.ask(verbs.VERSION).pid == daemon.pid
        stop_daemon(client)
        assert daemon.wait(WITHIN) == 0
    assert not home.deaths.exists()


def test_a_start_that_keeps_dying_begins_in_safe_mode_in_which_stop_up_and_down_get_through(stack):
    app = 'command = "sleep 1000"\nport = false\n'
    home = Home(stack.home)
    stack.up(f"[apps.broken]\n{app}[apps.other]\n{app}")
    stack.kill_daemon()
    client = Client(home.socket)

    def safe() -> list[str]:
        with suppress(Unreachable):  # no command: it would start a daemon that is whole
            return [
                each for each in client.ask(verbs.STATUS).troubles if "runs in safe mode" in each
            ]
        return []

    with started(home, stack.root, WITH_THIS_APP):
        (said,) = eventually(safe, within=WITHIN)
        assert said.startswith("porticod crashed 3 times in a row")
        assert [i["state"] for i in stack.instances("broken")] == ["ready"]
        stack.done("stop", "other")
        assert stack.instances("other") == []
        stack.up(f"[apps.corrected]\n{app}")
        status = stack.status()
        assert [each["name"] for each in status["apps"]] == ["corrected"]
        assert status["troubles"] == []
        stack.done("down", "--now")

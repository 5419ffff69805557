"""A bug in the daemon: it begins anew by itself, and what it looked after never notices."""

from __future__ import annotations

import os
import subprocess
import sys

from portico.client.client import Client
from portico.client.leaving import make_leave
from portico.system.home import Home
from portico.system.waiting import wait_for

BUG = """
import portico.daemon.main as main
import portico.engine.upkeep as upkeep

async def broken(self):
    raise LookupError("a bug, made by a test")

if "PORTICO_BEGUN_ANEW" not in __import__("os").environ:
    upkeep.Upkeep.run = broken
main.main()
"""


def test_a_bug_ends_the_daemon_and_the_same_process_begins_anew(tmp_path):
    program = tmp_path / "porticod.py"
    program.write_text(BUG)
    home = Home(tmp_path / "home")
    environ = {**os.environ, "PORTICO_HOME": str(home.path)}
    with subprocess.Popen([sys.executable, str(program)], env=environ) as daemon:
        client = Client(home.socket)
        begun = wait_for(
            lambda: (
                home.daemon_log.exists() and "a bug, made by a test" in home.daemon_log.read_text()
            ),
            20,
        )
        assert begun
        assert wait_for(client.answers, 20)
        assert client.version().pid == daemon.pid
        make_leave(client)
        assert daemon.wait(20) == 0

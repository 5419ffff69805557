"""Commands in the process of the tests, whose daemons are forked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from portico.client import connect, upgrading
from portico.client.client import Client
from portico.system.home import Home
from tests.daemons import check_daemon, start_daemon
from tests.network import thread_network
from tests.waiting import eventually, is_gone


@contextmanager
def forked_daemons() -> Iterator[None]:
    """What a command in this process begins anew, as to join a cluster, is forked, and so is what
    it asks first, whether that can run in the home.
    """
    begin, run_tool = connect._start, upgrading.run_tool  # noqa: SLF001

    def fork_or_begin(
        home: Home, environ: Mapping[str, str], program: Sequence[str], client: Client
    ) -> None:
        """Where the fork does not come up, the command's own says why."""
        if program == connect.DAEMON and os.geteuid() == 0:
            given = dict(environ) | {"PORTICO_HOME": str(home.path)}
            pid = start_daemon(given, Path.cwd(), home.daemon_log, thread_network())
            eventually(lambda: client.answers() or is_gone(pid))
        if not client.answers():
            begin(home, environ, program, client)

    def fork_or_run(
        command: Sequence[str], environ: Mapping[str, str], *, seconds: float
    ) -> subprocess.CompletedProcess[str]:
        if tuple(command) == (*connect.DAEMON, "--check"):
            return check_daemon(environ)
        return run_tool(command, environ, seconds=seconds)

    with (
        patch.object(connect, "_start", fork_or_begin),
        patch.object(upgrading, "run_tool", fork_or_run),
    ):
        yield

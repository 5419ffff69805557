"""porticod by a fork of a Python that has imported all of it: a daemon of its own in each home, as
any other, for a tenth of the processor time that its start takes.

`python -m tests.daemons` reads a request a line, as JSON, and answers with the pid of the daemon,
or with how it has ended where that is only to say whether it could run.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

from portico.client.connect import DAEMON
from portico.core.model.place import Build
from portico.system.programs import StartProgram
from tests.children import fork_children
from tests.network import enter

LATE = (
    "encodings.idna",
    "portico.adapters.acme.authorities",
    "portico.adapters.store.etcd.store",
    "portico.adapters.vault.children",
    "portico.api.join_listener",
    "portico.api.machines_listener",
    "portico.engine.cluster.admission",
    "portico.engine.cluster.cluster_store",
    "portico.engine.cluster.certificates",
    "portico.engine.cluster.cluster_operations",
    "portico.engine.cluster.neighbourhood",
    "portico.engine.cluster.reports",
    "portico.importers.certbot_bridge",
    "portico.system.x509",
)
"""What only some daemons import: a fifth of a second for one in a cluster with an authority."""
BUILT = {
    "portico.api.calls": ("EmptyBody",),
    "portico.core.model.app": ("App",),
    "portico.core.model.document": ("Document",),
    "portico.core.model.requests": ("DocumentRequest", "DownRequest"),
    "portico.core.model.upstream": ("Upstream",),
    "portico.core.model.views": (
        "AppView",
        "ChangeView",
        "DaemonView",
        "NginxView",
        "ProjectView",
        "SiteView",
        "StatusView",
        "VersionView",
    ),
}
"""Models that each daemon would build with its first file and its first status."""
FORK_TIMEOUT = 120.0
"""Seconds, with the start of the Python that is forked."""
_OWN_NETWORK = Path("/proc/self/ns/net").open()  # noqa: SIM115 - as long as this process
"""That of the tests, before one of them has entered another."""


def start_daemon(
    environ: Mapping[str, str],
    folder: Path,
    log: Path,
    network: str = "",
    program: str = DAEMON[-1],
) -> int:
    """As `portico up` does it, in the network of that path; returns its pid. Whether it answers is
    to be waited for. Another program is a module with a `main`.
    """
    if not network and os.geteuid() == 0:  # the parent may have been started in another one
        network = f"/proc/{os.getpid()}/fd/{_OWN_NETWORK.fileno()}"
    return _ask_parent(dict(environ), str(folder), str(log), network, program, ())


def check_daemon(environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As `porticod --check`."""
    with tempfile.NamedTemporaryFile("r") as said:
        options = ("--check",)
        code = _ask_parent(dict(environ), "/", said.name, "", DAEMON[-1], options)
        return subprocess.CompletedProcess([*DAEMON, *options], code, "", said.read())


def _ask_parent(*request: object) -> int:
    parent = _parent()
    assert parent.stdin
    assert parent.stdout
    parent.stdin.write(json.dumps(request) + "\n")
    parent.stdin.flush()
    assert select.select([parent.stdout], [], [], FORK_TIMEOUT)[0], "no daemon was forked in time"
    return int(parent.stdout.readline())


@cache
def _parent() -> subprocess.Popen[str]:
    """One for all tests of this process; the last words are those by which a daemon is known."""
    parent = subprocess.Popen(
        [sys.executable, "-m", __name__, DAEMON[-1]],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(parent.communicate)
    return parent


def _serve() -> None:
    fork_children()
    for name in ("portico.daemon.main", *LATE):  # only this process pays for it
        importlib.import_module(name)
    for name, models in BUILT.items():
        for model in models:
            getattr(importlib.import_module(name), model).model_rebuild()
    _remember_bundled_nginx()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        environ, folder, log, network, program, options = json.loads(line)
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            if options:
                os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))
            continue
        if not options and (pid := os.fork()):  # an orphan, as one is whose command has ended
            os.write(1, b"%d\n" % pid)
            os._exit(0)
        os.setsid()
        if network:
            enter(network)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
        os.dup2(1, 2)
        sys.argv, sys.orig_argv = [DAEMON[-1], *options], list(DAEMON)
        if not options:  # whose end is asked for
            # Without what Python does last, which writes to all memory shared with its parent.
            atexit.register(os._exit, 0)
            atexit.register(sys.stdout.flush)
        importlib.import_module(program).main()
        return


def _remember_bundled_nginx() -> None:
    """What each daemon would find out of it by three runs, a tenth of a second together."""
    binary = importlib.import_module("portico.adapters.nginx.binary")  # as above
    inspect = binary._inspect  # noqa: SLF001 - it is to be in no other place
    found: Build = replace(asyncio.run(binary.Binaries("/nowhere").find(None)), bundled=False)

    async def remembered(program: str, start_program: StartProgram) -> Build:
        return found if program == found.program else await inspect(program, start_program)

    patch.object(binary, "_inspect", remembered).start()


if __name__ == "__main__":
    _serve()

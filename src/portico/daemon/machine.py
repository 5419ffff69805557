"""What a daemon finds out at its start about the machine and about itself."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
from contextlib import suppress
from functools import partial
from secrets import token_hex
from typing import Final, Literal

from portico import __version__
from portico.adapters.discovery.responder import Responder
from portico.adapters.nginx.generations import discovery_of
from portico.adapters.nginx.processes import users_of
from portico.core.model.views import DaemonView
from portico.engine.inputs import Machine
from portico.errors import Failed
from portico.ports.clock import Clock
from portico.ports.state import State
from portico.system.home import Home
from portico.system.names import (
    authorities,
    hosts,
    nameservers,
    own_loopbacks,
    speaks_ipv6,
    unprivileged_from,
)

log = logging.getLogger(__name__)

Mode = Literal["command", "unit", "foreground"]
"""As in `DaemonView`."""
DISCOVERY_PORT: Final = "discovery_port"
"""Setting of a Portico that did not yet note in a generation where its files ask."""
SECRET: Final = "secret"  # noqa: S105 - a name
"""Setting: as in `RenderContext`."""


async def open_discovery(home: Home, state: State, clock: Clock) -> Responder:
    """Answers nginx from now on, where its files in force ask."""
    own, folder = own_loopbacks(home.path), home.nginx.resolve()
    remembered = await asyncio.to_thread(discovery_of, folder)
    if not remembered and (port := state.setting(DISCOVERY_PORT)):
        remembered = f"{own[0]}:{port}"
    responder = await Responder.open(
        clock,
        remembered,
        own,
        below=unprivileged_from() if os.geteuid() == 0 else 0,
        users=partial(users_of, folder),
    )
    if remembered and responder.address != remembered:
        log.warning(
            "cannot answer nginx on %s: another program took that port; answering on %s, for "
            "the next nginx",
            remembered,
            responder.address,
        )
    return responder


def this_machine(home: Home, resolver: str, workers: str, secret: str) -> Machine:
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    # nginx's master opens a log a site, and inherits what may be open at a time from here.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    return Machine(
        str(home.path),
        cores=usable_cores(),
        root=os.geteuid() == 0,
        workers=workers,
        secret=secret,
        open_files=most_files if most_files > 0 else 65536,
        resolver=resolver,
        nameservers=nameservers(),
        ipv6=speaks_ipv6(),
        hosts=hosts(),
        authorities=authorities(),
    )


def this_daemon(home: Home, mode: Mode) -> DaemonView:
    return DaemonView(
        pid=os.getpid(),
        version=__version__,
        memory_bytes=0,
        home=str(home.path),
        uptime_s=0.0,
        mode=mode,
    )


def secret_of(state: State) -> str:
    secret = state.setting(SECRET) or token_hex(16)
    with suppress(Failed):  # a full disk: another daemon makes another one
        state.put_setting(SECRET, secret)
    return secret


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

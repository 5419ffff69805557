"""What runs programs on this machine: processes with their ports and logs, and nginx."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from portico.adapters.discovery.responder import Responder
from portico.adapters.logs.files import FileLogs
from portico.adapters.nginx.program import NginxProgram
from portico.adapters.processes.notices import UnixNotices
from portico.adapters.processes.sockets import LinuxPorts
from portico.adapters.processes.supervisor import LinuxProcesses
from portico.adapters.sites.probe import SiteProbe
from portico.core.planning.environment import NoticePaths
from portico.daemon.machine import open_discovery
from portico.engine.program_ports import ProgramPorts
from portico.ports.clock import Clock
from portico.ports.state import State
from portico.system.home import Home
from portico.system.launcher import start_program_of
from portico.system.programs import StartProgram


@dataclass(frozen=True, slots=True)
class ProgramAdapters(ProgramPorts):
    discovery: Responder
    nginx: NginxProgram
    notices: UnixNotices
    processes: LinuxProcesses
    notice_paths: NoticePaths
    start_program: StartProgram


async def assemble_programs(
    home: Home, state: State, clock: Clock, bootstrap_peers: Callable[[], Mapping[str, str]]
) -> ProgramAdapters:
    """Nginx is answered from now on. `bootstrap_peers` is as in `NginxProgram`."""
    start_program = start_program_of(os.environ)  # noqa: TID251 - set by our own unit
    ports, logs = LinuxPorts(clock), FileLogs(home.logs)
    discovery = await open_discovery(home, state, clock)
    nginx = NginxProgram(
        home,
        ports,
        bootstrap_peers=bootstrap_peers,
        start_program=start_program,
        held=discovery.held,
    )
    paths = NoticePaths(str(home.notify), str(home.send), str(home.preload))
    notices = UnixNotices()
    processes = LinuxProcesses(home.logs, clock, paths, start_program)
    return ProgramAdapters(
        discovery, logs, nginx, notices, ports, processes, SiteProbe(), paths, start_program
    )

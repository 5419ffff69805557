"""What runs programs on this machine, as all parts of the engine reach it."""

from __future__ import annotations

from dataclasses import dataclass

from portico.ports.files import Logs
from portico.ports.nginx import Discovery, Nginx, Sites
from portico.ports.processes import Notices, Processes, TcpPorts


@dataclass(frozen=True, slots=True)
class ProgramPorts:
    """Processes with their ports and logs, and nginx."""

    discovery: Discovery
    logs: Logs
    nginx: Nginx
    notices: Notices
    ports: TcpPorts
    processes: Processes
    sites: Sites

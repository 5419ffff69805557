"""What answers to operators are read from and done with, outside the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from portico.core.model.requests import DocumentRequest
from portico.engine.program_ports import ProgramPorts
from portico.ports.dashboard import Dashboard
from portico.ports.traffic import Traffic

ReadFile = Callable[[str, str, Mapping[str, str]], DocumentRequest]
"""From its path, its folder and the environment of `up`. Blocks, and raises ConfigError."""


@dataclass(frozen=True, slots=True)
class ControlPorts:
    dashboard: Dashboard
    edited: ReadFile
    programs: ProgramPorts
    traffic: Traffic

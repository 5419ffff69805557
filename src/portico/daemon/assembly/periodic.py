"""What is done again and again beside the loop, connected."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from portico.adapters.disks.room import MountedDisks
from portico.adapters.notifications.sender import Sender
from portico.api.metrics_listener import MetricsListener
from portico.daemon.assembly.control import ControlParts
from portico.daemon.assembly.preparation import PreparationParts
from portico.daemon.assembly.programs import ProgramAdapters
from portico.engine.engine import Engine
from portico.engine.housekeeping import Housekeeping
from portico.engine.notifications import Notifications
from portico.engine.traffic import TrafficCounting
from portico.system.home import Home


@dataclass(frozen=True, slots=True)
class PeriodicParts:
    housekeeping: Housekeeping
    metrics: MetricsListener
    notifications: Notifications
    traffic: TrafficCounting


def assemble_periodic(
    engine: Engine,
    home: Home,
    programs: ProgramAdapters,
    prepared: PreparationParts,
    control: ControlParts,
) -> PeriodicParts:
    housekeeping = Housekeeping(
        engine,
        control.exposure,
        disks=MountedDisks(home.path),
        logs=programs.logs,
        nginx=programs.nginx,
        unreadable=prepared.host_checks.unreadable,
    )
    metrics = MetricsListener(
        control.api,
        lambda: engine.intent.desired.edge.metrics or "",
        engine.troubles,
        engine.loop.after_round,
    )
    sender = Sender(prepared.machine.authorities, programs.start_program)
    notifications = Notifications(engine, sender, socket.gethostname())
    traffic = TrafficCounting(engine, control.traffic, str(home.path))
    return PeriodicParts(housekeeping, metrics, notifications, traffic)

"""The parts that look after instances beside the loop, connected."""

from __future__ import annotations

from dataclasses import dataclass

from portico.engine.engine import Engine
from portico.engine.instances.liveness import Liveness
from portico.engine.instances.memory_use import MemoryUse
from portico.engine.instances.ownership import Ownership
from portico.engine.instances.readiness import Readiness
from portico.engine.instances.supervision import Supervision
from portico.engine.instances.timetable import Timetable
from portico.engine.program_ports import ProgramPorts
from portico.ports.processes import Probes
from portico.system.zone import time_zone


@dataclass(frozen=True, slots=True)
class Instances:
    memory_use: MemoryUse
    ownership: Ownership
    readiness: Readiness
    supervision: Supervision
    timetable: Timetable


def assemble_instances(engine: Engine, programs: ProgramPorts, probes: Probes) -> Instances:
    processes = programs.processes
    clock, intent, observed = engine.clock, engine.intent, engine.observed
    wake = engine.loop.wake
    ownership = Ownership(observed, intent, wake, clock=clock, processes=processes)
    readiness = Readiness(observed, intent, wake, clock=clock, notices=programs.notices)
    liveness = Liveness(engine, ownership, probes=probes, processes=processes)
    supervision = Supervision(engine, liveness, ownership, readiness, programs)
    return Instances(
        MemoryUse(intent, clock=clock, processes=processes),
        ownership,
        readiness,
        supervision,
        Timetable(intent, clock, time_zone),
    )

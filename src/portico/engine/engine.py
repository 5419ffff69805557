"""What every part of the engine works with."""

from __future__ import annotations

from dataclasses import dataclass

from portico.engine.changes import Changes
from portico.engine.events import Events
from portico.engine.intent import Intent
from portico.engine.loop import ReconcileLoop
from portico.engine.observed import ObservedWorld
from portico.engine.safe_mode import SafeMode
from portico.engine.tasks import Tasks
from portico.engine.troubles import Troubles
from portico.ports.clock import Clock
from portico.ports.state import State


@dataclass(frozen=True, slots=True)
class Engine:
    changes: Changes
    clock: Clock
    events: Events
    intent: Intent
    loop: ReconcileLoop
    observed: ObservedWorld
    safe_mode: SafeMode
    state: State
    tasks: Tasks
    troubles: Troubles

"""The schedules of apps: which of them are due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, tzinfo

from portico.core.planning.schedule import Timer, advance, set_timer
from portico.engine.intent import Intent
from portico.ports.clock import Clock

log = logging.getLogger(__name__)


class Timetable:
    def __init__(
        self, intent: Intent, clock: Clock, time_zone: Callable[[str | None], tzinfo]
    ) -> None:
        self._intent, self._clock, self._time_zone = intent, clock, time_zone
        self._zones: dict[str | None, tzinfo] = {}
        self._timers: dict[tuple[str, str, str | None], Timer] = {}
        """By app, expression and zone: a change of either begins anew."""
        self.claim: Callable[[str, float], None] | None = None
        """Where machines share schedules: called with an app and the time of a run, which is then
        due on the machine that gets it; None where each runs its own.
        """

    def due(self) -> frozenset[str]:
        """The apps that are due, and those that were asked to run; each is returned once."""
        now, timers, struck = self._clock.now(), dict[tuple[str, str, str | None], Timer](), set()
        for name, app in self._intent.desired.apps.items():
            expression = app.app.schedule or app.app.restart_schedule
            if expression is None:
                continue
            key, zone = (name, expression, app.app.tz), self._zone(app.app.tz)
            if timer := self._timers.get(key):
                timers[key], is_due = advance(timer, now, zone)
                if is_due and timer.due and self.claim and app.app.schedule:
                    self.claim(name, timer.due)
                else:
                    struck.update([name] if is_due else [])
            else:
                timers[key] = set_timer(expression, now, zone)
        self._timers = timers
        return frozenset(struck | self._intent.runs.take())

    def next(self, app: str) -> float | None:
        """When it is time next; None if it has no schedule, or one that never comes."""
        return next((timer.due for key, timer in self._timers.items() if key[0] == app), None)

    def _zone(self, name: str | None) -> tzinfo:
        if name not in self._zones:
            try:
                self._zones[name] = self._time_zone(name)
            except ValueError as error:  # it was there when the file was applied
                log.warning("%s; schedules use UTC", error)
                self._zones[name] = UTC
        return self._zones[name]

"""When an instance is ready: its check has passed and, with `wait_ready`, it has sent READY=1."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from portico.core.model.instance import (
    LIVE_STATES,
    Instance,
    InstanceEvent,
    InstanceState,
    Process,
)
from portico.core.model.launch import Notice
from portico.core.model.names import InstanceId
from portico.core.planning.lateness import is_late
from portico.core.planning.lifecycle import move
from portico.engine.intent import Intent
from portico.engine.observed import ObservedWorld
from portico.ports.clock import Clock
from portico.ports.processes import Notices

log = logging.getLogger(__name__)

ProcessKey = tuple[InstanceId, Process | None]


class Readiness:
    def __init__(
        self,
        observed: ObservedWorld,
        intent: Intent,
        wake: Callable[[], None],
        *,
        clock: Clock,
        notices: Notices,
    ) -> None:
        self._observed, self._intent, self._wake = observed, intent, wake
        self._clock, self._notices = clock, notices
        self._passed: set[ProcessKey] = set()
        """Instances that are starting and whose check has passed."""
        self._status_texts: dict[ProcessKey, str] = {}

    def check_passed(self, i: Instance) -> None:
        """Its check has passed for the first time, or it has none."""
        self._passed.add((i.id, i.process))

    def on_notice(self, notice: Notice) -> None:
        """Wake the loop if a starting instance has sent READY=1 for the first time."""
        if any(_is_starting(i) and not i.said_ready for i in self._instances_of(notice)):
            self._wake()

    def requires_notice(self, i: Instance) -> bool:
        """As the version says that it was started from: the socket is opened by that."""
        return self._intent.versions.spec(i.spec).app.wait_ready

    def status_text(self, i: Instance) -> str:
        """Its STATUS= (sd_notify), or that its READY=1 is still missing; else empty."""
        if self._status_texts and (own := self._status_texts.get((i.id, i.process))):
            return own
        waits = i.state is InstanceState.STARTING and not i.said_ready and self.requires_notice(i)
        return "no readiness notification yet (wait_ready)" if waits else ""

    def apply_events(self) -> None:
        """Apply the notifications and passed checks since the last round."""
        for notice in self._notices.take_notices():
            self._apply_notice(notice)
        if not self._passed and not self._status_texts:
            return
        known = {(i.id, i.process): i for i in self._observed.instances.values()}
        self._status_texts = {
            seen: text for seen, text in self._status_texts.items() if seen in known
        }
        starting = {
            s for s in self._passed & known.keys() if _is_starting(known[s]) and not known[s].taken
        }
        self._passed = {s for s in starting if self._awaits_notice(known[s])}
        for seen in starting - self._passed:
            now = self._clock.monotonic()
            self._observed.put(move(known[seen], InstanceEvent.CHECK_PASSED, now=now))
            log.info("%s is ready after %.1fs", seen[0], now - known[seen].spawned)

    def _awaits_notice(self, i: Instance) -> bool:
        app, now = self._intent.app_of(i), self._clock.monotonic()
        return self.requires_notice(i) and not i.said_ready and not is_late(i, app, now)

    def _apply_notice(self, notice: Notice) -> None:
        for i in self._instances_of(notice):
            if notice.status is not None:
                self._status_texts[i.id, i.process] = notice.status
            if notice.ready and _is_starting(i) and not i.said_ready:
                self._observed.put(replace(i, said_ready=True))
                log.info("%s reported that it is ready", i.id)

    def _instances_of(self, notice: Notice) -> list[Instance]:
        return [
            i
            for i in self._observed.instances.values()
            if i.process and i.state in LIVE_STATES and i.process.pid in notice.sessions
        ]


def _is_starting(i: Instance) -> bool:
    return i.state is InstanceState.STARTING

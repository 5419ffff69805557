"""What is sent of events, and when again after a failure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from portico.core.model.event import Event
from portico.core.model.moments import moment
from portico.core.planning.backoff import restart_delay

VERSION: Final = 1
"""Of the document; raised where a key is removed or renamed."""
MAX_ATTEMPTS: Final = 10
MAX_WAITING_EVENTS: Final = 1000
"""Events for one target; older ones are dropped."""
MAX_EVENTS_IN_REQUEST: Final = 100
_FIRST_PAUSE: Final = 4.0
_MAX_PAUSE: Final = 900.0


def document_of(
    events: Sequence[Event], *, target: str, host: str, dropped: int
) -> dict[str, object]:
    """As docs/logs-and-events.md describes it."""
    return {
        "version": VERSION,
        "host": host,
        "target": target,
        "dropped": dropped,
        "events": [{"time": moment(event.at), **asdict(event)} for event in events],
    }


def signature(secret: bytes, body: bytes, now: float) -> str:
    """The header's value: when it was made, and HMAC-SHA256 of that moment, a dot and the body."""
    at = str(int(now))
    mac = hmac.new(secret, at.encode() + b"." + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def variables_of(event: Event) -> Mapping[str, str]:
    """The environment of a command that gets it."""
    return {
        "PORTICO_EVENT": event.kind,
        "PORTICO_SUBJECT": event.subject,
        "PORTICO_PROJECT": event.project,
        "PORTICO_TEXT": event.text.replace("\0", " "),
    }


def pause_after(failures: int, jitter: float) -> float:
    """Seconds until the next attempt: 4, 8 and so on to 15 minutes, half an hour in all."""
    return restart_delay(failures, first=_FIRST_PAUSE, limit=_MAX_PAUSE, jitter=jitter)

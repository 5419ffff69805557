"""Who may use the dashboard: a link that signs one browser in, and the session it gets.

Only hashes of secrets are kept, so that a look at the daemon's memory or a log shows none. All of
it is forgotten with the daemon: `portico open` signs in again.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

from portico.core.model.event import Requester

LINK_LIFETIME: Final = 60.0  # seconds
SESSION_IDLE_TIMEOUT: Final = 12 * 3600.0
"""Seconds without a request after which a session ends."""
MAX_LINKS: Final = 20
MAX_SESSIONS: Final = 20
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a browser gets for its link."""

    cookie: str
    key: str
    """What its pages send with each request for data or a change. Kept by the page, by origin:
    unlike a cookie it reaches no other port of this machine.
    """


@dataclass(slots=True)
class Session:
    key: str
    who: Requester
    """Who asked for the link."""
    used: float


class Sessions:
    """Times are those of `Clock.monotonic`. The oldest links and sessions are forgotten first."""

    def __init__(self) -> None:
        self._links: dict[bytes, tuple[float, Requester]] = {}
        """When each was made and who asked for it, by its hash."""
        self._sessions: dict[bytes, Session] = {}
        """By the hash of its cookie, least recently used first."""

    def new_link(self, who: Requester, now: float) -> str:
        """A token that signs in once, within `LINK_LIFETIME`."""
        self._forget(now)
        token = _secret()
        self._links[_hash(token)] = now, who
        _shorten(self._links, MAX_LINKS)
        return token

    def sign_in(self, token: str, now: float) -> SignIn | None:
        """None for a token that is unknown, used or too old."""
        self._forget(now)
        if (link := self._links.pop(_hash(token), None)) is None:
            return None
        signing, (_, who) = SignIn(_secret(), _secret()), link
        self._sessions[_hash(signing.cookie)] = Session(signing.key, who, now)
        _shorten(self._sessions, MAX_SESSIONS)
        return signing

    def session(self, cookie: str, now: float) -> Session | None:
        """The session of this cookie, which is used by this."""
        self._forget(now)
        key = _hash(cookie)
        if (session := self._sessions.pop(key, None)) is None:
            return None
        session.used = now
        self._sessions[key] = session
        return session

    def _forget(self, now: float) -> None:
        self._links = {
            key: link for key, link in self._links.items() if now - link[0] < LINK_LIFETIME
        }
        self._sessions = {
            key: each
            for key, each in self._sessions.items()
            if now - each.used < SESSION_IDLE_TIMEOUT
        }


def _secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


def _hash(secret: str) -> bytes:
    """To look a secret up by its hash takes no time that would tell how much of it is right."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _shorten(kept: dict[bytes, Any], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]

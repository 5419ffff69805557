"""What the dashboard's listener answers: a sign-in, its files, and the API behind both.

The API is the one of the unix socket, with the verbs that its pages use and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qs

from portico.api.app import Answer, Api, Request
from portico.api.dashboard import guard
from portico.api.dashboard.assets import INDEX, assets
from portico.api.dashboard.guard import HEADERS, NOT_SIGNED_IN, Refusal
from portico.api.dashboard.live import LiveStatus
from portico.api.dashboard.sessions import Session, Sessions
from portico.core.model import certificate_verbs, verbs
from portico.core.model.event import Requester

VERBS: Final = (
    verbs.STATUS,
    verbs.CHANGES,
    verbs.CHANGE,
    verbs.EVENTS,
    certificate_verbs.CERTIFICATES,
    verbs.HISTORY,
    verbs.PLAN_FILE,
    verbs.OUTPUT,
    verbs.TRAFFIC,
    verbs.START,
    verbs.STOP,
    verbs.RESTART,
    verbs.RELOAD,
    verbs.SCALE,
    verbs.PAUSE,
    verbs.RESUME,
)
SIGN_IN: Final = "/sign-in"
_LINK: Final = "link"
_OK, _SEE_OTHER, _NOT_MODIFIED = 200, 303, 304
_NOT_FOUND, _UNAVAILABLE = 404, 503
_TEXT: Final = "text/plain; charset=utf-8"


class Dashboard:
    def __init__(
        self, operations: object, live: LiveStatus, monotonic: Callable[[], float]
    ) -> None:
        """`operations` are those of the API."""
        self._api, self._live, self._now = Api(operations, VERBS), live, monotonic
        self._sessions = Sessions()
        self.port = 0
        """Where it listens; 0 while it does not."""

    def link(self, who: Requester) -> str:
        """An address that signs one browser in, once and soon."""
        token = self._sessions.new_link(who, self._now())
        return f"http://127.0.0.1:{self.port}{SIGN_IN}?{_LINK}={token}"

    def forget(self) -> None:
        """Sign everybody out; no link is good any more."""
        self._sessions, self.port = Sessions(), 0

    async def answer(self, request: Request) -> Answer:
        answer = await self._answer_within_session(request)
        return replace(answer, headers={"Cache-Control": "no-store", **answer.headers, **HEADERS})

    async def _answer_within_session(self, request: Request) -> Answer:
        if refusal := guard.site_refusal(request.headers, self.port):
            return _refusal_answer(refusal)
        path, _, query = request.target.partition("?")
        if path == SIGN_IN and request.method == "GET":
            return self._sign_in(query)
        session = self._sessions.session(guard.cookie_of(request.headers), self._now())
        if session is None:
            return _refusal_answer(NOT_SIGNED_IN)
        if path.startswith(("/v1/", "/live")):
            refusal = guard.key_refusal(request.headers, session.key)
            return (
                _refusal_answer(refusal) if refusal else await self._data(request, path, session)
            )
        return _file(path, request)

    def _sign_in(self, query: str) -> Answer:
        """The key is in the fragment, which a browser keeps from every server."""
        token = parse_qs(query).get(_LINK, [""])[0]
        signing = self._sessions.sign_in(token, self._now())
        if signing is None:
            return _refusal_answer(guard.USED_LINK)
        headers = {
            "Set-Cookie": guard.set_cookie(signing.cookie),
            "Location": f"/#key={signing.key}",
        }
        return Answer(_SEE_OTHER, _TEXT, "signed in\n", headers)

    async def _data(self, request: Request, path: str, session: Session) -> Answer:
        if path != "/live":
            return await self._api.answer(replace(request, who=session.who))
        if self._live.is_full:
            return Answer(_UNAVAILABLE, _TEXT, "too many dashboards are open; close one\n")
        return Answer(_OK, "text/event-stream", self._live.frames())


def _file(path: str, request: Request) -> Answer:
    asset = assets().get(path.removeprefix("/") or INDEX)
    if asset is None or request.method != "GET":
        return Answer(_NOT_FOUND, _TEXT, "there is no such page\n")
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Answer(_NOT_MODIFIED, asset.media, "", headers)
    return Answer(_OK, asset.media, asset.content, headers)


def _refusal_answer(refusal: Refusal) -> Answer:
    return Answer(refusal.status, _TEXT, f"{refusal.why}\n")

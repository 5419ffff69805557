"""Links of the dashboard sign in once, and sessions end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.api.dashboard.sessions import (
    LINK_LIFETIME,
    MAX_LINKS,
    MAX_SESSIONS,
    SESSION_IDLE_TIMEOUT,
    Sessions,
)
from portico.core.model.event import Requester

BEGIN = 1000.0
WHO = Requester("ann", 1000, 7, "portico open")


def signed_in(sessions, now=BEGIN):
    signing = sessions.sign_in(sessions.new_link(WHO, now), now)
    assert signing is not None
    return signing


def test_a_link_signs_in_once():
    sessions = Sessions()
    link = sessions.new_link(WHO, BEGIN)
    signing = sessions.sign_in(link, BEGIN)
    assert sessions.session(signing.cookie, BEGIN).key == signing.key
    assert sessions.session(signing.cookie, BEGIN).who == WHO
    assert sessions.sign_in(link, BEGIN) is None


def test_a_link_that_is_too_old_signs_nobody_in():
    sessions = Sessions()
    link = sessions.new_link(WHO, BEGIN)
    assert sessions.sign_in(link, BEGIN + LINK_LIFETIME) is None


@given(st.text())
def test_no_other_text_is_a_link_or_a_session(text):
    sessions = Sessions()
    sessions.new_link(WHO, BEGIN)
    signed_in(sessions)
    assert sessions.sign_in(text, BEGIN) is None
    assert sessions.session(text, BEGIN) is None


def test_a_session_lives_as_long_as_it_is_used():
    sessions = Sessions()
    cookie, now = signed_in(sessions).cookie, BEGIN
    for _ in range(3):
        now += SESSION_IDLE_TIMEOUT - 1
        assert sessions.session(cookie, now)
    assert sessions.session(cookie, now + SESSION_IDLE_TIMEOUT) is None


def test_the_number_of_links_and_sessions_has_a_bound_and_those_in_use_are_kept():
    sessions = Sessions()
    links = [sessions.new_link(WHO, BEGIN) for _ in range(MAX_LINKS + 1)]
    assert sessions.sign_in(links[0], BEGIN) is None
    used = sessions.sign_in(links[1], BEGIN)
    for _ in range(MAX_SESSIONS - 1):
        signed_in(sessions)
    assert sessions.session(used.cookie, BEGIN)
    signed_in(sessions)
    assert sessions.session(used.cookie, BEGIN)


def test_no_secret_is_kept():
    sessions = Sessions()
    link = sessions.new_link(WHO, BEGIN)
    cookie = signed_in(sessions).cookie
    kept = repr((sessions._links, sessions._sessions))  # noqa: SLF001 - it is what this is about
    assert link not in kept
    assert cookie not in kept

"""Which requests of browsers are served. Pure.

Any page that a browser shows can send requests to 127.0.0.1, and any name can be made to lead
there. So the host, the origin, the session and a key that only our pages know are all checked.
A browser sends a cookie to every port of its host, so that other programs of this machine may get
it: the cookie alone opens no data.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final, Literal

COOKIE: Final = "portico_session"
KEY_HEADER: Final = "x-portico-key"
HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
_OWN_FETCHES: Final = frozenset({"", "same-origin", "none"})
"""Values of Sec-Fetch-Site (W3C Fetch Metadata): none is an address that was typed in."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    status: Literal[401, 403, 421]
    why: str


WRONG_HOST: Final = Refusal(421, "this is the dashboard of Portico, at 127.0.0.1 only")
OTHER_SITE: Final = Refusal(403, "the request comes from another site")
NOT_SIGNED_IN: Final = Refusal(401, "not signed in; `portico open` prints a link that signs in")
USED_LINK: Final = Refusal(
    401, "this link was used or is older than a minute; `portico open` prints another one"
)
NO_KEY: Final = Refusal(403, "the request lacks the key of this session; `portico open` signs in")


def site_refusal(headers: Mapping[str, str], port: int) -> Refusal | None:
    """What no session makes good: another name of this machine, or a page of another site.

    Names of headers are in lower case. A name that leads here by DNS rebinding is in Host.
    """
    if headers.get("host", "").lower() not in {f"{host}:{port}" for host in HOSTS}:
        return WRONG_HOST
    if headers.get("sec-fetch-site", "").lower() not in _OWN_FETCHES:
        return OTHER_SITE
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{headers['host'].lower()}":
        return OTHER_SITE
    return None


def key_refusal(headers: Mapping[str, str], key: str) -> Refusal | None:
    """For data and changes: they have to be asked for by a page of ours, which alone knows it."""
    given = headers.get(KEY_HEADER, "").encode("utf-8", "surrogateescape")
    return None if hmac.compare_digest(given, key.encode()) else NO_KEY


def cookie_of(headers: Mapping[str, str]) -> str:
    """The value of our cookie; empty where there is none."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def set_cookie(value: str) -> str:
    """Value of Set-Cookie (RFC 6265). Not `Secure`: the listener speaks HTTP on loopback."""
    return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict"

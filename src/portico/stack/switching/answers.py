"""What a site answers from outside, and whether it answers as before."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

TIMEOUT: Final = 10.0
"""Seconds for a connection, and for each read."""
MAX_BODY_SIZE: Final = 4 << 20
_ANSWER_HEADERS: Final = frozenset(
    {
        *("date", "server", "connection", "keep-alive", "transfer-encoding", "content-length"),
        *("x-request-id", "age", "expires", "via", "alt-svc", "etag", "last-modified", "vary"),
    }
)
"""Headers that differ between two servers, or between two answers, and mean the same."""
_SAME_STATUS: Final = {308: 301, 307: 302}
"""A permanent redirect is one, and so is a temporary one."""


@dataclass(frozen=True, slots=True)
class SiteAddress:
    """Where a site is asked."""

    name: str
    tls: bool
    port: int
    address: str = "127.0.0.1"

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.name}/"


@dataclass(frozen=True, slots=True)
class Answer:
    """Of the front page; `error` where there is none."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    """In lower case, sorted; cookies by their names."""
    body: str = ""
    """Its SHA-256."""
    certificate: str = ""
    """SHA-256 of the leaf; empty for plain HTTP."""
    error: str = ""


def ask(place: SiteAddress) -> Answer:
    """A GET of `/` by name, the certificate unchecked: what was trusted before is seen again."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = _Connection(place, context)
    with closing(connection):
        try:
            connection.request("GET", "/", headers={"Host": place.name, "User-Agent": "portico"})
            answer = connection.getresponse()
            body = answer.read(MAX_BODY_SIZE)
        except (OSError, http.client.HTTPException) as error:
            return Answer(error=str(error) or type(error).__name__)
        found = ((name.lower(), value) for name, value in answer.getheaders())
        kept = (
            _comparable_header(name, value) for name, value in found if name not in _ANSWER_HEADERS
        )
        leaf = connection.leaf
    return Answer(
        answer.status,
        tuple(sorted(kept)),
        sha256(body).hexdigest(),
        sha256(leaf).hexdigest() if leaf else "",
    )


class _Connection(http.client.HTTPConnection):
    def __init__(self, place: SiteAddress, context: ssl.SSLContext) -> None:
        super().__init__(place.address, place.port, timeout=TIMEOUT)
        self._place, self._context = place, context
        self.leaf = b""

    def connect(self) -> None:
        super().connect()
        if self._place.tls:
            wrapped = self._context.wrap_socket(self.sock, server_hostname=self._place.name)
            self.leaf = wrapped.getpeercert(binary_form=True) or b""
            self.sock = wrapped


def _comparable_header(name: str, value: str) -> tuple[str, str]:
    return name, value.partition("=")[0] if name == "set-cookie" else value


def differences(before: Answer, again: Answer, after: Answer) -> Iterator[str]:
    """Nothing where it answers as before. `before` and `again` are two answers of the old server:
    what differs between those does so by itself.
    """
    if before.error or after.error:
        if bool(before.error) != bool(after.error):
            yield f"answered {_answer_text(before)}, and now {_answer_text(after)}"
        return
    if _status(before) == _status(again) != _status(after):
        yield f"status {before.status}, and now {after.status}"
    if before.certificate == again.certificate != after.certificate:
        yield "another certificate"
    old, repeated, new = dict(before.headers), dict(again.headers), dict(after.headers)
    for name, value in old.items():
        if repeated.get(name) == value != new.get(name):
            yield f"{name}: {value!r}, and now {new.get(name, 'none')!r}"
    is_page = before.status == http.client.OK == after.status
    if is_page and before.body == again.body != after.body:
        yield "another front page"


def _status(answer: Answer) -> int:
    return _SAME_STATUS.get(answer.status, answer.status)


def _answer_text(answer: Answer) -> str:
    return f"nothing ({answer.error})" if answer.error else f"status {answer.status}"

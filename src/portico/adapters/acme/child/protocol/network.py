"""Signed requests to an authority, each answered or explained.

The library retries a refused nonce once, and drops status, headers and half of the errors; here
a nonce is retried often, short waits that the authority asks for are waited, and every error is
a Denied with its problem document, or says why nobody answered.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import requests
from acme import errors, messages
from acme.client import ClientNetwork
from josepy.interfaces import JSONDeSerializable
from josepy.jwa import RS256
from josepy.jwk import JWK
from msgspec.json import Decoder
from requests.adapters import HTTPAdapter

from portico import __version__
from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.documents import Problem, problem_of
from portico.adapters.acme.child.failures import (
    Denial,
    FailedAnswer,
    retry_after,
    setup_failure,
    unavailable_failure,
)
from portico.adapters.acme.child.protocol.keys import algorithm
from portico.adapters.acme.wire import Server
from portico.core.model.json_text import DECODE_ERRORS
from portico.core.model.moments import moment

T = TypeVar("T")

REQUEST_TIMEOUT: Final = 30.0  # seconds for one request
MAX_NONCE_RETRIES: Final = 20  # times that one request is sent again with another nonce
MAX_RETRY_AFTER: Final = 20.0  # seconds; a longer Retry-After is left to whoever asked
MAX_ANSWER_SIZE: Final = 1 << 22  # bytes of an answer; a list of a thousand orders has 100 KB
_MAX_REASON_LENGTH: Final = 300  # of why a document cannot be read, which may quote it
_READ_SIZE: Final = 1 << 14
_PARSE_ERRORS: Final = (
    errors.Error,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)
"""What the library raises over answers: errors of its own, and whatever a strange one leads to."""
BUSY_STATUSES: Final = frozenset({429, 503})


class Network:
    """Requests of one account key, or without one only unsigned ones."""

    def __init__(self, server: Server, context: RunContext, key: JWK | None = None) -> None:
        self._server, self._context = server, context
        self._client = ClientNetwork(
            key,
            alg=algorithm(key) if key else RS256,
            verify_ssl=server.ca_bundle or True,  # type: ignore[arg-type]  # requests takes a path
            user_agent=f"portico/{__version__}",
        )
        self._client.session.hooks["response"].append(self._keep_answer)
        for scheme in ("https://", "http://"):
            self._client.session.mount(scheme, _BoundedAdapter())
        context.exits.callback(self._close)
        self._last: requests.Response | None = None
        self.new_nonce = ""
        """URL of nonces, from the directory."""

    def sign_as(self, account: str | None) -> None:
        """From now on sign as the account with this URL, or with the key alone."""
        known = messages.RegistrationResource(uri=account, body=messages.Registration())
        self._client.account = known if account else None

    @property
    def account(self) -> str:
        return str(self._client.account.uri) if self._client.account else ""

    def sign_with(self, key: JWK) -> None:
        self._client.key, self._client.alg = key, algorithm(key)

    def get(self, url: str, what: str) -> requests.Response:
        return self._call(what, lambda limit: self._client.get(url, timeout=limit))

    def post(self, url: str, payload: Mapping[str, object] | None, what: str) -> requests.Response:
        """`payload` None reads a document (POST-as-GET, RFC 8555 6.3)."""
        body = None if payload is None else _Payload(payload)
        nonces = self.new_nonce
        return self._call(
            what,
            lambda limit: self._client.post(url, body, new_nonce_url=nonces, timeout=limit),
        )

    def _call(self, what: str, send: Callable[[float], requests.Response]) -> requests.Response:
        refused_nonces = 0
        while True:
            self._last = None
            try:
                return send(self._context.timeout(REQUEST_TIMEOUT, f"connecting to {what}"))
            except requests.RequestException as error:
                raise self._network_failure(what, error) from error
            except _PARSE_ERRORS as error:
                denied = self._denial(what, error)
            except OSError as error:  # what requests says of a missing ca_bundle
                raise setup_failure(f"cannot {what}: {error}") from error
            if denied.code == "badNonce" and refused_nonces < MAX_NONCE_RETRIES:
                refused_nonces += 1
            elif not self._wait_if_busy(denied, what):
                raise denied

    def _wait_if_busy(self, denied: Denial, what: str) -> bool:
        """Wait if it is busy for a moment only."""
        again = denied.failure.retry_at
        if denied.status not in BUSY_STATUSES or again is None:
            return False
        seconds = max(again - self._context.now(), 0.1)
        if seconds > min(MAX_RETRY_AFTER, self._context.time_left()):
            return False
        self._context.say("wait", f"{self.host} asked to wait {seconds:.0f} s")
        self._context.pause(seconds, f"waiting to {what}")
        return True

    def _denial(self, what: str, error: Exception) -> Denial:
        """The library drops the answer; the session has shown it to us."""
        answer = self._last
        if answer is None or answer.ok:
            why = Problem(detail=f"its answer does not follow RFC 8555: {error}")
            return Denial(why, self._failed_answer(what, 502))
        return Denial(
            problem_of(answer.content, answer.status_code),
            self._failed_answer(what, answer.status_code, answer.headers.get("Retry-After")),
        )

    def _failed_answer(self, what: str, status: int, header: str | None = None) -> FailedAnswer:
        now = self._context.now()
        return FailedAnswer(what, self.host, status, now, retry_after(header, now))

    def _network_failure(self, what: str, error: requests.RequestException) -> Exception:
        text = f"cannot {what}: cannot reach {self.host}: {reason(error)}"
        if isinstance(error, requests.exceptions.SSLError):
            text += (
                f" (this machine's clock says {moment(self._context.now())}; for a private "
                "authority, set ca_bundle)"
            )
        elif isinstance(error, ValueError):  # InvalidURL, InvalidSchema, MissingSchema
            return setup_failure(f"cannot {what}: {self._server.directory} is not a usable URL")
        return unavailable_failure(text)

    @property
    def host(self) -> str:
        return urlsplit(self._server.directory).netloc or self._server.directory

    def read(self, document: Decoder[T], answer: requests.Response, what: str) -> T:
        """The document in an answer."""
        try:
            return document.decode(answer.content)
        except DECODE_ERRORS as error:
            why = str(error)[:_MAX_REASON_LENGTH]
            text = f"cannot {what}: {answer.url} does not follow RFC 8555: {why}"
            raise unavailable_failure(text) from error

    def asked_to_wait(self, answer: requests.Response) -> float | None:
        return retry_after(answer.headers.get("Retry-After"), self._context.now())

    def _close(self) -> None:
        """A connection closes with the last answer that holds it."""
        self._last = None
        self._client.session.hooks["response"].clear()
        self._client.session.close()

    def _keep_answer(self, answer: requests.Response, *_: object, **__: object) -> None:
        self._last = answer


class _BoundedAdapter(HTTPAdapter):
    """Reads no more of an answer than one has that is meant well."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        answer = super().send(*args, **kwargs | {"stream": True})
        body = b""
        for piece in answer.iter_content(_READ_SIZE):
            body += piece
            if len(body) > MAX_ANSWER_SIZE:
                answer.close()
                raise requests.RequestException(
                    f"its answer has more than {MAX_ANSWER_SIZE} bytes"
                )
        answer._content = body  # noqa: SLF001 - what reading it at once would have done
        return answer


class _Payload(JSONDeSerializable):
    """Plain JSON for the library to sign; true even when empty, which is not POST-as-GET."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields

    def to_partial_json(self) -> dict[str, object]:
        return dict(self._fields)

    @classmethod
    def from_json(cls, jobj: Any) -> _Payload:
        return cls(jobj)


def reason(error: BaseException) -> str:
    """What lies at the bottom of an error of the network, without what the library adds."""
    inner = error
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, TimeoutError | requests.Timeout):
            return "timed out"
        if isinstance(cause, socket.gaierror):
            return f"its name does not resolve ({cause.strerror})"
        if isinstance(cause, OSError) and cause.strerror:
            inner = cause
    return str(getattr(inner, "strerror", None) or inner)


def _chain(error: BaseException) -> list[BaseException]:
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in seen:
            seen.append(each)
            reason = getattr(each, "reason", None)  # urllib3's MaxRetryError
            waiting += [reason, each.__cause__, each.__context__, *each.args]
    return seen

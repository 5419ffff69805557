"""What an authority says in problem documents (RFC 7807, RFC 8555 6.7), in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from portico.adapters.acme.child.documents import Problem
from portico.adapters.acme.wire import Failure, Kind
from portico.core.model.moments import moment

_EXPLANATIONS: Final[Mapping[str, str]] = {
    "accountDoesNotExist": "it does not know this account",
    "alreadyReplaced": "that certificate was already replaced",
    "alreadyRevoked": "the certificate is already revoked",
    "badCSR": "it does not accept the signing request",
    "badNonce": "it rejected several nonces in a row",
    "badPublicKey": "it does not accept this key",
    "badRevocationReason": "it does not accept this revocation reason",
    "badSignatureAlgorithm": "it does not accept this key's signature algorithm",
    "caa": "a CAA record forbids it to issue for this name",
    "compound": "there are several problems",
    "connection": "it could not connect",
    "dns": "it could not look the name up in DNS",
    "dnssec": "it could not verify the name's DNSSEC",
    "externalAccountRequired": "it requires external account binding; set eab",
    "incorrectResponse": "it got an unexpected response to the challenge",
    "invalidContact": "it does not accept the contact address",
    "invalidProfile": "it has no such profile",
    "malformed": "it does not accept the request",
    "orderNotReady": "the order is not ready",
    "rateLimited": "too many requests",
    "rejectedIdentifier": "it does not issue for this name",
    "serverInternal": "it has an internal error",
    "tls": "the TLS handshake with this server failed",
    "unauthorized": "not authorized",
    "unsupportedContact": "it does not accept this kind of contact",
    "unsupportedIdentifier": "it does not issue for this kind of name",
    "userActionRequired": "its operator requires an action by you first",
}
_MOMENT: Final = re.compile(r"retry after (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)", re.IGNORECASE)
_FIRST_PLAUSIBLE_TIME: Final = 1_600_000_000.0  # some texts tell a moment of 1970
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_MAX_DETAIL_LENGTH: Final = 600
_MAX_WAIT: Final = 366 * 86400.0
_MAX_NAME_LENGTH: Final = 253
_MAX_NAMES: Final = 100  # in one certificate


class AcmeFailure(Exception):
    """Why a request cannot be answered."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.text)


class Denial(AcmeFailure):
    """An authority has answered with a problem document, or with no success at all."""

    def __init__(self, problem: Problem, answer: FailedAnswer) -> None:
        self.problem, self.status = problem, answer.status
        super().__init__(denial(problem, answer))

    @property
    def code(self) -> str:
        return code(self.problem)


@dataclass(frozen=True, slots=True)
class FailedAnswer:
    """The circumstances of an answer that is no success."""

    what: str
    """What was asked for: `order a certificate`."""
    host: str
    status: int
    now: float
    retry_after: float | None = None
    """Seconds."""


def setup_failure(text: str, names: Mapping[str, str] | None = None) -> AcmeFailure:
    """Something on our side is wrong; the authority was asked to look at nothing."""
    return AcmeFailure(Failure("unready", text, names or {}))


def unavailable_failure(text: str, retry_at: float | None = None) -> AcmeFailure:
    return AcmeFailure(Failure("unavailable", text, retry_at=retry_at))


def refusal_failure(text: str, names: Mapping[str, str] | None = None) -> AcmeFailure:
    return AcmeFailure(Failure("refused", text, names or {}))


def denial(problem: Problem, answer: FailedAnswer) -> Failure:
    """What could not be done, who refused it, why, and when to ask again."""
    limited = answer.status == _TOO_MANY or code(problem) == "rateLimited"
    kind: Kind = (
        "limited" if limited else "unavailable" if answer.status >= _SERVER_ERROR else "refused"
    )
    retry_at = _retry_at(problem, answer)
    again = f"; retry after {moment(retry_at)}" if retry_at else ""
    verb = "is not available" if kind == "unavailable" else "refuses"
    text = f"cannot {answer.what}: {answer.host} {verb}: {explanation(problem)}{again}"
    return Failure(kind, text, dict(_single_names(problem)), retry_at=retry_at)


def explanation(problem: Problem) -> str:
    """`it could not connect (10.0.0.1: Connection refused)`, with all subproblems."""
    plain = _EXPLANATIONS.get(code(problem), "")
    detail = " ".join(problem.detail.split())[:_MAX_DETAIL_LENGTH]
    if not plain:
        named = f"{problem.type[:_MAX_DETAIL_LENGTH]} {problem.status or ''}"
        text = detail or f"its answer was {named}".rstrip()
    else:
        text = f"{plain} ({detail})" if detail else plain
    parts = [f"{name}: {words}" for name, words in _single_names(problem)]
    return "; ".join((text, *parts))


def code(problem: Problem) -> str:
    """`badNonce` for `urn:ietf:params:acme:error:badNonce`."""
    return problem.type.rsplit(":", 1)[-1]


def _single_names(problem: Problem) -> Iterator[tuple[str, str]]:
    for each in problem.subproblems[:_MAX_NAMES]:
        if each.identifier:
            plain = explanation(
                replace(each, subproblems=())
            )  # RFC 8555 6.7.1 has one level of them
            yield each.identifier.value[:_MAX_NAME_LENGTH], plain


def _retry_at(problem: Problem, answer: FailedAnswer) -> float | None:
    """The header first: seconds do not depend on either clock."""
    if answer.retry_after is not None:
        return answer.now + answer.retry_after
    if found := _MOMENT.search(problem.detail):
        with suppress(ValueError):  # the 99th of a month
            at = datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()
            return at if at > _FIRST_PLAUSIBLE_TIME else None
    return None


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks to wait (RFC 9110 10.2.3), never negative."""
    if not header:
        return None
    try:
        if header.strip().isdigit():
            return min(float(header), _MAX_WAIT)
        date = parsedate_to_datetime(header)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return min(max(0.0, date.timestamp() - now), _MAX_WAIT)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

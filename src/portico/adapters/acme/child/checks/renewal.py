"""When the authority would have a certificate renewed. RFC 9773 4."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from portico.adapters.acme.child.context import RunContext
from portico.adapters.acme.child.documents import RENEWAL
from portico.adapters.acme.child.failures import Denial, setup_failure
from portico.adapters.acme.child.protocol.authority import PublicDirectory
from portico.adapters.acme.wire import RenewalInfo, RenewalInfoRequest
from portico.core.model.json_text import DECODE_ERRORS
from portico.system.x509 import PARSE_ERRORS, ari_id

MIN_INTERVAL: Final = 60.0  # seconds until it is asked again: RFC 9773 4.3.2
MAX_INTERVAL: Final = 86400.0
_MAX_URL_LENGTH: Final = 2048  # of the explanation, which is kept
INTERVAL_AFTER_FAILURE: Final = 6 * 3600.0  # RFC 9773 4.3.3


def renewal_info(request: RenewalInfoRequest, context: RunContext) -> RenewalInfo:
    """Without a window where there is none to be had: the certificate's own dates decide then."""
    leaf = read_leaf(request.certificate)
    known_as, now = ari_id(leaf), context.now()
    later = now + INTERVAL_AFTER_FAILURE
    if not known_as:
        return RenewalInfo("", later, why="the certificate has no authority key identifier")
    if leaf.not_valid_after_utc.timestamp() < now:
        return RenewalInfo(known_as, later, why="the certificate has expired; renew it now")
    authority = PublicDirectory(request.server, context)
    if not authority.directory.renewal_info:
        return RenewalInfo(
            known_as, later, why=f"{authority.host} does not offer renewal information"
        )
    try:
        body, wait = authority.renewal_info(known_as)
    except Denial as denied:
        if denied.failure.kind != "refused":
            raise
        return RenewalInfo(known_as, later, why=str(denied))
    again = now + min(max(wait or INTERVAL_AFTER_FAILURE, MIN_INTERVAL), MAX_INTERVAL)
    return _read(body, known_as, again, later)


def _read(body: bytes, known_as: str, again: float, later: float) -> RenewalInfo:
    try:
        document = RENEWAL.decode(body)
        start, end = moment(document.window.start), moment(document.window.end)
    except (*DECODE_ERRORS, ValueError):
        return RenewalInfo(known_as, later, why="its answer has no suggestedWindow (RFC 9773)")
    if end <= start:
        return RenewalInfo(known_as, later, why="its window ends before it starts")
    return RenewalInfo(known_as, again, start, end, document.explanation[:_MAX_URL_LENGTH])


def moment(text: str) -> float:
    """RFC 3339, with its zone."""
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return read.timestamp()


def read_leaf(file: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(Path(file).read_bytes())
    except OSError as error:
        raise setup_failure(f"cannot read the certificate {file}: {error.strerror}") from error
    except PARSE_ERRORS as error:
        raise setup_failure(f"cannot read the certificate {file}: {error}") from error

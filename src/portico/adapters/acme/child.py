"""Talks to a certificate authority and ends: `python -I -m <this module> < request`.

It imports what the daemon must not (cryptography, the network, code of DNS providers), may hang,
and may be killed at any moment. See `wire` for what is asked and answered.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import assert_never

from portico.adapters.acme.accounts import account
from portico.adapters.acme.attempt import CLEARING, Attempt
from portico.adapters.acme.describing import directory
from portico.adapters.acme.failures import AcmeFailure, unready
from portico.adapters.acme.issuing import Issuing
from portico.adapters.acme.preflight import preflight
from portico.adapters.acme.renewal import renewal_info
from portico.adapters.acme.revocation import revoke
from portico.adapters.acme.wire import (
    LINE,
    REQUEST,
    AccountRequest,
    Answer,
    DirectoryRequest,
    IssueRequest,
    Line,
    PreflightRequest,
    Progress,
    RenewalInfoRequest,
    Request,
    RevokeRequest,
    Step,
)
from portico.system.clock import SystemClock
from portico.system.waiting import pause


def main() -> None:
    request = REQUEST.validate_json(sys.stdin.buffer.read())
    # Whoever started us ends us at the deadline; this is for when it has died itself.
    signal.alarm(int(request.deadline + 2 * CLEARING) + 1)
    clock = SystemClock()

    def say(step: Step, text: str) -> None:
        _write(Line(progress=Progress(step, text, clock.now())))

    attempt = Attempt(clock, pause, clock.monotonic() + request.deadline, say)
    try:
        _write(Line(answer=perform(request, attempt)))
    except AcmeFailure as failed:
        _write(Line(failure=failed.failure))


def perform(request: Request, attempt: Attempt) -> Answer:
    """Raises AcmeFailure."""
    try:
        with attempt.exits:
            return _perform(request, attempt)
    except OSError as error:  # a disk that is full, a folder that is not ours
        where = f" {error.filename}" if error.filename else ""
        raise unready(f"cannot work on{where}: {error.strerror or error}") from error


def _perform(request: Request, attempt: Attempt) -> Answer:
    match request:
        case AccountRequest():
            return account(request, attempt)
        case IssueRequest():
            return Issuing(request, attempt).run()
        case RenewalInfoRequest():
            return renewal_info(request, attempt)
        case RevokeRequest():
            return revoke(request, attempt)
        case DirectoryRequest():
            return directory(request, attempt)
        case PreflightRequest():
            return preflight(request, attempt)
        case _:
            assert_never(request)


def _write(line: Line) -> None:
    """Nobody may be left to read it; the work goes on, for the next run to find."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(LINE.dump_json(line) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

"""Talks to a certificate authority and ends: `python -I -m <this module> < request`.

It imports what the daemon must not (cryptography, the network, code of DNS providers), may hang,
and may be killed at any moment. See `wire` for what is asked and answered.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import assert_never

import msgspec

from portico.adapters.acme.child.checks.renewal import renewal_info
from portico.adapters.acme.child.checks.revocation import revoke
from portico.adapters.acme.child.context import CLEANUP_TIME, RunContext
from portico.adapters.acme.child.failures import AcmeFailure, setup_failure
from portico.adapters.acme.child.orders.issuing import OrderRun
from portico.adapters.acme.child.protocol.accounts import account
from portico.adapters.acme.wire import (
    REQUEST,
    AccountRequest,
    Answer,
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
    request = REQUEST.decode(sys.stdin.buffer.read())
    # Whoever started us ends us at the deadline; this is for when it has died itself.
    signal.alarm(int(request.deadline + 2 * CLEANUP_TIME) + 1)
    clock = SystemClock()

    def report(step: Step, text: str) -> None:
        _write(Line(progress=Progress(step, text, clock.now())))

    context = RunContext(clock, pause, clock.monotonic() + request.deadline, report)
    try:
        _write(Line(answer=msgspec.Raw(msgspec.json.encode(perform(request, context)))))
    except AcmeFailure as failed:
        _write(Line(failure=failed.failure))


def perform(request: Request, context: RunContext) -> Answer:
    """Raises AcmeFailure."""
    try:
        with context.exits:
            return _perform(request, context)
    except OSError as error:  # a disk that is full, a folder that is not ours
        where = f" {error.filename}" if error.filename else ""
        raise setup_failure(f"cannot work on{where}: {error.strerror or error}") from error


def _perform(request: Request, context: RunContext) -> Answer:
    match request:
        case AccountRequest():
            return account(request, context)
        case IssueRequest():
            return OrderRun(request, context).run()
        case RenewalInfoRequest():
            return renewal_info(request, context)
        case RevokeRequest():
            return revoke(request, context)
        case PreflightRequest():
            from portico.adapters.acme.child.checks.preflight import preflight  # noqa: PLC0415 - DNS

            return preflight(request, context)
        case _:
            assert_never(request)


def _write(line: Line) -> None:
    """Nobody may be left to read it; the work goes on, for the next run to find."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

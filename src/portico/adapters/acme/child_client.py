"""Asks certificate authorities by short-lived children of the daemon, each within a deadline.

Nothing here imports `cryptography`, `requests` or code of DNS providers: the daemon stays small,
and an authority or a provider that hangs holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from msgspec.json import Decoder

from portico.adapters.acme.child import order_folder
from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.methods import Command, Dns
from portico.adapters.acme.wire import (
    ISSUE_ANSWER,
    LINE,
    AccountAnswer,
    AccountRequest,
    BegunOrder,
    Failure,
    IssuedCertificate,
    IssueRequest,
    Line,
    ManualSteps,
    PreflightRequest,
    Progress,
    RenewalInfo,
    RenewalInfoRequest,
    Request,
    RevokedAnswer,
    RevokeRequest,
)
from portico.core.model.json_text import DECODE_ERRORS
from portico.core.model.preflight import PreflightFacts
from portico.errors import Failed
from portico.ports.certificates import AuthorityError
from portico.system.programs import PIPE, Program, StartProgram, read_tail, running, start_here

log = logging.getLogger(__name__)

T = TypeVar("T")
Tell = Callable[[Progress], None]

CHILD: Final = "portico.adapters.acme.child.main"
CLEANUP_TIME: Final = 25.0  # seconds beyond a request's deadline, for what has to be taken away
_MAX_LINE_LENGTH: Final = 1 << 22
_MAX_ERROR_LENGTH: Final = 4096


def log_note(progress: Progress) -> None:
    if progress.step == "note":
        log.warning("certificate authority: %s", progress.text)


class AcmeChild:
    """`python` is the interpreter for the children, with Portico installed. Every call raises
    AuthorityError, and takes its child along when it is cancelled.
    """

    def __init__(
        self,
        python: str,
        cleanup_time: float = CLEANUP_TIME,
        start_program: StartProgram = start_here,
    ) -> None:
        self._python, self._cleanup_time = python, cleanup_time
        self._start_program = start_program

    async def account(self, request: AccountRequest) -> AccountAnswer:
        return await self._ask(request, Decoder(AccountAnswer))

    async def issue(
        self, request: IssueRequest, tell: Tell = log_note
    ) -> IssuedCertificate | ManualSteps | BegunOrder:
        """The certificate; the same request goes on where an earlier one was interrupted."""
        return await self._ask(
            request, ISSUE_ANSWER, tell, "; existing certificates remain in use"
        )

    async def forget(self, folder: str, order: str) -> None:
        """The certificate is where it belongs: remove what is known of its order, and its key."""
        try:
            removed = await asyncio.to_thread(order_folder.forget, folder, order)
        except AcmeFailure as failed:
            raise _error(failed.failure) from failed
        if not removed:
            raise Failed(f"cannot remove order {order}: another process is using it")

    async def renewal_info(self, request: RenewalInfoRequest) -> RenewalInfo:
        return await self._ask(request, Decoder(RenewalInfo))

    async def revoke(self, request: RevokeRequest) -> RevokedAnswer:
        return await self._ask(request, Decoder(RevokedAnswer))

    async def preflight(self, request: PreflightRequest) -> PreflightFacts:
        return await self._ask(request, Decoder(PreflightFacts))

    async def _ask(
        self,
        request: Request,
        answer: Decoder[T],
        tell: Tell = log_note,
        holds: str = "",
    ) -> T:
        """`holds` is added to an error: what still holds then."""
        line = await self._last_line(request, tell)
        failure = line.failure
        if failure is None:
            try:
                return answer.decode(line.answer)
            except DECODE_ERRORS as error:
                failure = _setup_failure(
                    f"{_child(request)} returned an unreadable answer: {error}"
                )
        raise _error(failure, holds)

    async def _last_line(self, request: Request, tell: Tell) -> Line:
        """What it answered, after everything else it said on the way; or why there is nothing."""
        limit = request.deadline + self._cleanup_time
        program = Program((self._python, "-I", "-m", CHILD))
        # An operator's program has the rights of one; nothing else here needs more than ours.
        start_program = self._start_program if _runs_a_program(request) else start_here
        try:
            async with (
                running(start_program, program, stdin=PIPE, limit=_MAX_LINE_LENGTH) as process,
                asyncio.timeout(limit),
            ):
                process.write_input(msgspec.json.encode(request))
                line, words = await asyncio.gather(
                    _read(process.stdout, tell), _last_words(process.stderr)
                )
                code = await process.wait()
        except TimeoutError:
            return Line(failure=Failure("late", f"timed out after {limit:g} s and was stopped"))
        except OSError as error:
            return Line(failure=_setup_failure(f"cannot run {self._python}: {error.strerror}"))
        return line or Line(
            failure=_setup_failure(f"{_child(request)} failed: {words or f'exit {code}'}")
        )


def _child(request: Request) -> str:
    return f"the child process for {request.act}"


def _setup_failure(text: str) -> Failure:
    return Failure("unready", text)


def _error(failure: Failure, holds: str = "") -> AuthorityError:
    return AuthorityError(
        failure.text[:_MAX_ERROR_LENGTH] + holds,
        retry_at=failure.retry_at,
        unproven=tuple(failure.names) if failure.kind == "unproven" else (),
        limited=failure.kind == "limited",
        wrong=failure.names if failure.kind in {"unproven", "refused", "unready"} else {},
        unreachable=failure.kind in {"unavailable", "late"},
    )


def _runs_a_program(request: Request) -> bool:
    methods = request.methods if isinstance(request, IssueRequest) else ()
    return any(isinstance(m, Dns) and isinstance(m.publisher, Command) for m in methods)


async def _read(lines: asyncio.StreamReader | None, tell: Tell) -> Line | None:
    assert lines is not None  # noqa: S101 - a pipe
    last = None
    while True:
        try:
            text = await lines.readline()
            line = LINE.decode(text)
        except (
            ValueError,
            *DECODE_ERRORS,
        ):  # what a library has printed; readline has dropped what is too long
            if lines.at_eof():
                return last
            continue
        if line.progress is None:
            last = line
        else:
            tell(line.progress)


async def _last_words(stream: asyncio.StreamReader | None) -> str:
    kept = await read_tail(stream, _MAX_ERROR_LENGTH)
    lines = kept.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""

"""Asks certificate authorities by short-lived children of the daemon, each within a deadline.

Nothing here imports `cryptography`, `requests` or code of DNS providers: the daemon stays small,
and an authority or a provider that hangs holds up nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from portico.adapters.acme.child import order_folder
from portico.adapters.acme.child.failures import AcmeFailure
from portico.adapters.acme.wire import (
    LINE,
    REQUEST,
    AccountAnswer,
    AccountRequest,
    Command,
    Dns,
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
    Revoked,
    RevokeRequest,
)
from portico.core.planning.preflight import PreflightFacts
from portico.errors import Failed
from portico.system.programs import PIPE, Program, StartProgram, read_tail, running, start_here

T = TypeVar("T")
Tell = Callable[[Progress], None]

CHILD: Final = "portico.adapters.acme.child.main"
CLEANUP_TIME: Final = 25.0  # seconds beyond a request's deadline, for what has to be taken away
_MAX_LINE_LENGTH: Final = 1 << 22
_MAX_ERROR_LENGTH: Final = 4096
_ISSUE: Final[TypeAdapter[IssuedCertificate | ManualSteps]] = TypeAdapter(
    IssuedCertificate | ManualSteps
)


class AcmeFailed(Failed):
    """Why an authority could not be asked, or has refused; `failure` has it as data."""

    def __init__(self, failure: Failure, holds: str = "") -> None:
        self.failure = failure
        super().__init__(f"{failure.text}; {holds}" if holds else failure.text)


class AcmeChild:
    """`python` is the interpreter for the children, with Portico installed. Every call raises
    AcmeFailed, and takes its child along when it is cancelled.
    """

    def __init__(
        self, python: str, clearing: float = CLEANUP_TIME, start_program: StartProgram = start_here
    ) -> None:
        self._python, self._clearing = python, clearing
        self._start_program = start_program

    async def account(self, request: AccountRequest, tell: Tell | None = None) -> AccountAnswer:
        return await self._ask(request, TypeAdapter(AccountAnswer), tell)

    async def issue(
        self, request: IssueRequest, tell: Tell | None = None
    ) -> IssuedCertificate | ManualSteps:
        """The certificate; the same request goes on where an earlier one was interrupted."""
        try:
            return await self._ask(request, _ISSUE, tell)
        except AcmeFailed as failed:
            holds = "existing certificates remain in use"
            raise AcmeFailed(failed.failure, holds) from None

    async def forget(self, folder: str, order: str) -> None:
        """The certificate is where it belongs: remove what is known of its order, and its key."""
        try:
            removed = await asyncio.to_thread(order_folder.forget, folder, order)
        except AcmeFailure as failed:
            raise AcmeFailed(failed.failure) from failed
        if not removed:
            raise Failed(f"cannot remove order {order}: another process is using it")

    async def renewal_info(self, request: RenewalInfoRequest) -> RenewalInfo:
        return await self._ask(request, TypeAdapter(RenewalInfo))

    async def revoke(self, request: RevokeRequest) -> Revoked:
        return await self._ask(request, TypeAdapter(Revoked))

    async def preflight(self, request: PreflightRequest) -> PreflightFacts:
        return await self._ask(request, TypeAdapter(PreflightFacts))

    async def _ask(self, request: Request, answer: TypeAdapter[T], tell: Tell | None = None) -> T:
        line = await self._last_line(request, tell)
        if line.failure:
            raise AcmeFailed(line.failure)
        try:
            return answer.validate_python(line.answer)
        except ValidationError as error:
            text = f"the child process for {request.act} returned an unreadable answer: {error}"
            raise AcmeFailed(Failure("unready", text)) from error

    async def _last_line(self, request: Request, tell: Tell | None) -> Line:
        """What it answered, after everything else it said on the way."""
        limit = request.deadline + self._clearing
        program = Program((self._python, "-I", "-m", CHILD))
        # An operator's program has the rights of one; nothing else here needs more than ours.
        start_program = self._start_program if _runs_a_program(request) else start_here
        try:
            async with (
                running(start_program, program, stdin=PIPE, limit=_MAX_LINE_LENGTH) as process,
                asyncio.timeout(limit),
            ):
                process.write_input(REQUEST.dump_json(request))
                line, words = await asyncio.gather(
                    _read(process.stdout, tell), _last_words(process.stderr)
                )
                code = await process.wait()
        except TimeoutError:
            text = f"timed out after {limit:g} s and was stopped"
            raise AcmeFailed(Failure("late", text)) from None
        except OSError as error:
            text = f"cannot run {self._python}: {error.strerror}"
            raise AcmeFailed(Failure("unready", text)) from error
        if line is None:
            text = f"the child process for {request.act} failed: {words or f'exit {code}'}"
            raise AcmeFailed(Failure("unready", text))
        return line


def _runs_a_program(request: Request) -> bool:
    methods = request.methods if isinstance(request, IssueRequest) else ()
    return any(isinstance(m, Dns) and isinstance(m.publisher, Command) for m in methods)


async def _read(lines: asyncio.StreamReader | None, tell: Tell | None) -> Line | None:
    assert lines is not None  # noqa: S101 - a pipe
    last = None
    while True:
        try:
            text = await lines.readline()
            line = LINE.validate_json(text)
        except ValueError:  # what a library has printed; readline has dropped what is too long
            if lines.at_eof():
                return last
            continue
        if line.progress is None:
            last = line
        elif tell:
            tell(line.progress)


async def _last_words(stream: asyncio.StreamReader | None) -> str:
    kept = await read_tail(stream, _MAX_ERROR_LENGTH)
    lines = kept.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""

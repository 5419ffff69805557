"""Runs a program to its end, within a deadline."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from portico.errors import Failed
from portico.system.programs import PIPE, Program, RunningProgram, running, start_here

MAX_ANSWER_SIZE: Final = 1 << 26
"""Bytes; what is known of 5,000 lineages has 3 MiB."""


@dataclass(frozen=True, slots=True)
class ProgramResult:
    code: int
    out: bytes
    last_words: str
    """The last line it wrote on standard error, where programs say why they fail."""


async def run(
    command: Sequence[str],
    deadline: float,
    *,
    given: bytes = b"",
    owner: os.stat_result | None = None,
) -> ProgramResult:
    """Run it with `given` on its standard input, as another user, the owner of something.

    Raises Failed when it cannot be started, or is stopped after `deadline` seconds.
    """
    program = Program(tuple(command))
    if owner:
        program = replace(program, uid=owner.st_uid, gid=owner.st_gid, groups=())
    try:
        async with running(start_here, program, stdin=PIPE) as process:
            return await result_of(process, command[0], deadline, given)
    except OSError as error:
        raise Failed(f"cannot run {command[0]}: {error.strerror}") from error


async def result_of(
    process: RunningProgram, name: str, deadline: float, given: bytes
) -> ProgramResult:
    """The same of one that runs, and was given nothing so far. Who started it ends it."""
    try:
        async with asyncio.timeout(deadline):
            out, err = await process.communicate(given, MAX_ANSWER_SIZE)
    except TimeoutError:
        raise Failed(f"{name} timed out after {deadline:g} s and was stopped") from None
    words = err.decode(errors="replace").strip().splitlines()
    return ProgramResult(process.exit_code or 0, out, words[-1] if words else "")

"""Runs a program to its end, within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import dataclass

from portico.errors import Failed
from portico.system.killed import bury


@dataclass(frozen=True, slots=True)
class Ran:
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
) -> Ran:
    """Run it with `given` on its standard input, as another user, the owner of something.

    Raises Failed when it cannot be started, or is stopped after `deadline` seconds.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            user=owner and owner.st_uid,
            group=owner and owner.st_gid,
            extra_groups=owner and [],
        )
    except OSError as error:
        raise Failed(f"cannot run {command[0]}: {error.strerror}") from error
    try:
        async with asyncio.timeout(deadline):
            out, err = await process.communicate(given)
    except TimeoutError:
        raise Failed(f"{command[0]} took longer than {deadline:g} s and was stopped") from None
    finally:
        if process.returncode != 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what a script has started
        await bury(process)
    words = err.decode(errors="replace").strip().splitlines()
    return Ran(process.returncode or 0, out, words[-1] if words else "")

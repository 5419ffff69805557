"""Runs an operator's program when something has happened: no shell, within a deadline."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from portico.system.killed import bury

TOLD: Final = 400  # characters of its output in an error


class HookRunner:
    """Implements `ports.Hooks`."""

    async def run(
        self, command: tuple[str, ...], environ: Mapping[str, str], deadline: float
    ) -> str | None:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={"PATH": os.defpath, **environ},
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        try:
            async with asyncio.timeout(deadline):
                output, _ = await process.communicate()
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await bury(process)
            return f"{command[0]} took longer than {deadline:g} s and was killed"
        if process.returncode == 0:
            return None
        told = output.decode(errors="replace").strip()[-TOLD:]
        return f"{command[0]} exited with code {process.returncode}: {told}"

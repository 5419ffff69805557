"""Runs an operator's program when something has happened: no shell, within a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from portico.system.programs import SEARCH_PATH, STDOUT, Program, StartProgram, running, start_here

MAX_SHOWN_OUTPUT: Final = 400  # characters of its output in an error


class HookRunner:
    """Implements `ports.Hooks`."""

    def __init__(self, start_program: StartProgram = start_here) -> None:
        self._start_program = start_program

    async def run(
        self, command: tuple[str, ...], environ: Mapping[str, str], deadline: float
    ) -> str | None:
        program = Program(command, {"PATH": SEARCH_PATH, **environ})
        try:
            async with running(self._start_program, program, stderr=STDOUT) as process:
                async with asyncio.timeout(deadline):
                    output, _ = await process.communicate()
        except TimeoutError:
            return f"{command[0]} timed out after {deadline:g} s and was killed"
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        if process.exit_code == 0:
            return None
        output_text = output.decode(errors="replace").strip()[-MAX_SHOWN_OUTPUT:]
        return f"{command[0]} exited with code {process.exit_code}: {output_text}"

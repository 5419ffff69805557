"""A check's command, run as the instance that it is about is run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from portico.adapters.processes.start import enter_folder, prepare
from portico.core.model.check import Check
from portico.core.model.launch import Launch
from portico.core.model.units import Words
from portico.system.programs import STDOUT, StartProgram, read_tail, running

MAX_OUTPUT_KEPT: Final = 4096
"""Bytes of its output; the end of it says why it failed."""
MAX_ERROR_LENGTH: Final = 200


async def run_check(
    launch: Launch, check: Check, folder: Path, start_program: StartProgram
) -> str | None:
    """None when the command exits with 0, else what was wrong. It is killed at its timeout."""
    found, problems = await asyncio.to_thread(
        prepare, _check_launch(launch, check.command), folder
    )
    if found is None:
        return f"its check cannot run: {'; '.join(problems)}"
    try:
        with enter_folder(found) as cwd:
            program = found.as_program(cwd)
            async with running(start_program, program, stderr=STDOUT) as process:
                async with asyncio.timeout(check.limit):
                    output = await read_tail(process.stdout, MAX_OUTPUT_KEPT)
                    code = await process.wait()
    except TimeoutError:
        return f"its check timed out after {check.limit:g}s"
    except (OSError, ValueError) as error:
        return f"its check cannot run: {found.program}: {error}"
    return None if code == 0 else _failure_text(code, output)


def _check_launch(launch: Launch, command: Words | None) -> Launch:
    """The same start, of the check's command instead of the app's program."""
    nothing = {"script": None, "args": (), "interpreter": None, "interpreter_args": ()}
    app = launch.spec.app.model_copy(update={"command": command, **nothing})
    return replace(launch, spec=replace(launch.spec, app=app))


def _failure_text(code: int, output: bytes) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
    lines = output.decode(errors="replace").strip().splitlines()
    return f"its check {how}: {lines[-1][:MAX_ERROR_LENGTH]}" if lines else f"its check {how}"
